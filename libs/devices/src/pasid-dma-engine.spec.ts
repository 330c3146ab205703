import { ByteReader, ByteWriter, type Op } from '@vfiolab/core';
import * as reg from './dma-engine.js';
import { makeModel, PASID_MODEL, PENDING, type ModelBus } from './index.js';
import { PASID_ENABLE, PasidDmaEngine, REG_DMA_PASID } from './pasid-dma-engine.js';

/** Keeps the PASIDs of requests; `missing`: pages are not there yet. */
class TestBus implements ModelBus {
  readonly pasids: (number | undefined)[] = [];
  readonly raised: number[] = [];
  missing = false;

  *dmaRead(_iova: bigint, length: number, pasid?: number): Op<Uint8Array | typeof PENDING | undefined> {
    this.pasids.push(pasid);
    return this.missing ? PENDING : new Uint8Array(length).fill(7);
  }
  *dmaWrite(_iova: bigint, _data: Uint8Array, pasid?: number): Op<boolean | typeof PENDING> {
    this.pasids.push(pasid);
    return this.missing ? PENDING : true;
  }
  *raise(vector: number): Op<void> {
    this.raised.push(vector);
  }
  lower(): void {}
}

function make() {
  const bus = new TestBus();
  const engine = new PasidDmaEngine(bus);
  const finish = (op: Op<void>): void => expect(op.next().done).toBe(true);
  const write = (at: number, value: bigint, width: 4 | 8 = 4): void => finish(engine.write(at, width, value));
  const run = (command: number): void => {
    write(reg.REG_DMA_SOURCE, 0n, 8);
    write(reg.REG_DMA_DESTINATION, 0x40000n, 8);
    write(reg.REG_DMA_COUNT, 4n, 8);
    write(reg.REG_DMA_COMMAND, BigInt(command), 8);
  };
  return { bus, engine, write, run, finish };
}

test('requests carry the PASID while the register says so', () => {
  const t = make();
  t.run(reg.DMA_RUN);
  t.write(REG_DMA_PASID, BigInt(PASID_ENABLE + 0x12345));
  t.run(reg.DMA_RUN);
  t.write(REG_DMA_PASID, 0x12345n);
  t.run(reg.DMA_RUN);
  expect(t.bus.pasids).toEqual([undefined, 0x12345, undefined]);
});

test('the register has 20 bits and the enable bit, and is 4 bytes wide', () => {
  const t = make();
  t.write(REG_DMA_PASID, 0xffffffffn);
  expect(t.engine.read(REG_DMA_PASID, 4)).toBe(0x800fffffn);
  t.write(REG_DMA_PASID, 1n, 8);
  expect(t.engine.read(REG_DMA_PASID, 4)).toBe(0x800fffffn);
  t.engine.reset();
  expect(t.engine.read(REG_DMA_PASID, 4)).toBe(0n);
});

describe('a page that is missing', () => {
  const waiting = () => {
    const t = make();
    t.bus.missing = true;
    t.run(reg.DMA_RUN | reg.DMA_IRQ);
    return t;
  };
  const busy = ({ engine }: ReturnType<typeof make>): bigint => engine.read(reg.REG_DMA_COMMAND, 4) & 1n;

  test('the command goes on when it has come, and raises its interrupt then', () => {
    const t = waiting();
    expect([busy(t), t.bus.raised, t.engine.check()]).toEqual([1n, [], []]);
    t.bus.missing = false;
    t.finish(t.engine.pageResponse(true));
    expect([busy(t), t.bus.raised, t.bus.pasids.length]).toEqual([0n, [0], 2]);
  });

  test('the command ends without it when it will not come', () => {
    const t = waiting();
    t.finish(t.engine.pageResponse(false));
    expect([busy(t), t.bus.raised, t.bus.pasids.length]).toEqual([0n, [0], 1]);
  });

  test('an answer that nobody waits for is nothing, after a reset too', () => {
    const t = waiting();
    t.engine.reset();
    t.finish(t.engine.pageResponse(true));
    expect([busy(t), t.bus.pasids.length]).toEqual([0n, 1]);
  });

  test('waiting is part of the state', () => {
    const t = waiting();
    const w = new ByteWriter();
    t.engine.encode(w);
    const bus = new TestBus();
    const again = makeModel(PASID_MODEL, bus)!;
    again.decode(new ByteReader(w.take()));
    expect([again.check(), again.describe()]).toEqual([[], t.engine.describe()]);
    t.finish(again.pageResponse!(true));
    expect(bus.pasids).toEqual([undefined]);
  });
});

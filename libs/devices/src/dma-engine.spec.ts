import { ByteReader, ByteWriter } from '@vfiolab/core';
import * as reg from './dma-engine.js';
import { DmaEngine, makeModel, type Width } from './index.js';
import { HostBus } from './testing/host-bus.js';

const make = (): { bus: HostBus; engine: DmaEngine; write: (at: number, value: bigint, width?: Width) => void } => {
  const bus = new HostBus();
  const engine = new DmaEngine(bus);
  const write = (at: number, value: bigint, width: Width = 4): void => {
    expect(engine.write(at, width, value).next().done).toBe(true);
  };
  return { bus, engine, write };
};

function copy(t: ReturnType<typeof make>, source: bigint, destination: bigint, count: bigint, command: number): void {
  t.write(reg.REG_DMA_SOURCE, source, 8);
  t.write(reg.REG_DMA_DESTINATION, destination, 8);
  t.write(reg.REG_DMA_COUNT, count, 8);
  t.write(reg.REG_DMA_COMMAND, BigInt(command), 8);
}

describe('a transfer over a page boundary is two requests (trace p051)', () => {
  const [LAST, BUFFER] = [BigInt(0x10000 - 8), reg.BUFFER_START];

  test('of which one gets through', () => {
    const t = make();
    t.bus.memory.fill(0x55, 0, 16);
    copy(t, 0n, BUFFER, 16n, reg.DMA_RUN);
    copy(t, BUFFER, LAST, 16n, reg.DMA_RUN | reg.DMA_TO_MEMORY);
    expect([...t.bus.memory.subarray(-9)]).toEqual([0, ...Array(8).fill(0x55)]);
    t.bus.memory.fill(0xaa, -8);
    copy(t, LAST, BUFFER, 16n, reg.DMA_RUN);
    copy(t, BUFFER, 0x100n, 16n, reg.DMA_RUN | reg.DMA_TO_MEMORY);
    expect([...t.bus.memory.subarray(0x100, 0x110)]).toEqual([...Array(8).fill(0xaa), ...Array(8).fill(0x55)]);
  });

  test('of which the second would be behind the last address: it is none', () => {
    const t = make();
    const asked: bigint[] = [];
    t.bus.dmaRead = function* (iova, length) {
      asked.push(iova);
      return new Uint8Array(length);
    };
    copy(t, (1n << 64n) - 8n, BUFFER, 16n, reg.DMA_RUN);
    copy(t, 0xff8n, BUFFER, 16n, reg.DMA_RUN);
    expect(asked).toEqual([(1n << 64n) - 8n, 0xff8n, 0x1000n]);
  });
});

describe('registers', () => {
  test.each<[string, number, Width, bigint]>([
    ['the identification register', 0, 4, 0x010000edn],
    ['8 bytes below 0x80 read all ones (trace b042)', 0, 8, 0xffffffffffffffffn],
    ['1 byte reads 0 (trace b042)', 1, 1, 0n],
    ['2 bytes read 0', 2, 2, 0n],
    ['a place without a register reads all ones', 0x40000, 4, 0xffffffffn],
    ['the write-only raise register reads all ones', 0x60, 4, 0xffffffffn],
  ])('%s', (_rule, at, width, value) => {
    expect(make().engine.read(at, width)).toBe(value);
  });

  test('liveness answers the inverted value', () => {
    const t = make();
    t.write(4, 1n);
    expect(t.engine.read(4, 4)).toBe(0xfffffffen);
  });

  test('narrow and too wide writes are lost', () => {
    const t = make();
    t.write(4, 1n, 2);
    t.write(4, 1n, 8);
    expect(t.engine.read(4, 4)).toBe(0n);
  });

  test.each<[bigint, bigint]>([
    [0n, 1n],
    [1n, 1n],
    [5n, 120n],
    [13n, 1932053504n],
    [33n, 0x80000000n],
    [34n, 0n],
    [0xffffffffn, 0n],
  ])('factorial of %s in 32 bits is %s', (n, value) => {
    const t = make();
    t.write(8, n);
    expect(t.engine.read(8, 4)).toBe(value);
    expect(t.bus.raised).toEqual([]);
  });

  test('a factorial raises its interrupt when the status register asks for it', () => {
    const t = make();
    t.write(0x20, 0x80n);
    t.write(8, 3n);
    expect(t.bus.raised).toEqual([0]);
    expect(t.engine.read(0x24, 4)).toBe(1n);
  });

  test('acknowledging the last interrupt bit deasserts the line', () => {
    const t = make();
    t.write(0x60, 3n);
    t.write(0x64, 1n);
    expect(t.bus.lowered).toBe(0);
    t.write(0x64, 2n);
    expect(t.bus.lowered).toBe(1);
  });

  test('raising no bits raises nothing', () => {
    const t = make();
    t.write(0x60, 0n);
    expect(t.bus.raised).toEqual([]);
  });
});

describe('DMA', () => {
  test('memory to buffer and back', () => {
    const t = make();
    t.bus.memory.set([1, 2, 3, 4], 0x100);
    copy(t, 0x100n, 0x40010n, 4n, reg.DMA_RUN);
    copy(t, 0x40010n, 0x200n, 4n, reg.DMA_RUN | reg.DMA_TO_MEMORY);
    expect([...t.bus.memory.subarray(0x200, 0x204)]).toEqual([1, 2, 3, 4]);
    expect(t.bus.raised).toEqual([]);
  });

  test('the run bit is set while a transfer is under way, and register writes are lost', () => {
    const t = make();
    let seen = 0n;
    t.bus.during = () => {
      seen = t.engine.read(reg.REG_DMA_COMMAND, 4);
      t.write(reg.REG_DMA_COUNT, 1n);
    };
    copy(t, 0n, 0x40000n, 16n, reg.DMA_RUN | reg.DMA_IRQ);
    expect(seen).toBe(5n);
    expect(t.engine.read(reg.REG_DMA_COUNT, 8)).toBe(16n);
    expect(t.engine.read(reg.REG_DMA_COMMAND, 8)).toBe(4n);
    expect(t.engine.read(reg.REG_IRQ_STATUS, 4)).toBe(0x100n);
    expect(t.bus.raised).toEqual([0]);
  });

  test.each<[string, bigint, bigint]>([
    ['a whole buffer', 0x40000n, 4096n],
    ['the last byte', 0x40fffn, 1n],
  ])('%s is transferred', (_rule, inside, count) => {
    const t = make();
    let asked = 0;
    t.bus.during = () => asked++;
    copy(t, 0n, inside, count, reg.DMA_RUN);
    expect(asked).toBe(1);
  });

  test.each<[string, bigint, bigint]>([
    ['one byte more than the buffer', 0x40000n, 4097n],
    ['a byte behind the buffer', 0x41000n, 1n],
    ['a byte before the buffer', 0x3ffffn, 1n],
    ['no bytes', 0x40000n, 0n],
    ['2^64 - 1 bytes', 0x40000n, 0xffffffffffffffffn],
  ])('%s: nothing is transferred and the command ends', (_rule, inside, count) => {
    const t = make();
    t.bus.during = () => expect('a transfer').toBe('none');
    copy(t, 0n, inside, count, reg.DMA_RUN);
    expect(t.engine.read(reg.REG_DMA_COMMAND, 4)).toBe(0n);
  });

  test('a refused read leaves the buffer as it was', () => {
    const t = make();
    t.bus.memory.fill(7, 0, 4);
    copy(t, 0n, 0x40000n, 4n, reg.DMA_RUN);
    copy(t, 0x100000n, 0x40000n, 4n, reg.DMA_RUN);
    copy(t, 0x40000n, 0x80n, 4n, reg.DMA_RUN | reg.DMA_TO_MEMORY);
    expect([...t.bus.memory.subarray(0x80, 0x84)]).toEqual([7, 7, 7, 7]);
  });

  test('a command without the run bit is lost', () => {
    const t = make();
    t.write(reg.REG_DMA_COMMAND, 6n);
    expect(t.engine.read(reg.REG_DMA_COMMAND, 4)).toBe(0n);
  });
});

describe('state', () => {
  const bytesOf = (e: DmaEngine): Uint8Array => {
    const w = new ByteWriter();
    e.encode(w);
    return w.take();
  };

  test('a snapshot is read back to the same bytes', () => {
    const t = make();
    t.bus.memory.fill(9);
    t.write(4, 5n);
    t.write(0x60, 2n);
    copy(t, 0n, 0x40000n, 64n, reg.DMA_RUN);
    const other = make().engine;
    other.decode(new ByteReader(bytesOf(t.engine)));
    expect(bytesOf(other)).toEqual(bytesOf(t.engine));
    expect(other.describe()).toBe(t.engine.describe());
  });

  test('reset is power-on: registers and buffer are cleared', () => {
    const t = make();
    t.bus.memory.fill(9);
    copy(t, 0n, 0x40000n, 64n, reg.DMA_RUN);
    t.write(4, 5n);
    t.engine.reset();
    expect(bytesOf(t.engine)).toEqual(bytesOf(make().engine));
  });

  test('a run bit without a command breaks the check', () => {
    const t = make();
    const state = bytesOf(t.engine);
    state[16 + 24] = 1;
    t.engine.decode(new ByteReader(state));
    expect(t.engine.check()).toHaveLength(1);
  });
});

test('a name that no model has', () => {
  expect(makeModel('teapot', new HostBus())).toBeUndefined();
  expect(makeModel('', new HostBus())?.name).toBe('dma-engine');
});

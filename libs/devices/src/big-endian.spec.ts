import { ByteReader, ByteWriter } from '@vfiolab/core';
import { makeModel, type ModelBus } from './index.js';

/** No access here reaches memory or an interrupt. */
const bus = {} as ModelBus;
const LIVENESS = 4;
const DMA_SOURCE = 0x80;

it('has the bytes of every register the other way round (trace p018)', () => {
  const model = makeModel('dma-engine-big-endian', bus)!;
  expect(model.read(0, 4)).toBe(0xed000001n);
  expect(model.write(LIVENESS, 4, 0x78563412n).next().done).toBe(true);
  expect(model.read(LIVENESS, 4)).toBe(BigInt.asUintN(32, ~0x78563412n));
  expect(model.write(DMA_SOURCE, 8, 0x0000040000000000n).next().done).toBe(true);
  const [plain, w] = [makeModel('dma-engine', bus)!, new ByteWriter()];
  model.encode(w);
  plain.decode(new ByteReader(w.take()));
  expect(plain.read(DMA_SOURCE, 8)).toBe(0x40000n);
  model.reset();
  expect(model.read(DMA_SOURCE, 8)).toBe(0n);
  expect([model.name, model.check(), model.registerBytes]).toEqual(['dma-engine-big-endian', [], plain.registerBytes]);
});

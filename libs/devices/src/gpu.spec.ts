import { ByteReader, ByteWriter } from '@vfiolab/core';
import * as reg from './gpu.js';
import { HostBus } from './testing/host-bus.js';

const MEMORY = 128 * 2 ** 30;
const [FROM_HOST, TO_HOST] = [reg.START | reg.INTERRUPT, reg.START | reg.TO_HOST | reg.INTERRUPT];

const make = () => {
  const bus = new HostBus(2 ** 20);
  const gpu = new reg.Gpu(bus, MEMORY);
  const write = (at: number, value: bigint | number): void => {
    expect(gpu.write(at, 8, BigInt(value)).next().done).toBe(true);
  };
  const start = (engine: number, source: bigint, destination: bigint, count: number, control: number): void => {
    const at = reg.ENGINE + engine * reg.ENGINE_STRIDE;
    write(at + reg.SOURCE, source);
    write(at + reg.DESTINATION, destination);
    write(at + reg.COUNT, count);
    write(at + reg.CONTROL, control);
  };
  const status = (engine: number): number => Number(gpu.read(reg.ENGINE + engine * reg.ENGINE_STRIDE + reg.STATUS, 4));
  return { bus, gpu, write, start, status };
};

const high = BigInt(MEMORY) - 65536n;

it('says what it is and how much memory it has', () => {
  const { gpu } = make();
  expect([gpu.read(reg.ID, 4), gpu.read(reg.MEMORY_BYTES, 8)]).toEqual([BigInt(reg.IDENTIFICATION), BigInt(MEMORY)]);
});

it('a copy goes on while the driver does other things, and ends with an interrupt of its engine', () => {
  const { bus, gpu, start, status } = make();
  bus.memory.fill(0x5a, 4096, 8192);
  start(1, 4096n, high, 4096, FROM_HOST);
  expect([status(1), bus.requests, status(0)]).toEqual([reg.BUSY, 0, reg.IDLE]);
  start(0, 0n, 0n, 16, FROM_HOST);
  expect(bus.pass()).toBe(1);
  expect([status(1), bus.raised]).toEqual([reg.DONE, [1]]);
  expect(Buffer.from(gpu.memory.read(Number(high), 4096))).toEqual(Buffer.alloc(4096, 0x5a));
  bus.pass();
  start(1, high, 65536n, 4096, TO_HOST);
  bus.pass();
  expect(Buffer.from(bus.memory.subarray(65536, 69632))).toEqual(Buffer.alloc(4096, 0x5a));
});

it.each([
  ['beyond its memory', high, 65537],
  ['more than a command may', 0n, reg.MAX_COPY + 1],
  ['where the host has nothing', 0n, 2 ** 20 + 1],
])('a copy %s fails', (_where, inside, count) => {
  const { bus, start, status } = make();
  start(0, 0n, inside, count, FROM_HOST);
  bus.pass();
  expect([status(0), bus.raised]).toEqual([reg.FAILED, [0]]);
});

it('takes as long as the bytes take on the link, and its registers wait meanwhile', () => {
  const { bus, start, write, status } = make();
  start(0, 0n, 0n, 160_000_000, FROM_HOST);
  write(reg.ENGINE + reg.COUNT, 1);
  write(reg.ENGINE + reg.CONTROL, reg.START);
  expect([status(0), bus.planned.length]).toEqual([reg.BUSY, 1]);
  expect(bus.pass()).toBe(10);
});

it('memory that holds all that it can takes no more, and keeps what it has', () => {
  const { gpu } = make();
  const { memory } = gpu;
  const page = new Uint8Array(4096).fill(1);
  for (let n = 0; n < reg.MAX_COPY / 4096; n++) expect(memory.write(n * 4096, page)).toBe(true);
  expect(memory.write(reg.MAX_COPY, page)).toBe(false);
  expect(memory.write(0, page)).toBe(true);
  expect([memory.used, gpu.check()]).toEqual([reg.MAX_COPY / 4096, []]);
});

it('is as after power-on when it was reset; its state can be stored', () => {
  const { bus, gpu, start, status } = make();
  gpu.memory.write(0, new Uint8Array([1, 2, 3]));
  start(0, 0n, 4096n, 16, reg.START);
  bus.pass();
  const w = new ByteWriter();
  gpu.encode(w);
  const again = new reg.Gpu(bus, MEMORY);
  const r = new ByteReader(w.take());
  again.decode(r);
  r.done();
  expect(again.describe()).toBe(gpu.describe());
  expect([...again.memory.read(0, 3)]).toEqual([1, 2, 3]);
  gpu.reset();
  expect([status(0), gpu.memory.used]).toEqual([reg.IDLE, 0]);
});

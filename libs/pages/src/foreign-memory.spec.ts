/** Memory that lies outside of the lab: what the host's process lends, and what a client answers for. */
import { IOMMU, isOp, type LentBytes, type Op, pagesApi, type Request, sysApi } from '@vfiolab/core';
import { ForeignFrames } from './foreign-frames.js';
import { MAX_QUESTIONS, stretches } from './remote-memory.js';
import { Bench, errnoOf, PAGE, type TestProcess, value } from './testing/harness.js';

const memory = (bytes: Uint8Array): LentBytes => ({
  length: bytes.length,
  read: (at, into) => into.set(bytes.subarray(at, at + into.length)),
  write: (at, data) => bytes.set(data, at),
});
const empty = (p: TestProcess): string => value(p.call(pagesApi.memfdCreate, { flags: 0 }));
const lend = (p: TestProcess, token: string, name: string) => errnoOf(p.call(pagesApi.memfdLend, { token, name }));
const remote = (p: TestProcess, token: string, length: number) => p.call(pagesApi.memfdRemote, { token, length });

function lending(pages: number, frames = 4096): { bench: Bench; vm: TestProcess; bytes: Uint8Array } {
  const bench = new Bench(frames);
  const bytes = new Uint8Array(pages * PAGE);
  bench.lent.set('ram', memory(bytes));
  return { bench, vm: bench.start('vm'), bytes };
}

describe('lent memory', () => {
  it('is read and written in place: by programs, by its file, and by devices', () => {
    const { bench, vm, bytes } = lending(4);
    const token = empty(vm);
    expect(lend(vm, token, 'ram')).toBe(0);
    const va = value(vm.mapFile(token, 4 * PAGE));
    bytes.set(new TextEncoder().encode('guest'), PAGE - 2);
    expect(vm.read(va + PAGE - 2, 5)).toBe('guest');
    expect(vm.write(va + 2 * PAGE, 'host')).toBe(0);
    expect(new TextDecoder().decode(bytes.subarray(2 * PAGE, 2 * PAGE + 4))).toBe('host');
    expect(value(vm.call(sysApi.pread, { token, offset: 2 * PAGE, length: 4 }))).toEqual(
      bytes.subarray(2 * PAGE, 2 * PAGE + 4),
    );
    const { store, pinned } = value(vm.store(va, 4 * PAGE));
    const { frame } = pinned.runs[0]!;
    bench.call(IOMMU, pagesApi.dmaWrite, {
      pieces: [{ frame: frame + 3, offset: 8, length: 2 }],
      data: Uint8Array.of(1, 2),
    });
    expect([...bytes.subarray(3 * PAGE + 7, 3 * PAGE + 11)]).toEqual([0, 1, 2, 0]);
    bench.unpin(store, [{ first: 0, count: 4 }], true);
    vm.munmap(va, 4 * PAGE);
    value(vm.call(sysApi.close, { token }));
    expect(bench.core.figures()['usedFrames']).toBe(0);
    // The frames are the host's again, and zero; the memory keeps its bytes.
    expect(bench.core.frames.bytes.foreign.none).toBe(true);
    expect(bytes[3 * PAGE + 8]).toBe(1);
  });

  it('keeps its length, and is in no snapshot and no hash', () => {
    const { bench, vm, bytes } = lending(2);
    const token = empty(vm);
    expect(lend(vm, token, 'ram')).toBe(0);
    const before = [bench.bytes('snapshot'), bench.bytes('meaning')];
    bytes.fill(7);
    expect([bench.bytes('snapshot'), bench.bytes('meaning')]).toEqual(before);
    expect(errnoOf(vm.call(pagesApi.ftruncate, { token, length: PAGE }))).toBe('EPERM');
    expect(errnoOf(vm.call(pagesApi.ftruncate, { token, length: 4 * PAGE }))).toBe('EPERM');
    expect(errnoOf(vm.call(pagesApi.fallocate, { token, mode: 3, offset: 0, length: PAGE }))).toBe('EPERM');
    bench.restart();
    expect(value(vm.call(sysApi.pread, { token, offset: 0, length: 2 }))).toEqual(Uint8Array.of(7, 7));
    bench.lent.clear();
    bench.restart();
    expect(value(vm.call(sysApi.pread, { token, offset: 0, length: 2 }))).toEqual(Uint8Array.of(0, 0));
  });

  it('is refused by name, and for files that are something already', () => {
    const { bench, vm } = lending(4, 3);
    const other = bench.start('other');
    const token = empty(vm);
    expect(lend(other, token, 'ram')).toBe('EBADF');
    expect(lend(vm, token, 'rom')).toBe('ENOENT');
    // Three frames are too few, and none is taken.
    expect(lend(vm, token, 'ram')).toBe('ENOMEM');
    expect(bench.core.figures()['usedFrames']).toBe(0);
    bench.lent.set('ram', memory(new Uint8Array(PAGE)));
    expect(lend(vm, vm.memfd(PAGE), 'ram')).toBe('EBUSY');
    expect(lend(vm, token, 'ram')).toBe(0);
    expect(lend(vm, token, 'ram')).toBe('EBUSY');
    const huge = value(vm.call(pagesApi.memfdCreate, { flags: 4 }));
    expect(lend(vm, huge, 'ram')).toBe('EINVAL');
    const readOnly = value(vm.call(pagesApi.memfdOpen, { token: empty(vm), writable: false }));
    expect(lend(vm, readOnly, 'ram')).toBe('EBADF');
  });
});

describe('remote memory', () => {
  /** Runs an op of the core until it waits or ends. */
  class Running<T> {
    result: T | undefined;
    done = false;
    constructor(private readonly op: Op<T>) {
      this.go();
    }
    go(): void {
      const { done, value: result } = this.op.next();
      if (done) [this.done, this.result] = [true, result];
    }
  }
  const dma = (bench: Bench, method: typeof pagesApi.dmaRead | typeof pagesApi.dmaWrite, args: unknown): unknown =>
    bench.core.methods.get(method.id)!.handle({ from: IOMMU } as Request, args);

  function pinnedRemote(pages: number) {
    const bench = new Bench(64);
    const vm = bench.start('vm');
    const token = empty(vm);
    const number = value(remote(vm, token, pages * PAGE));
    const va = value(vm.mapFile(token, pages * PAGE));
    const { pinned } = value(vm.store(va, pages * PAGE));
    return { bench, vm, number, va, frame: pinned.runs[0]!.frame };
  }

  it('a read waits for the client that has it', () => {
    const { bench, vm, number, va, frame } = pinnedRemote(3);
    const pieces = [{ frame, offset: 4090, length: 10 }];
    const read = dma(bench, pagesApi.dmaRead, { pieces });
    expect(isOp(read)).toBe(true);
    const running = new Running(read as Op<Uint8Array>);
    expect(running.done).toBe(false);
    expect(bench.events.at(-1)!.to).toBe(vm.client);
    const asked = vm.call(pagesApi.remoteQuestions, undefined);
    expect(asked).toEqual([{ id: 1, memory: number, write: false, offset: 4090, length: 10, data: new Uint8Array(0) }]);
    const data = Uint8Array.from({ length: 10 }, (_, i) => i);
    // Another client's answer, and one to no question, are nothing.
    bench.call(bench.start('other').client, pagesApi.remoteAnswer, { id: 1, data });
    vm.call(pagesApi.remoteAnswer, { id: 2, data });
    running.go();
    expect(running.done).toBe(false);
    vm.call(pagesApi.remoteAnswer, { id: 1, data });
    running.go();
    expect(running.result).toEqual(data);
    expect(vm.call(pagesApi.remoteQuestions, undefined)).toEqual([]);
    // Programs find zeros there, and what they write is lost.
    expect(vm.write(va, 'x')).toBe(0);
    expect(vm.read(va, 1)).toBe('\0');
  });

  it.each([
    ['fails', undefined],
    ['is too short', Uint8Array.of(1)],
  ])('an answer that %s reads as ones', (_words, data) => {
    const { bench, vm, frame } = pinnedRemote(1);
    const pieces = [{ frame, offset: 0, length: 2 }];
    const running = new Running(dma(bench, pagesApi.dmaRead, { pieces }) as Op<Uint8Array>);
    vm.call(pagesApi.remoteAnswer, { id: 1, data });
    running.go();
    expect(running.result).toEqual(Uint8Array.of(0xff, 0xff));
  });

  it('a client that goes has answered everything', () => {
    const { bench, vm, frame } = pinnedRemote(1);
    const pieces = [{ frame, offset: 0, length: 2 }];
    const running = new Running(dma(bench, pagesApi.dmaWrite, { pieces, data: Uint8Array.of(1, 2) }) as Op<void>);
    bench.quick('lab', sysApi.clientGone, { client: vm.client });
    running.go();
    expect(running.done).toBe(true);
    expect(bench.core.remote.size).toBe(0);
  });

  it('questions have a bound: beyond it nobody answers', () => {
    const { bench, frame } = pinnedRemote(1);
    const pieces = [{ frame, offset: 0, length: 1 }];
    const ask = () => new Running(dma(bench, pagesApi.dmaRead, { pieces }) as Op<Uint8Array>);
    const all = Array.from({ length: MAX_QUESTIONS }, ask);
    expect(all.some(({ done }) => done)).toBe(false);
    expect(ask().result).toEqual(Uint8Array.of(0xff));
  });

  it('is refused in half pages, and beside other memory one DMA reaches both', () => {
    const { bench, vm, number, frame } = pinnedRemote(2);
    expect(errnoOf(remote(vm, empty(vm), PAGE + 1))).toBe('EINVAL');
    expect(errnoOf(remote(vm, empty(vm), 0))).toBe('EINVAL');
    expect(errnoOf(remote(vm, empty(vm), 2 ** 52 + PAGE))).toBe('EFBIG');
    const va = vm.mmap(PAGE);
    vm.write(va, 'own');
    const own = value(vm.store(va, PAGE)).pinned.runs[0]!.frame;
    const pieces = [
      { frame: own, offset: 0, length: 3 },
      { frame: frame + 1, offset: 5, length: 2 },
    ];
    const running = new Running(dma(bench, pagesApi.dmaRead, { pieces }) as Op<Uint8Array>);
    expect(vm.call(pagesApi.remoteQuestions, undefined)).toMatchObject([
      { memory: number, offset: PAGE + 5, length: 2 },
    ]);
    vm.call(pagesApi.remoteAnswer, { id: 1, data: Uint8Array.of(8, 9) });
    running.go();
    expect([...running.result!]).toEqual([...new TextEncoder().encode('own'), 8, 9]);
  });
});

describe('runs of foreign frames', () => {
  const named = (length: number): LentBytes => memory(new Uint8Array(length));

  it('are cut where frames are freed', () => {
    const frames = new ForeignFrames();
    const bytes = named(8 * PAGE);
    frames.lend(100, 8, { bytes, offset: 0 });
    frames.remote(108, 4, { memory: 5, offset: 0 });
    frames.forget(102, 104);
    frames.forget(107, 110);
    const lent = Array.from({ length: 12 }, (_, i) => frames.lentAt(100 + i)?.offset);
    const no = undefined;
    expect(lent.map((offset) => (offset === undefined ? no : offset / PAGE))).toEqual([
      ...[0, 1, no, no, 4, 5, 6, no],
      ...[no, no, no, no],
    ]);
    expect(frames.placeOf(110)).toEqual({ memory: 5, offset: 2 * PAGE, frames: 2 });
    expect(frames.hasRemote).toBe(true);
    frames.forget(0, 1000);
    expect([frames.none, frames.hasRemote]).toEqual([true, false]);
  });

  it('a DMA is cut where the memory behind it changes', () => {
    const placeOf = (frame: number) =>
      frame < 12 ? { memory: 1, offset: (frame - 10) * PAGE, frames: 12 - frame } : undefined;
    expect([...stretches({ frame: 10, offset: 4000, length: 2 * PAGE }, placeOf)]).toEqual([
      { at: 0, length: 4192, frame: 10, offset: 4000, place: { memory: 1, offset: 4000 } },
      { at: 4192, length: 4000, frame: 12, offset: 0, place: undefined },
    ]);
  });
});

/**
 * Accounting with the numbers that kernel 6.12 gave (traces a018-a023, a048; VmLck and VmPin in kB).
 */
import { CAP_SYS_RESOURCE, CONTAINER, pagesApi, RLIMIT_LOCKED, RLIMIT_MM, RLIMIT_USER } from '@vfiolab/core';
import { Bench, errnoOf, PAGE, ROOT, type TestProcess, value } from './testing/harness.js';

const MEMLOCK = 65536;
const USER = { uid: 1000, caps: 0, memlock: MEMLOCK };
const KB64 = 65536;

const map = (p: TestProcess, va: number, length: number, rlimitMode = RLIMIT_USER) =>
  p.store(va, length, { rlimitMode });
const storeOf = (reply: ReturnType<TestProcess['store']>): number => value(reply).store;

describe('a019: whole pages are counted', () => {
  it.each([
    ['half a page', 0x800, 2048, 4],
    ['half a page at its start', 0x1000, 2048, 4],
    ['a page over a border', 0x2800, 4096, 8],
    ['one byte', 0xfff, 1, 4],
    ['two bytes over a border', 0xfff, 2, 8],
    ['16 pages', 0, 65536, 64],
  ])('%s at +%i, %i bytes: VmPin %i kB', (_what, offset, length, kb) => {
    const p = new Bench(64).start('vm');
    const buf = p.mmap(65536);
    expect(value(map(p, buf + offset, length)).pinned.next).toBe(kb / 4);
    expect(p.locks()).toEqual([0, kb]);
  });

  it('every store pins again: 4, 8, 16, 80, 144 kB', () => {
    const p = new Bench(64).start('vm');
    const buf = p.mmap(65536);
    const steps: [number, number][] = [
      [0x800, 2048],
      [0x1000, 2048],
      [0x2800, 4096],
      [0, 65536],
      [0, 65536],
    ];
    const seen = steps.map(([offset, length]) => (value(map(p, buf + offset, length)), p.locks()[1]));
    expect(seen).toEqual([4, 8, 16, 80, 144]);
  });
});

describe('a020: user mode counts all stores of the uid', () => {
  it('follows the trace', () => {
    const bench = new Bench(256);
    const p = bench.start('vm', USER);
    const buf = p.mmap(262144);
    expect(errnoOf(map(p, buf, 69632))).toBe('ENOMEM');
    const first = storeOf(map(p, buf, KB64));
    expect(p.locks()).toEqual([0, 64]);
    expect(errnoOf(map(p, buf, 4096))).toBe('ENOMEM');
    bench.unpin(first, [{ first: 0, count: 16 }], true);
    const half = storeOf(map(p, buf, 32768));
    expect(errnoOf(map(p, buf, 36864))).toBe('ENOMEM');
    expect(errnoOf(map(p, buf, 32768))).toBe(0);
    expect(errnoOf(bench.pin(half, 0, 8))).toBe(0);
    expect([p.locks(), p.status().userLockedPages]).toEqual([[0, 64], 16]);
  });

  it('pages that are pinned already are covered again whatever the limit has become (feature 28)', () => {
    const p = new Bench(256).start('vm', USER);
    const store = storeOf(map(p, p.mmap(KB64), 32768));
    p.call(pagesApi.setrlimit, { memlock: 0 });
    expect(errnoOf(p.bench.pin(store, 0, 8))).toBe(0);
    p.bench.unpin(store, [{ first: 0, count: 8 }]);
    p.bench.unpin(store, [{ first: 0, count: 8 }]);
    expect(errnoOf(p.bench.pin(store, 0, 8))).toBe('ENOMEM');
  });

  it('two processes of a uid share it, another uid does not (feature 40)', () => {
    const bench = new Bench(256);
    const [a, b] = [bench.start('a', USER), bench.start('b', USER)];
    const c = bench.start('c', { ...USER, uid: 1001 });
    expect(errnoOf(map(a, a.mmap(KB64), KB64))).toBe(0);
    expect(errnoOf(map(b, b.mmap(PAGE), PAGE))).toBe('ENOMEM');
    expect(errnoOf(map(c, c.mmap(KB64), KB64))).toBe(0);
    expect([b.status().userLockedPages, b.locks()]).toEqual([16, [0, 0]]);
  });
});

describe('a022: mm mode counts against VmLck', () => {
  it('follows the trace: 48/48, 64/64, 16/16', () => {
    const bench = new Bench(256);
    const p = bench.start('vm', USER);
    const buf = p.mmap(262144);
    expect(errnoOf(map(p, buf, 69632, RLIMIT_MM))).toBe('ENOMEM');
    const big = storeOf(map(p, buf, 49152, RLIMIT_MM));
    expect(p.locks()).toEqual([48, 48]);
    expect(errnoOf(map(p, buf, 32768, RLIMIT_MM))).toBe('ENOMEM');
    expect(errnoOf(map(p, buf, 16384, RLIMIT_MM))).toBe(0);
    expect(p.locks()).toEqual([64, 64]);
    bench.unpin(big, [{ first: 0, count: 12 }], true);
    expect([p.locks(), p.status().userLockedPages]).toEqual([[16, 16], 0]);
  });

  it('two processes of a uid do not share it (feature 40)', () => {
    const bench = new Bench(256);
    for (const name of ['a', 'b']) {
      const p = bench.start(name, USER);
      expect(errnoOf(map(p, p.mmap(KB64), KB64, RLIMIT_MM))).toBe(0);
    }
  });
});

describe('CAP_IPC_LOCK at map time (a023)', () => {
  it.each([RLIMIT_USER, RLIMIT_MM])('no charge and no limit, VmPin alone (mode %i)', (mode) => {
    const p = new Bench(64).start('vm');
    value(p.call(pagesApi.setrlimit, { memlock: 0 }));
    expect(errnoOf(map(p, p.mmap(KB64), KB64, mode))).toBe(0);
    expect([p.locks(), p.status().userLockedPages]).toEqual([[0, 64], 0]);
  });

  it('is kept by the store when the process gives it up; new stores are charged', () => {
    const bench = new Bench(64);
    const p = bench.start('vm');
    const buf = p.mmap(KB64);
    value(p.call(pagesApi.setrlimit, { memlock: 0 }));
    const early = storeOf(p.store(buf, 2 * PAGE, { pin: false }));
    value(p.call(pagesApi.setuid, { uid: 1002 }));
    expect(errnoOf(bench.pin(early, 0, 1))).toBe(0);
    expect(errnoOf(map(p, buf, PAGE))).toBe('ENOMEM');
    bench.unpin(early, [{ first: 0, count: 1 }]);
    expect(errnoOf(map(p, buf, PAGE))).toBe('ENOMEM');
    expect([p.locks(), p.status().userLockedPages]).toEqual([[0, 0], 0]);
  });
});

describe('a018, a048: when and whom', () => {
  it('VmPin moves with the first and the last cover only', () => {
    const bench = new Bench(512);
    const p = bench.start('vm');
    const id = storeOf(p.store(p.mmap(1 << 20), 1 << 20, { pin: false }));
    const all = [{ first: 0, count: 256 }];
    const seen = [p.locks()[1]];
    for (const step of ['pin', 'pin', 'unpin', 'unpin', 'pin']) {
      if (step === 'pin') value(bench.pin(id, 0, 256));
      else bench.unpin(id, all);
      seen.push(p.locks()[1]);
    }
    expect(seen).toEqual([0, 1024, 1024, 1024, 0, 1024]);
  });

  it('each process pays for what it mapped', () => {
    const bench = new Bench(64);
    const [parent, child] = [bench.start('parent'), bench.start('child')];
    const id = storeOf(map(child, child.mmap(16384), 16384));
    value(map(parent, parent.mmap(8192), 8192));
    expect([child.locks(), parent.locks()]).toEqual([
      [0, 16],
      [0, 8],
    ]);
    bench.unpin(id, [{ first: 0, count: 4 }], true);
    expect([child.locks(), parent.locks()]).toEqual([
      [0, 0],
      [0, 8],
    ]);
  });
});

describe('limits of a process', () => {
  it.each([
    ['lower', 0, MEMLOCK - 1, 0],
    ['the same', 0, MEMLOCK, 0],
    ['higher', 0, MEMLOCK + 1, 'EPERM'],
    ['higher with CAP_SYS_RESOURCE', CAP_SYS_RESOURCE, 2 ** 53 - 1, 0],
  ] as const)('setrlimit %s', (_rule, caps, memlock, errno) => {
    const p = new Bench(1).start('vm', { ...USER, caps });
    expect(errnoOf(p.call(pagesApi.setrlimit, { memlock }))).toBe(errno);
  });

  it('a limit that is not a whole number of pages is rounded down', () => {
    const p = new Bench(16).start('vm', { ...USER, memlock: 2 * PAGE - 1 });
    const buf = p.mmap(2 * PAGE);
    expect([errnoOf(map(p, buf, 2 * PAGE)), errnoOf(map(p, buf, PAGE))]).toEqual(['ENOMEM', 0]);
  });

  it.each([
    ['root to a user', 0, 1000, 0],
    ['a user to another', 1000, 1001, 'EPERM'],
    ['a user to root', 1000, 0, 'EPERM'],
    ['a user to itself', 1000, 1000, 0],
  ] as const)('setuid: %s', (_rule, from, to, errno) => {
    const p = new Bench(1).start('vm', { uid: from, caps: CAP_SYS_RESOURCE, memlock: 0 });
    expect(errnoOf(p.call(pagesApi.setuid, { uid: to }))).toBe(errno);
    const left = p.bench.call('iommufd', pagesApi.capabilities, { client: p.client });
    expect(left).toBe(from === 0 ? 0 : CAP_SYS_RESOURCE);
  });
});

describe('a container charges page by page (SURPRISES 18, trace b075)', () => {
  const locked = (p: TestProcess, va: number, length: number) => map(p, va, length, RLIMIT_LOCKED);

  it('to VmLck, also of root, who has no limit; VmPin does not move', () => {
    const bench = new Bench(64);
    const p = bench.start('vm', { ...ROOT, memlock: PAGE });
    const buf = p.mmap(KB64);
    const store = storeOf(locked(p, buf, KB64));
    expect(p.locks()).toEqual([64, 0]);
    bench.restart();
    expect(p.locks()).toEqual([64, 0]);
    bench.unpin(store, [{ first: 0, count: 16 }], true);
    expect(p.locks()).toEqual([0, 0]);
  });

  it('against the limit, with what is mlocked; the user counter does not move', () => {
    const p = new Bench(256).start('vm', USER);
    const buf = p.mmap(262144);
    expect(errnoOf(p.call(pagesApi.mlock, { va: buf, length: 32768 }))).toBe(0);
    expect(errnoOf(locked(p, buf, 32768 + PAGE))).toBe('ENOMEM');
    expect(errnoOf(locked(p, buf, 32768))).toBe(0);
    expect([p.locks(), p.status().userLockedPages]).toEqual([[64, 0], 0]);
    expect(errnoOf(map(p, buf, KB64))).toBe(0);
  });

  it.each([
    [3, 'ENOMEM'],
    [4, 'EFAULT'],
    [9, 'EFAULT'],
  ])('with room for %i pages and 4 of 8 there: %s', (room, errno) => {
    const p = new Bench(64).start('vm', { ...USER, memlock: room * PAGE });
    const buf = p.mmap(8 * PAGE);
    p.munmap(buf + 4 * PAGE, 4 * PAGE);
    expect(errnoOf(locked(p, buf, 8 * PAGE))).toBe(errno);
    expect(p.locks()).toEqual([0, 0]);
  });

  it('iommufd charges at the end, so what is not there wins', () => {
    const p = new Bench(64).start('vm', { ...USER, memlock: PAGE });
    const buf = p.mmap(8 * PAGE);
    p.munmap(buf + 4 * PAGE, 4 * PAGE);
    expect(errnoOf(map(p, buf, 8 * PAGE))).toBe('EFAULT');
  });

  it('storeMove: the new process pays when it has room, the old one gets its charge back', () => {
    const bench = new Bench(256);
    const [a, b] = [bench.start('a', USER), bench.start('b', USER)];
    const store = storeOf(locked(a, a.mmap(KB64), KB64));
    const va = BigInt(b.mmap(KB64));
    value(b.call(pagesApi.setrlimit, { memlock: KB64 - PAGE }));
    const move = (client: string) => bench.call(CONTAINER, pagesApi.storeMove, { store, client, va });
    expect(errnoOf(move(b.client))).toBe('ENOMEM');
    expect(errnoOf(move('client:nobody'))).toBe('ESRCH');
    expect([a.locks(), b.locks()]).toEqual([
      [64, 0],
      [0, 0],
    ]);
    const rich = bench.start('rich', { ...USER, memlock: KB64 });
    expect(errnoOf(move(rich.client))).toBe(0);
    expect([a.locks(), rich.locks()]).toEqual([
      [0, 0],
      [64, 0],
    ]);
    bench.gone(a);
    bench.restart();
    expect(errnoOf(move(rich.client))).toBe(0);
    bench.gone(rich);
    bench.unpin(store, [{ first: 0, count: 16 }], true);
    expect(bench.core.figures()).toMatchObject({ stores: 0 });
  });
});

import { CONTAINER, pagesApi, RLIMIT_UNCHARGED } from '@vfiolab/core';
import { Bench, errnoOf, PAGE, ROOT, type TestProcess, value } from './testing/harness.js';

const LARGE = 0x10000;
const USER = { uid: 1000, caps: 0, memlock: 3 * LARGE + PAGE };

const boot = (identity = ROOT) => {
  const bench = new Bench(4096, 16);
  return { bench, p: bench.start('program', identity) };
};
const locked = (p: TestProcess) => value(p.call(pagesApi.status, undefined)).vmLockedKb;

it('a kernel of 64 KiB pages maps, protects and locks in them', () => {
  const { bench, p } = boot();
  const va = p.mmap(PAGE);
  expect(va % LARGE).toBe(0);
  p.call(pagesApi.memWrite, { va: va + LARGE - 1, data: Uint8Array.of(7) });
  expect(errnoOf(p.call(pagesApi.memWrite, { va: va + LARGE, data: Uint8Array.of(7) }))).toBe('EFAULT');
  for (const method of [pagesApi.munmap, pagesApi.mlock] as const) {
    expect(errnoOf(p.call(method, { va: va + PAGE, length: PAGE }))).toBe(method === pagesApi.munmap ? 'EINVAL' : 0);
  }
  expect(locked(p)).toBe(64);
  expect(errnoOf(p.call(pagesApi.mprotect, { va: va + PAGE, length: PAGE, prot: 1 }))).toBe('EINVAL');
  expect(errnoOf(p.call(pagesApi.mprotect, { va, length: 1, prot: 1 }))).toBe(0);
  expect(errnoOf(p.call(pagesApi.memWrite, { va: va + LARGE - 1, data: Uint8Array.of(7) }))).toBe('EFAULT');
  expect(errnoOf(p.call(pagesApi.mmap, { va: va + 8 * PAGE, length: PAGE, prot: 3, pageShift: 12 }))).toBe('EINVAL');
  bench.restart();
  value(p.call(pagesApi.munmap, { va, length: 1 }));
  expect([locked(p), p.mmapShared(PAGE) % LARGE]).toEqual([0, 0]);
});

it('RLIMIT_MEMLOCK counts whole pages of the kernel', () => {
  const { p } = boot(USER);
  const va = p.mmap(4 * LARGE);
  expect(errnoOf(p.call(pagesApi.mlock, { va, length: 3 * LARGE + 1 }))).toBe('ENOMEM');
  value(p.call(pagesApi.mlock, { va, length: 2 * LARGE + 1 }));
  expect(locked(p)).toBe(192);
});

describe('charges without memory', () => {
  it('move VmLck up to the limit, with what is locked; CAP_IPC_LOCK lifts it', () => {
    const { bench, p } = boot(USER);
    const charge = (client: string, frames: number) => bench.call(CONTAINER, pagesApi.chargeLocked, { client, frames });
    const { mm } = value(charge(p.client, 32));
    expect(locked(p)).toBe(128);
    bench.restart();
    expect(errnoOf(charge(p.client, 17))).toBe('ENOMEM');
    value(charge(p.client, 16));
    bench.call(CONTAINER, pagesApi.unchargeLocked, { mm, frames: 48 });
    expect(locked(p)).toBe(0);
    expect(errnoOf(charge('client:nobody', 1))).toBe('ESRCH');
    value(charge(bench.start('root').client, 2 ** 40));
  });

  it('go with the process', () => {
    const { bench, p } = boot();
    const { mm } = value(bench.call(CONTAINER, pagesApi.chargeLocked, { client: p.client, frames: 16 }));
    bench.gone(p);
    bench.call(CONTAINER, pagesApi.unchargeLocked, { mm, frames: 16 });
    expect(bench.core.figures()['charges']).toBe(0);
  });
});

it('pins that nobody is charged for move neither VmLck nor VmPin', () => {
  const { bench, p } = boot(USER);
  const va = BigInt(p.mmap(8 * LARGE));
  const request = { client: p.client, va, length: BigInt(8 * LARGE), writable: true, pin: true };
  const { store } = value(bench.call(CONTAINER, pagesApi.storeCreate, { ...request, rlimitMode: RLIMIT_UNCHARGED }));
  expect(value(p.call(pagesApi.status, undefined))).toMatchObject({ vmLockedKb: 0, vmPinnedKb: 0 });
  bench.unpin(store, [{ first: 0, count: 128 }], true);
});

it('pinnable: up to the first page that could not be pinned for writing', () => {
  const { bench, p } = boot();
  const va = p.mmap(4 * LARGE);
  value(p.call(pagesApi.mprotect, { va: va + 3 * LARGE, length: LARGE, prot: 1 }));
  const ask = (from: number, length: number) =>
    bench.call(CONTAINER, pagesApi.pinnable, { client: p.client, va: BigInt(from), length: BigInt(length) });
  expect([ask(va, LARGE), ask(va + PAGE, 8 * LARGE), ask(va + 3 * LARGE, LARGE), ask(va + 4 * LARGE, LARGE)]).toEqual([
    BigInt(LARGE),
    BigInt(3 * LARGE - PAGE),
    0n,
    0n,
  ]);
  expect(bench.call(CONTAINER, pagesApi.pinnable, { client: 'client:nobody', va: 0n, length: 1n << 63n })).toBe(0n);
});

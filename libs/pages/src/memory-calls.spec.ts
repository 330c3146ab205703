/** mlock, fork, exec, and stores over files. */
import { IOMMUFD, MFD_HUGETLB, pagesApi, RLIMIT_MM } from '@vfiolab/core';
import { Bench, errnoOf, framesOf, PAGE, type TestProcess, value } from './testing/harness.js';

const USER = { uid: 9, caps: 0, memlock: 4 * PAGE };
const user = (frames = 64) => new Bench(frames).start('vm', USER);
const mlock = (p: TestProcess, va: number, length: number) => errnoOf(p.call(pagesApi.mlock, { va, length }));
const munlock = (p: TestProcess, va: number, length: number) => errnoOf(p.call(pagesApi.munlock, { va, length }));
const change = (p: TestProcess, stores: number[]) =>
  errnoOf(p.bench.call(IOMMUFD, pagesApi.changeProcess, { client: p.client, stores }));

describe('mlock', () => {
  it('charges whole pages once, however often they are locked', () => {
    const p = user();
    const va = p.mmap(8 * PAGE);
    expect(mlock(p, va + 1, PAGE)).toBe(0);
    expect(p.locks()).toEqual([8, 0]);
    expect(mlock(p, va, 4 * PAGE)).toBe(0);
    expect(p.locks()).toEqual([16, 0]);
    expect(mlock(p, va + PAGE, 4 * PAGE)).toBe('ENOMEM');
    expect(munlock(p, va + PAGE, PAGE)).toBe(0);
    expect(p.locks()).toEqual([12, 0]);
  });

  it.each<[string, (p: TestProcess, va: number) => unknown, number]>([
    ['munmap', (p, va) => p.munmap(va, PAGE), 4],
    ['mprotect does not', (p, va) => p.call(pagesApi.mprotect, { va, length: PAGE, prot: 1 }), 8],
    ['exec', (p) => p.call(pagesApi.exec, undefined), 0],
  ])('ends with %s', (_what, act, kb) => {
    const p = user();
    const va = p.mmap(2 * PAGE);
    mlock(p, va, 2 * PAGE);
    act(p, va);
    expect(p.locks()[0]).toBe(kb);
  });

  it.each<[string, (p: TestProcess) => unknown, unknown]>([
    ['a limit of 0', (p) => (p.call(pagesApi.setrlimit, { memlock: 0 }), mlock(p, p.mmap(PAGE), PAGE)), 'EPERM'],
    ['nothing there', (p) => mlock(p, 1 << 20, PAGE), 'ENOMEM'],
    ['a page that cannot be touched', (p) => mlock(p, p.mmap(PAGE, { prot: 0 }), PAGE), 'ENOMEM'],
    ['behind the end of a file', (p) => mlock(p, value(p.mapFile(p.memfd(0), PAGE)), PAGE), 'ENOMEM'],
    [
      'hugetlb memory, which is not charged',
      (p) => [mlock(p, p.mmap(1 << 21, { pageShift: 21 }), PAGE), p.locks()[0]],
      [0, 0],
    ],
    ['what is shared', (p) => mlock(p, p.mmapShared(PAGE), PAGE), 0],
  ])('%s', (_what, attempt, answer) => {
    expect(attempt(user(2048))).toEqual(answer);
  });

  it('a host that is full: EAGAIN', () => {
    const p = user(1);
    expect(mlock(p, p.mmap(2 * PAGE), 2 * PAGE)).toBe('EAGAIN');
  });

  it('shares its limit with pins that are charged to the mm (trace a022), not with those of the user (a020)', () => {
    const p = user();
    const va = p.mmap(8 * PAGE);
    value(p.store(va, 3 * PAGE, { rlimitMode: RLIMIT_MM }));
    expect(mlock(p, va, 2 * PAGE)).toBe('ENOMEM');
    expect(mlock(p, va, PAGE)).toBe(0);
    expect(errnoOf(p.store(va, PAGE, { rlimitMode: RLIMIT_MM }))).toBe('ENOMEM');
    expect(errnoOf(p.store(va, 4 * PAGE))).toBe(0);
  });
});

describe('fork', () => {
  it('private memory is copied, shared memory is the same, locks and pins stay behind', () => {
    const p = user();
    const [own, ours] = [p.mmap(2 * PAGE), p.mmapShared(PAGE)];
    p.write(own, 'mine');
    p.write(ours, 'ours');
    mlock(p, own, PAGE);
    const before = framesOf(value(p.store(own, PAGE)).pinned.runs);
    const child = p.fork('child');
    expect([child.locks(), child.read(own, 4), child.read(ours, 4)]).toEqual([[0, 0], 'mine', 'ours']);
    child.write(own, 'his!');
    child.write(ours, 'both');
    expect([p.read(own, 4), p.read(ours, 4)]).toEqual(['mine', 'both']);
    expect(framesOf(value(p.store(own, PAGE)).pinned.runs)).toEqual(before);
    p.bench.restart();
    p.bench.gone(p);
    expect(child.read(ours, 4)).toBe('both');
  });

  it('the child has the user and the limit of its parent', () => {
    const child = user().fork('child');
    expect(mlock(child, child.mmap(5 * PAGE), 5 * PAGE)).toBe('ENOMEM');
    expect(errnoOf(child.call(pagesApi.setuid, { uid: 0 }))).toBe('EPERM');
  });

  it.each<[string, (bench: Bench, p: TestProcess) => string, string]>([
    ['into nobody', () => 'client:nobody', 'ESRCH'],
    ['into itself', (_b, p) => p.client, 'EEXIST'],
    [
      'into a process that has memory',
      (b) => {
        const q = b.start('q');
        q.mmap(PAGE);
        return q.client;
      },
      'EEXIST',
    ],
    [
      'on a host that is full',
      (b, p) => {
        p.write(p.mmap(2 * PAGE), 'x'.repeat(2 * PAGE));
        return b.start('q').client;
      },
      'ENOMEM',
    ],
  ])('%s', (_what, childOf, errno) => {
    const bench = new Bench(3);
    const p = bench.start('vm');
    expect(errnoOf(p.call(pagesApi.fork, { child: childOf(bench, p) }))).toBe(errno);
  });
});

describe('exec', () => {
  it('the process goes on with empty memory; pins stay and no new ones can be made', () => {
    const p = user();
    const va = p.mmap(2 * PAGE);
    const { store } = value(p.store(va, 2 * PAGE, { pin: false }));
    value(p.bench.pin(store, 0, 1));
    value(p.call(pagesApi.exec, undefined));
    expect([p.status().pid, p.locks(), errnoOf(p.call(pagesApi.memRead, { va, length: 1 }))]).toEqual([
      1,
      [0, 0],
      'EFAULT',
    ]);
    expect([errnoOf(p.bench.pin(store, 0, 1)), errnoOf(p.bench.pin(store, 1, 1))]).toEqual([0, 'EFAULT']);
    p.bench.restart();
    p.bench.unpin(
      store,
      [
        { first: 0, count: 1 },
        { first: 0, count: 1 },
      ],
      true,
    );
    expect(p.bench.core.figures()['processes']).toBe(1);
  });
});

describe('a store over a file', () => {
  it('holds its frames when the file is cut off, closed and forgotten (semantics B8.1)', () => {
    const p = user();
    const token = p.memfd(4 * PAGE);
    const va = value(p.mapFile(token, 4 * PAGE));
    p.write(va, 'kept');
    const { store, pinned } = value(p.fileStore(token, 0, 2 * PAGE));
    expect(p.locks()).toEqual([0, 8]);
    value(p.call(pagesApi.ftruncate, { token, length: 0 }));
    const read = { store, at: 0n, length: 4, client: p.client, slow: false };
    const bytes = value(p.bench.call(IOMMUFD, pagesApi.storeRead, read));
    expect(new TextDecoder().decode(bytes)).toBe('kept');
    expect(errnoOf(p.bench.pin(store, 0, 1))).toBe(0);
    value(p.call(pagesApi.ftruncate, { token, length: 4 * PAGE }));
    const again = value(p.fileStore(token, 0, PAGE)).pinned;
    expect(framesOf(again.runs)).not.toEqual(framesOf(pinned.runs).slice(0, 1));
  });

  it.each<[string, (p: TestProcess) => unknown, unknown]>([
    ['behind the end of the file', (p) => errnoOf(p.fileStore(p.memfd(PAGE), PAGE, PAGE)), 'EINVAL'],
    ['over the end of the file', (p) => errnoOf(p.fileStore(p.memfd(PAGE), 0, PAGE + 1)), 'EINVAL'],
    ['behind the end, without a pin', (p) => errnoOf(p.fileStore(p.memfd(0), PAGE, PAGE, { pin: false })), 0],
    ['a file of another service', (p) => errnoOf(p.fileStore(undefined, 0, PAGE)), 'EINVAL'],
    ['the same without a pin', (p) => errnoOf(p.fileStore(undefined, 0, PAGE, { pin: false })), 0],
    ['an eventfd', (p) => errnoOf(p.fileStore(value(p.call(pagesApi.eventfd, { init: 0n })), 0, PAGE)), 'EINVAL'],
    ['no file at all', (p) => errnoOf(p.fileStore('f'.repeat(8), 0, PAGE)), 'EBADF'],
    ['more than the limit', (p) => errnoOf(p.fileStore(p.memfd(8 * PAGE), 0, 5 * PAGE)), 'ENOMEM'],
    ['hugetlb, in part', (p) => errnoOf(p.fileStore(p.memfd(1 << 21, MFD_HUGETLB), PAGE, PAGE)), 0],
  ])('%s', (_what, attempt, errno) => {
    expect(attempt(user(1024))).toBe(errno);
  });

  it('survives the file it was made from, and a restart', () => {
    const p = user();
    const token = p.memfd(PAGE);
    const { store } = value(p.fileStore(token, 0, PAGE, { pin: false }));
    value(p.fileStore(undefined, 0, PAGE, { pin: false }));
    p.bench.gone(p);
    p.bench.restart();
    expect(errnoOf(p.bench.pin(store, 0, 1))).toBe(0);
    p.bench.unpin(store, [{ first: 0, count: 1 }], true);
    expect(p.bench.core.files.size).toBe(0);
  });
});

describe('IOMMU_IOAS_CHANGE_PROCESS', () => {
  it.each([
    ['the mm', RLIMIT_MM, [8, 8]],
    ['the user', 0, [0, 8]],
  ])('moves what is charged to %s (trace c068)', (_what, rlimitMode, locks) => {
    const p = user();
    const { store } = value(p.fileStore(p.memfd(2 * PAGE), 0, 2 * PAGE, { rlimitMode }));
    const child = p.fork('child');
    expect(change(child, [store])).toBe(0);
    expect([p.locks(), child.locks(), child.status().userLockedPages]).toEqual([
      [0, 0],
      locks,
      rlimitMode === 0 ? 2 : 0,
    ]);
    p.bench.gone(p);
    p.bench.restart();
    p.bench.unpin(store, [{ first: 0, count: 2 }], true);
    expect(child.locks()).toEqual([0, 0]);
  });

  it('moves all or nothing: ENOMEM above the limit, EINVAL for memory of a process', () => {
    const p = user();
    const [a, b] = [1, 3].map((pages) => {
      const made = p.fileStore(p.memfd(pages * PAGE), 0, pages * PAGE, { rlimitMode: RLIMIT_MM });
      return value(made).store;
    });
    const child = p.fork('child');
    child.call(pagesApi.setrlimit, { memlock: 3 * PAGE });
    expect(change(child, [a!, b!])).toBe('ENOMEM');
    const { store } = value(p.store(p.mmap(PAGE), PAGE, { pin: false }));
    expect(change(child, [a!, store])).toBe('EINVAL');
    expect([p.locks(), child.locks()]).toEqual([
      [16, 16],
      [0, 0],
    ]);
  });

  it('what nobody is charged for stays where it is counted', () => {
    const p = new Bench(64).start('root');
    const { store } = value(p.fileStore(p.memfd(PAGE), 0, PAGE));
    const child = p.fork('child');
    expect([change(child, [store]), p.locks(), child.locks()]).toEqual([0, [0, 4], [0, 0]]);
  });
});

describe.each([
  ['nobody reserved huge pages', 'empty', 'ENOMEM', 0],
  ['the kernel has none', 'none', 'ENOENT', 'ENOENT'],
] as const)('%s (trace p031)', (_why, hugetlb, refusal, memfd) => {
  const bench = new Bench(4096, 12, hugetlb);
  const p = bench.start('vm');
  const area = { va: 0, length: 1 << 21, prot: 3, pageShift: 21 };
  const answers = () => [
    errnoOf(p.call(pagesApi.mmap, area)),
    errnoOf(p.call(pagesApi.mmapShared, area)),
    errnoOf(p.call(pagesApi.memfdCreate, { flags: MFD_HUGETLB })),
  ];

  it('areas of them are refused, and leave nothing', () => {
    expect(answers()).toEqual([refusal, refusal, memfd]);
    expect(bench.core.check()).toEqual([]);
    expect(errnoOf(p.call(pagesApi.mmap, { ...area, pageShift: 12 }))).toBe(0);
  });

  it('an unknown size is refused as ever', () =>
    expect(errnoOf(p.call(pagesApi.mmap, { ...area, pageShift: 24 }))).toBe('EINVAL'));

  it('also after a restart', () => {
    bench.restart();
    expect(answers()).toEqual([refusal, refusal, memfd]);
  });
});

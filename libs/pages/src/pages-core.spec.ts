import { clientAddress, IOMMU, IOMMUFD, LAB, MAX_DMA, pagesApi, sysApi } from '@vfiolab/core';
import { MAX_PROCESSES } from './processes.js';
import { MAX_FRAMES } from './frames.js';
import { Bench, errnoOf, framesOf, PAGE, ROOT, type TestProcess, value } from './testing/harness.js';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const dmaRead = (bench: Bench, frame: number, length: number, offset = 0) =>
  text(bench.call(IOMMU, pagesApi.dmaRead, { pieces: [{ frame, offset, length }] }));
const dmaWrite = (bench: Bench, frame: number, data: string, offset = 0) =>
  bench.call(IOMMU, pagesApi.dmaWrite, {
    pieces: [{ frame, offset, length: data.length }],
    data: new TextEncoder().encode(data),
  });

/** A process that wrote `words` and pinned it. */
function pinnedPage(p: TestProcess, words: string) {
  const va = p.mmap(PAGE);
  p.write(va, words);
  const { store, pinned } = value(p.store(va, PAGE));
  return { va, store, frame: framesOf(pinned.runs)[0]! };
}

describe('pinned memory cannot be stolen (feature 58)', () => {
  it('munmap: the device still sees the page, nobody else gets it, and it comes back zeroed', () => {
    const bench = new Bench(2);
    const [p, thief] = [bench.start('vm'), bench.start('thief')];
    const { va, store, frame } = pinnedPage(p, 'mine');
    p.munmap(va, PAGE);
    expect(dmaRead(bench, frame, 4)).toBe('mine');
    const loot = thief.mmap(2 * PAGE);
    expect([thief.write(loot, 'x'), thief.write(loot + PAGE, 'x')]).toEqual([0, 'ENOMEM']);
    dmaWrite(bench, frame, 'late');
    bench.unpin(store, [{ first: 0, count: 1 }], true);
    expect([thief.write(loot + PAGE + 10, 'x'), thief.read(loot + PAGE, 4)]).toEqual([0, '\0\0\0\0']);
  });

  it('a new mapping at the same address is another page; the next first pin takes that one', () => {
    const bench = new Bench(4);
    const p = bench.start('vm');
    const { va, store, frame } = pinnedPage(p, 'old');
    p.munmap(va, PAGE);
    p.mmap(PAGE, { va });
    p.write(va, 'new');
    expect([dmaRead(bench, frame, 3), framesOf(value(bench.pin(store, 0, 1)).runs)]).toEqual(['old', [frame]]);
    for (let i = 0; i < 2; i++) bench.unpin(store, [{ first: 0, count: 1 }]);
    const again = framesOf(value(bench.pin(store, 0, 1)).runs)[0]!;
    expect(dmaRead(bench, again, 3)).toBe('new');
  });

  it('the device and the process see one memory while both have it', () => {
    const bench = new Bench(4);
    const p = bench.start('vm');
    const { va, frame } = pinnedPage(p, 'hello');
    dmaWrite(bench, frame, 'J');
    expect([p.read(va, 5), dmaRead(bench, frame, 4, 1)]).toEqual(['Jello', 'ello']);
  });
});

describe('the end of a process (semantics B3.6)', () => {
  it('frees its memory but what is pinned; stores stay until they are released', () => {
    const bench = new Bench(8);
    const p = bench.start('vm', { uid: 5, caps: 0, memlock: 4 * PAGE });
    const { store, frame } = pinnedPage(p, 'kept');
    p.write(p.mmap(3 * PAGE), 'x'.repeat(3 * PAGE));
    bench.gone(p);
    expect([bench.core.frames.free.available, dmaRead(bench, frame, 4)]).toEqual([7, 'kept']);
    expect([bench.core.accounting.userLocked(5), bench.forgotten]).toEqual([1, [p.client]]);
    bench.unpin(store, [{ first: 0, count: 1 }], true);
    expect([bench.core.frames.free.available, bench.core.accounting.userLocked(5)]).toEqual([8, 0]);
    expect([...bench.core.processes.all()]).toEqual([]);
  });

  it('new pins fail EFAULT; slots that are held can be covered again (a047)', () => {
    const bench = new Bench(8);
    const p = bench.start('vm');
    const { store } = value(p.store(p.mmap(4 * PAGE), 4 * PAGE, { pin: false }));
    value(bench.pin(store, 1, 2));
    bench.gone(p);
    const seen = [
      [0, 1],
      [0, 4],
      [1, 2],
      [2, 2],
    ].map(([first, count]) => errnoOf(bench.pin(store, first!, count!)));
    expect(seen).toEqual(['EFAULT', 'EFAULT', 0, 'EFAULT']);
  });

  it('a client that comes back is another process', () => {
    const bench = new Bench(8);
    const p = bench.start('vm');
    const { va } = pinnedPage(p, 'x');
    const token = value(p.call(pagesApi.eventfd, { init: 1n }));
    bench.gone(p);
    const again = bench.start('vm');
    expect([again.status().pid, again.locks()]).toEqual([2, [0, 0]]);
    expect(errnoOf(again.call(pagesApi.memRead, { va, length: 1 }))).toBe('EFAULT');
    expect(errnoOf(again.call(pagesApi.eventfdRead, { token }))).toBe('EBADF');
  });

  it('only the lab may say so, and of an unknown client it means nothing', () => {
    const bench = new Bench(1);
    const p = bench.start('vm');
    for (const from of [p.client, IOMMUFD]) bench.call(from, sysApi.clientGone, { client: p.client });
    bench.call(LAB, sysApi.clientGone, { client: clientAddress('stranger') });
    expect(p.status().pid).toBe(1);
  });
});

describe('who may ask', () => {
  const create = { client: clientAddress('vm'), va: 0n, length: 1n, writable: true, rlimitMode: 0, pin: false };

  it('clients reach the methods of a process and no others: the machine refuses the rest', () => {
    const open = Object.entries(pagesApi).filter(([, method]) => method.clients);
    expect(open.map(([name]) => name)).toEqual([
      'procStart',
      'mmap',
      'munmap',
      'mprotect',
      'memRead',
      'memWrite',
      'mmapShared',
      'mmapFile',
      'mlock',
      'munlock',
      'memfdCreate',
      'memfdOpen',
      'ftruncate',
      'fallocate',
      'addSeals',
      'memfdLend',
      'memfdRemote',
      'remoteQuestions',
      'remoteAnswer',
      'fork',
      'exec',
      'setrlimit',
      'status',
      'setuid',
      'eventfd',
      'eventfdRead',
      'eventfdWrite',
      'eventfdClose',
    ]);
  });

  it('who is no process is ESRCH everywhere', () => {
    const bench = new Bench(1);
    const from = clientAddress('nobody');
    const replies = [
      bench.call(from, pagesApi.mmap, { va: 0, length: PAGE, prot: 3, pageShift: 12 }),
      bench.call(from, pagesApi.munmap, { va: 0, length: PAGE }),
      bench.call(from, pagesApi.mprotect, { va: 0, length: PAGE, prot: 3 }),
      bench.call(from, pagesApi.memRead, { va: 0, length: 1 }),
      bench.call(from, pagesApi.memWrite, { va: 0, data: new Uint8Array(1) }),
      bench.call(from, pagesApi.setrlimit, { memlock: 0 }),
      bench.call(from, pagesApi.setuid, { uid: 0 }),
      bench.call(from, pagesApi.status, undefined),
      bench.call(from, pagesApi.mmapShared, { va: 0, length: PAGE, prot: 3, pageShift: 12 }),
      bench.call(from, pagesApi.mlock, { va: 0, length: PAGE }),
      bench.call(from, pagesApi.munlock, { va: 0, length: PAGE }),
      bench.call(from, pagesApi.memfdCreate, { flags: 0 }),
      bench.call(from, pagesApi.fork, { child: from }),
      bench.call(from, pagesApi.exec, undefined),
      bench.call(IOMMUFD, pagesApi.changeProcess, { client: from, stores: [] }),
      bench.call(IOMMUFD, pagesApi.storeCreate, { ...create, client: from }),
    ];
    expect(replies.map(errnoOf)).toEqual(replies.map(() => 'ESRCH'));
  });

  it.each([
    ['twice', clientAddress('vm'), 'EEXIST'],
    ['by another client', clientAddress('other'), 0],
    ['by a service', IOMMUFD, 'EPERM'],
  ])('procStart %s', (_who, from, errno) => {
    const bench = new Bench(1);
    bench.start('vm');
    expect(errnoOf(bench.call(from, pagesApi.procStart, ROOT))).toBe(errno);
  });

  it('one process too many is EAGAIN, until one ends', () => {
    const bench = new Bench(1);
    for (let i = 0; i < MAX_PROCESSES; i++) value(bench.quick(clientAddress(`c${i}`), pagesApi.procStart, ROOT));
    expect(errnoOf(bench.call(clientAddress('late'), pagesApi.procStart, ROOT))).toBe('EAGAIN');
    bench.call(LAB, sysApi.clientGone, { client: clientAddress('c7') });
    expect(value(bench.call(clientAddress('late'), pagesApi.procStart, ROOT)).pid).toBe(MAX_PROCESSES + 1);
  });
});

describe('DMA stops the service rather than touch what is not pinned (I02, I04)', () => {
  it.each([
    ['a free frame', 5, 0, 1],
    ['a frame that is mapped only', 1, 0, 1],
    ['from a pinned frame into the next', 0, PAGE - 1, 2],
    ['beyond the host', 2 ** 40, 0, 1],
  ])('%s', (_what, frame, offset, length) => {
    const bench = new Bench(8);
    const p = bench.start('vm');
    pinnedPage(p, 'x');
    p.write(p.mmap(PAGE), 'y');
    const pieces = [{ frame, offset, length }];
    expect(() => bench.call(IOMMU, pagesApi.dmaRead, { pieces })).toThrow('which is not pinned');
    expect(() => bench.call(IOMMU, pagesApi.dmaWrite, { pieces, data: new Uint8Array(length) })).toThrow(
      'which is not pinned',
    );
  });

  it('carries pieces in their order, across frames, up to MAX_DMA bytes', () => {
    const bench = new Bench(128);
    const p = bench.start('vm');
    const va = p.mmap(MAX_DMA);
    const [run] = value(p.store(va, MAX_DMA)).pinned.runs;
    const pieces = [
      { frame: run!.frame, offset: PAGE - 2, length: 4 },
      { frame: run!.frame, offset: 0, length: 2 },
    ];
    bench.call(IOMMU, pagesApi.dmaWrite, { pieces, data: new TextEncoder().encode('abcdef') });
    expect([p.read(va + PAGE - 2, 4), p.read(va, 2)]).toEqual(['abcd', 'ef']);
    expect(text(bench.call(IOMMU, pagesApi.dmaRead, { pieces }))).toBe('abcdef');
    const all = { frame: run!.frame, offset: 0, length: MAX_DMA };
    expect(bench.call(IOMMU, pagesApi.dmaRead, { pieces: [all] }).length).toBe(MAX_DMA);
    expect(() => bench.call(IOMMU, pagesApi.dmaRead, { pieces: [all, pieces[0]!] })).toThrow('at most');
    expect(() => bench.call(IOMMU, pagesApi.dmaWrite, { pieces, data: new Uint8Array(5) })).toThrow('carries 5');
  });
});

describe('setup', () => {
  it('may be repeated but not changed, and has a bound', () => {
    const bench = new Bench(8);
    bench.call(LAB, pagesApi.setup, { frames: 8, pageShift: 12 });
    expect(() => bench.call(LAB, pagesApi.setup, { frames: 9, pageShift: 12 })).toThrow('8 frames already');
    expect(() => new Bench(MAX_FRAMES + 1)).toThrow('at most');
    expect(new Bench(MAX_FRAMES).core.frames.free.available).toBe(MAX_FRAMES);
  });
});

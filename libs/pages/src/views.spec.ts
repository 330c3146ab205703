/**
 * The two views of the state: a snapshot brings everything back, the meaning tells what a client could tell apart.
 */
import { IOMMUFD, MFD_ALLOW_SEALING, pagesApi, RLIMIT_MM, sysApi } from '@vfiolab/core';
import { Bench, dice, PAGE, ROOT, type TestProcess, value } from './testing/harness.js';

const USER = { uid: 9, caps: 0, memlock: 1 << 20 };
const NAMES = ['a', 'b', 'c'];

/** A random history of one host: processes, memory, stores, covers, deaths. Same seed, same history. */
class History {
  readonly bench = new Bench(600);
  private readonly roll: (n: number) => number;
  private readonly live = new Map<string, { process: TestProcess; areas: number[] }>();
  private readonly stores: { id: number; slots: number; covers: { first: number; count: number }[] }[] = [];

  constructor(seed: number) {
    this.roll = dice(seed);
  }

  step(): void {
    const name = NAMES[this.roll(NAMES.length)]!;
    const known = this.live.get(name);
    if (!known) {
      const process = this.bench.start(name, this.roll(2) === 0 ? ROOT : USER);
      this.live.set(name, { process, areas: [process.mmap(PAGE * 8)] });
      return;
    }
    const { process, areas } = known;
    const va = areas[this.roll(areas.length)]! + this.roll(8) * PAGE;
    const actions: (() => void)[] = [
      () => void areas.push(process.mmap(PAGE * 8, { pageShift: this.roll(6) === 0 ? 21 : 12 })),
      () => void process.munmap(va, PAGE * (1 + this.roll(3))),
      () => void process.write(va + this.roll(PAGE), `text ${this.roll(1000)}`),
      () => void process.call(pagesApi.mprotect, { va, length: PAGE, prot: this.roll(4) }),
      () => this.create(process, va),
      () => this.create(process, va),
      () => this.pin(),
      () => this.pin(),
      () => this.unpin(),
      () => this.unpin(),
      () => this.release(),
      () => this.maybeDie(name, process),
      () => void process.call(pagesApi.eventfd, { init: BigInt(this.roll(3)) }),
      () => void areas.push(process.mmapShared(PAGE * 8)),
      () => this.lock(process, va),
      () => this.file(process, areas),
      () => this.file(process, areas),
      () => this.fork(process),
    ];
    actions[this.roll(actions.length)]!();
  }

  private lock(process: TestProcess, va: number): void {
    const method = this.roll(3) > 0 ? pagesApi.mlock : pagesApi.munlock;
    process.call(method, { va, length: PAGE * (1 + this.roll(3)) });
  }

  /** A memfd that is mapped or put behind a store, cut, and closed or kept. */
  private file(process: TestProcess, areas: number[]): void {
    const token = process.memfd(PAGE * 8, MFD_ALLOW_SEALING);
    if (this.roll(2) === 0) areas.push(value(process.mapFile(token, PAGE * 8)));
    const made = process.fileStore(token, 0, PAGE * 4, { pin: this.roll(2) === 0 });
    if (made.ok) {
      const { store, pinned } = made.value;
      this.stores.push({ id: store, slots: 4, covers: pinned.next > 0 ? [{ first: 0, count: 4 }] : [] });
      if (this.roll(2) === 0)
        this.bench.call(IOMMUFD, pagesApi.changeProcess, { client: process.client, stores: [store] });
    }
    if (this.roll(2) === 0) process.call(pagesApi.ftruncate, { token, length: this.roll(8) * 1000 });
    if (this.roll(4) === 0) process.call(pagesApi.addSeals, { token, seals: 1 << this.roll(6) });
    if (this.roll(3) > 0) process.call(sysApi.close, { token });
  }

  private fork(process: TestProcess): void {
    const name = NAMES.find((each) => !this.live.has(each));
    if (name === undefined) return;
    const child = this.bench.start(name);
    if (process.call(pagesApi.fork, { child: child.client }).ok)
      this.live.set(name, { process: child, areas: [child.mmap(PAGE * 8)] });
    else this.bench.gone(child);
  }

  private create(process: TestProcess, va: number): void {
    const slots = 1 + this.roll(6);
    const pin = this.roll(2) === 0;
    const writable = this.roll(3) > 0;
    const made = process.store(va, slots * PAGE, { pin, writable, rlimitMode: this.roll(2) === 0 ? RLIMIT_MM : 0 });
    if (made.ok) this.stores.push({ id: made.value.store, slots, covers: pin ? [{ first: 0, count: slots }] : [] });
  }

  private pin(): void {
    const store = this.stores[this.roll(this.stores.length)];
    if (!store) return;
    const first = this.roll(store.slots);
    const range = { first, count: 1 + this.roll(store.slots - first) };
    if (this.bench.pin(store.id, range.first, range.count).ok) store.covers.push(range);
  }

  private unpin(): void {
    const store = this.stores[this.roll(this.stores.length)];
    const range = store?.covers.splice(this.roll(store.covers.length), 1)[0];
    if (store && range) this.bench.unpin(store.id, [range]);
  }

  private release(): void {
    const [store] = this.stores.splice(this.roll(this.stores.length), 1);
    if (store) this.bench.unpin(store.id, store.covers, true);
  }

  private maybeDie(name: string, process: TestProcess): void {
    if (this.roll(4) > 0) return;
    this.live.delete(name);
    this.bench.gone(process);
  }

  /** Everybody goes and every store is released. */
  finish(): void {
    for (const { process } of this.live.values()) this.bench.gone(process);
    while (this.stores.length > 0) this.release();
  }
}

describe('a random history', () => {
  it.each([1, 2, 3, 4, 5, 6])('is the same with and without restarts, and leaves nothing (seed %i)', (seed) => {
    const [steady, restarted] = [new History(seed), new History(seed)];
    for (let i = 0; i < 400; i++) {
      steady.step();
      restarted.step();
      if (i % 25 > 0) continue;
      restarted.bench.restart();
      expect(restarted.bench.core.check()).toEqual([]);
      for (const view of ['snapshot', 'meaning'] as const)
        expect(Buffer.compare(restarted.bench.bytes(view), steady.bench.bytes(view))).toBe(0);
    }
    expect(steady.bench.core.describe()).toEqual(restarted.bench.core.describe());
    steady.finish();
    expect(steady.bench.core.check()).toEqual([]);
    expect(steady.bench.core.describe()).toEqual(['host: 600 frames, 600 free, 0 pinned; 0 eventfds']);
  });
});

describe('the meaning', () => {
  const base = (bench: Bench) => {
    const p = bench.start('vm');
    const va = p.mmap(4 * PAGE);
    p.write(va, 'words');
    return { p, va };
  };
  const meaningOf = (more: (bench: Bench, p: TestProcess, va: number) => void): Uint8Array => {
    const bench = new Bench(64);
    const { p, va } = base(bench);
    more(bench, p, va);
    return bench.bytes('meaning');
  };
  const nothing = meaningOf(() => undefined);

  it.each<[string, (bench: Bench, p: TestProcess, va: number) => void]>([
    [
      'which frame a page has',
      (_b, p, va) => {
        p.munmap(va, PAGE);
        p.write(va + PAGE, 'takes the frame');
        p.mmap(PAGE, { va });
        p.write(va, 'words');
        p.munmap(va + PAGE, PAGE);
        p.mmap(PAGE, { va: va + PAGE });
      },
    ],
    ['that zeros were written', (_b, p, va) => p.write(va + PAGE, '\0\0')],
    ['a store that came and went', (b, p, va) => b.unpin(value(p.store(va, 1)).store, [{ first: 0, count: 1 }], true)],
    ['a refused call', (_b, p) => p.store(0x1000, PAGE)],
    [
      'an eventfd that came and went',
      (_b, p) => p.call(pagesApi.eventfdClose, { token: value(p.call(pagesApi.eventfd, { init: 0n })) }),
    ],
  ])('does not contain %s', (_what, more) => {
    expect(meaningOf(more)).toEqual(nothing);
  });

  it.each<[string, (bench: Bench, p: TestProcess, va: number) => void]>([
    ['memory contents', (_b, p, va) => p.write(va, 'W')],
    ['areas', (_b, p, va) => p.munmap(va + PAGE, PAGE)],
    ['protections', (_b, p, va) => p.call(pagesApi.mprotect, { va, length: PAGE, prot: 1 })],
    ['limits', (_b, p) => p.call(pagesApi.setrlimit, { memlock: 5 })],
    ['stores', (_b, p, va) => p.store(va, PAGE, { pin: false })],
    ['pins', (_b, p, va) => p.store(va, PAGE)],
    ['processes', (b) => b.start('other')],
    ['eventfds', (_b, p) => p.call(pagesApi.eventfd, { init: 1n })],
  ])('contains %s', (_what, more) => {
    expect(meaningOf(more)).not.toEqual(nothing);
  });

  it('contains the counter of an eventfd', () => {
    const counted = (init: bigint) => meaningOf((_bench, p) => p.call(pagesApi.eventfd, { init }));
    expect(counted(1n)).toEqual(counted(1n));
    expect(counted(1n)).not.toEqual(counted(2n));
  });

  it('contains the bytes that only a pin keeps', () => {
    const orphan = (words: string) =>
      meaningOf((_bench, p, va) => {
        p.write(va, words);
        p.store(va, PAGE);
        p.munmap(va, PAGE);
      });
    expect(orphan('one')).toEqual(orphan('one'));
    expect(orphan('one')).not.toEqual(orphan('two'));
  });

  it('does not depend on who touched memory first', () => {
    const meaning = (order: string[]) => {
      const bench = new Bench(64);
      const processes = new Map(NAMES.map((name) => [name, bench.start(name)]));
      const areas = new Map(NAMES.map((name) => [name, processes.get(name)!.mmap(PAGE)]));
      for (const name of order) {
        const [p, va] = [processes.get(name)!, areas.get(name)!];
        p.write(va, name);
        p.store(va, PAGE);
        p.call(pagesApi.eventfd, { init: 1n });
      }
      return bench.bytes('meaning');
    };
    expect(meaning(['c', 'a', 'b'])).toEqual(meaning(['a', 'b', 'c']));
  });
});

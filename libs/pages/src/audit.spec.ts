import { pagesApi, RLIMIT_MM, RLIMIT_USER, sysApi } from '@vfiolab/core';
import type { PagesCore } from './pages-core.js';
import { Bench, PAGE, value } from './testing/harness.js';

const USER = { uid: 9, caps: 0, memlock: 1 << 20 };

/** Two processes with pinned, mapped and free memory, an mm-mode and a user-mode store, and an eventfd. */
function busy() {
  const bench = new Bench(32);
  const p = bench.start('vm', USER);
  const va = p.mmap(8 * PAGE);
  p.write(va, 'x'.repeat(6 * PAGE));
  for (const rlimitMode of [RLIMIT_USER, RLIMIT_MM]) value(p.store(va, 4 * PAGE, { rlimitMode }));
  value(p.call(pagesApi.eventfd, { init: 0n }));
  const [user, mm] = [...bench.core.stores.all()];
  const process = bench.core.processes.of(p.client)!;
  return { bench, core: bench.core, process, user: user!, mm: mm!, va, client: p.client };
}
type Busy = ReturnType<typeof busy>;

/** A private part, to break it. */
const part = <K extends string>(of: object, _name: K) => of as Record<K, any>;
/** A second process, without memory or stores. */
const idle = (core: PagesCore) => value(core.processes.start('client:idle', 0, 0, 0));

describe('check()', () => {
  it('is silent when all is well', () => expect(busy().core.check()).toEqual([]));

  it.each<[string, (b: Busy) => unknown, string]>([
    [
      'a covered slot without a frame',
      ({ user }) => user.held.remove(1, 2),
      'I20: store 1 covers slot 1 without a frame',
    ],
    ['a held slot without a cover', ({ user }) => user.cover.add(3, 4, -1), 'I20: store 1 covers 3 slots and pins 4'],
    ['a cover beyond the store', ({ user }) => user.cover.add(4, 5, 1), 'I20: store 1 covers slot 4 of 4'],
    ['a pin without a store', ({ core }) => core.frames.pins.add(2, 3, 1), 'I21: pin counts'],
    ['a store without a pin', ({ core }) => core.frames.pins.add(2, 3, -1), 'I21: pin counts'],
    ['a mapping without a page table', ({ core }) => core.frames.mapped.add(5, 6, 1), 'I21: mapped frames'],
    [
      'a free frame that is pinned',
      ({ core }) => core.frames.pins.add(20, 21, 1),
      'I04: free frames from 6 are pinned',
    ],
    [
      'a free frame that is mapped',
      ({ core }) => core.frames.mapped.add(31, 32, 1),
      'I04: free frames from 6 are mapped',
    ],
    [
      'a free frame with bytes',
      ({ core }) => core.frames.bytes.write(30 * PAGE, new Uint8Array([1])),
      'I04: free frames from 6 hold bytes',
    ],
    ['a frame that nobody has', ({ core }) => core.frames.free.take(1, 1), 'I27: a frame from 6 is lost'],
    [
      'a user charge too many',
      ({ core, user }) => core.accounting.charge(user.payer, 1),
      'I22: user 9 is charged 1 pages too many',
    ],
    ['a wrong VmPin', ({ process }) => process.pinned--, 'I22: VmPin of process 1'],
    ['a wrong VmLck', ({ process }) => process.locked++, 'I22: VmLck of process 1'],
    ['a wrong number of stores', ({ process }) => process.stores++, 'I27: process 1 does not count'],
    ['memory after the end', ({ process }) => (process.ended = true), 'I27: process 1 ended and still has memory'],
    [
      'a wrong number of free frames',
      ({ core }) => (part(core.frames.free, 'total').total = 7),
      'I24: the number of free',
    ],
    [
      'frames outside of VMAs',
      ({ process }) => part(process.space, 'vmas').vmas.clear(),
      'I27: process 1 has page frames',
    ],
    [
      'mlocked pages that nobody counts',
      ({ process }) => (part(part(process.space, 'vmas').vmas, 'locked').locked = 1),
      'I22: VmLck of process 1 is not the sum of its locked VMAs',
    ],
    [
      'a file without users',
      ({ core }) => void core.files.make({ maker: 'client:vm', serial: 0 }, 12),
      'I27: file 1 has no users',
    ],
    [
      'a file that miscounts its users and writers',
      ({ bench, core, client }) => {
        value(bench.call(client, pagesApi.mmapShared, { va: 0, length: PAGE, prot: 3, pageShift: 12 }));
        const [file] = core.files.all();
        file!.users++;
        file!.writers++;
      },
      'I27: file 1 counts 2 users, it has 1\nI27: file 1 does not count its writers',
    ],
    [
      'an ended process that nothing needs',
      ({ core }) => (idle(core).ended = true),
      'I27: process 2 ended and is still known',
    ],
    [
      'an eventfd after the end',
      ({ core, client }) => core.processes.end(client),
      'I27: client:vm is gone and still has eventfds',
    ],
  ])('finds %s', (_what, breakIt, sentence) => {
    const state = busy();
    breakIt(state);
    expect(state.core.check().join('\n')).toContain(sentence);
  });
});

describe('charges that cannot be', () => {
  it.each<[string, (b: Busy) => unknown, RegExp]>([
    [
      'over the limit of the user (I23)',
      ({ core, user }) => core.accounting.charge(user.payer, 253),
      /253 pages over .*I23/,
    ],
    ['over the limit of the mm (I23)', ({ core, mm }) => core.accounting.charge(mm.payer, 253), /I23/],
    ['more given back than was charged (I24)', ({ core, user }) => core.accounting.charge(user.payer, -5), /I24/],
    ['of an mm, more than was charged (I24)', ({ core, mm }) => core.accounting.charge(mm.payer, -5), /I24/],
    ['a store that goes with its pins (I24)', ({ bench }) => bench.unpin(1, [{ first: 0, count: 1 }], true), /I24/],
    ['a slot that is pinned twice by one store (I26)', ({ user }) => user.held.put(1, 7, 1), /./],
  ])('%s', (_what, breakIt, message) => {
    const state = busy();
    expect(() => breakIt(state)).toThrow(message);
  });
});

describe('figures()', () => {
  it('count what is there', () => {
    const figures = {
      processes: 1,
      stores: 2,
      pins: 8,
      charges: 8,
      eventfds: 1,
      usedFrames: 6,
      files: 0,
      specialFiles: 0,
    };
    expect(busy().core.figures()).toEqual(figures);
  });

  it('are all 0 when everybody has gone', () => {
    const { bench, client } = busy();
    bench.call('lab', sysApi.clientGone, { client });
    for (const store of [1, 2]) bench.unpin(store, [{ first: 0, count: 4 }], true);
    expect(Object.values(bench.core.figures()).every((n) => n === 0)).toBe(true);
  });
});

describe('describe()', () => {
  it('tells every object in a line', () => {
    const { bench, va } = busy();
    expect(bench.core.describe()).toEqual([
      'host: 32 frames, 26 free, 4 pinned; 1 eventfds',
      'process 1: client:vm, uid 9; 1 VMAs, 32768 bytes, 6 pages resident; VmLck 16 kB, VmPin 32 kB',
      'user 9: 4 pages locked',
      `store 1: process 1 at 0x${va.toString(16)}, 4 slots, writable, 4 pinned, charged to user 9`,
      `store 2: process 1 at 0x${va.toString(16)}, 4 slots, writable, 4 pinned, charged to mm 1`,
    ]);
  });
});

import { ByteReader, ByteWriter } from '@vfiolab/core';
import { DATA, NvmeRig, PAGE } from '../testing/nvme-rig.js';
import { Nvme } from './nvme.js';
import * as reg from './registers.js';
import { MAX_VFS, MOST, SHARE } from './role.js';
import * as status from './status.js';

const [TO_PRIMARY, OFFLINE, ASSIGN, ONLINE] = [1, 7, 8, 9];
const [QUEUES, VECTORS] = [0, 1];
const [WRITE, READ] = [1, 2];

/** A PF and its VFs, which ask each other at once. */
class Card {
  readonly pf: NvmeRig;
  readonly vfs: NvmeRig[];
  /** How often the PF has told a VF. */
  told = 0;

  constructor(count: number) {
    this.pf = new NvmeRig({ connected: false, ports: 1 + count, vf: undefined });
    this.vfs = Array.from({ length: count }, (_, vf) => new NvmeRig({ connected: false, ports: 1, vf }));
    this.pf.bus.answers = (question, port) => {
      this.told++;
      return this.vfs[port - 1]!.nvme.answer(question, 0);
    };
    for (const [n, { bus }] of this.vfs.entries()) bus.answers = (question) => this.pf.nvme.answer(question, 1 + n);
    for (const vf of this.vfs) open(vf);
  }

  manage(action: number, id: number, kind = QUEUES, count = 0): { status: number; result: number } {
    return this.pf.run(0, { opcode: 0x1c, dwords: [action | (kind << 8) | (id << 16), count] });
  }

  /** Status of several of them. */
  all(...commands: readonly (readonly [number, number, number?, number?])[]): number[] {
    return commands.map((command) => this.manage(...command).status);
  }

  identify(cns: number, first = 0): DataView {
    expect(this.pf.admin({ opcode: 6, nsid: 0, dwords: [cns | (first << 16)] })).toBe(0);
    return new DataView(this.pf.bus.memory.buffer, DATA, PAGE);
  }

  resetPf(): void {
    this.pf.nvme.reset();
    expect(this.pf.nvme.wasReset().next().done).toBe(true);
  }

  check(): string[] {
    return [this.pf, ...this.vfs].flatMap(({ nvme }) => nvme.check());
  }
}

const open = ({ nvme }: NvmeRig): void => {
  nvme.reset();
  expect(nvme.opened().next().done).toBe(true);
};
const csts = ({ nvme }: NvmeRig): number => Number(nvme.read(reg.CSTS, 4));
const blocks = (first: number, count: number): number[] => [first, 0, count - 1];

function started(count: number): Card {
  const card = new Card(count);
  card.pf.ready();
  return card;
}

describe('what a card has', () => {
  it('VFs work from power-on, each with blocks of its own', () => {
    const card = new Card(MAX_VFS);
    const [a, b] = card.vfs as [NvmeRig, NvmeRig];
    for (const rig of [card.pf, ...card.vfs]) rig.ready();
    for (const [i, rig] of [card.pf, a, b].entries()) {
      rig.fill(DATA, PAGE, i);
      expect(rig.io({ opcode: WRITE, dwords: blocks(0, 8) })).toBe(0);
    }
    for (const [i, rig] of [card.pf, a, b].entries()) {
      const sent = rig.fill(DATA, PAGE, i);
      rig.bus.memory.fill(0, DATA, DATA + PAGE);
      expect(rig.io({ opcode: READ, dwords: blocks(0, 8) })).toBe(0);
      expect(rig.bytes(DATA, PAGE)).toEqual(sent);
    }
    expect([card.vfs[2]!.nvme.media.used, card.check()]).toEqual([0, []]);
  });

  it('controllers of a card have identifiers and names of their own; only the PF’s manages', () => {
    const card = new Card(2);
    const told = [card.pf, ...card.vfs, new NvmeRig()].map((rig) => {
      rig.ready();
      expect(rig.admin({ opcode: 6, nsid: 0, dwords: [1] })).toBe(0);
      const at = (offset: number): number => rig.view.getUint16(DATA + offset, true);
      const [cmic, id, manages] = [at(76) & 0xff, at(78), at(256) & 0x80];
      expect(rig.admin({ opcode: 6, dwords: [3] })).toBe(0);
      return [cmic, id, manages, rig.bytes(DATA + 4, 8).toString('hex')];
    });
    expect(told).toEqual([
      [2, 0, 0x80, '027666696f000001'],
      [6, 1, 0, '027666696f000101'],
      [6, 2, 0, '027666696f000201'],
      [0, 0, 0, '027666696f000001'],
    ]);
  });

  it('the PF tells what there is to give, and who has it', () => {
    const card = started(3);
    expect(card.all([OFFLINE, 2], [ASSIGN, 2, QUEUES, 3])).toEqual([0, 0]);
    const has = card.identify(0x14);
    expect(has.getUint8(4)).toBe(3);
    const numbers = (at: number): number[] => [
      ...[0, 4].map((more) => has.getUint32(at + more, true)),
      ...[8, 10, 12, 14].map((more) => has.getUint16(at + more, true)),
    ];
    expect(numbers(32)).toEqual([3 * SHARE, 2 * SHARE + 3, 0, reg.QUEUES, MOST, 1]);
    expect(numbers(64)).toEqual([3 * SHARE, 2 * SHARE, 0, 2048, MOST, 1]);
    const list = card.identify(0x15, 2);
    const entry = (i: number): number[] => [
      ...[0, 2].map((more) => list.getUint16(32 * (i + 1) + more, true)),
      list.getUint8(32 * (i + 1) + 4),
      ...[8, 10, 12].map((more) => list.getUint16(32 * (i + 1) + more, true)),
    ];
    expect([list.getUint8(0), entry(0), entry(1)]).toEqual([2, [2, 0, 0, 2, 3, 0], [3, 0, 1, 3, SHARE, SHARE]]);
    expect(card.identify(0x15, 4).getUint8(0)).toBe(0);
  });

  it.each([
    ['a VF', 1],
    ['a controller without VFs', undefined],
  ])('%s manages nobody', (_what, count) => {
    const rig = (count === undefined ? new NvmeRig() : new Card(count).vfs[0]!).ready();
    const answers = [
      { opcode: 6, dwords: [0x14] },
      { opcode: 6, dwords: [0x15] },
      { opcode: 0x1c, dwords: [ONLINE] },
    ];
    expect(answers.map((each) => rig.admin(each))).toEqual([
      status.INVALID_FIELD,
      status.INVALID_FIELD,
      status.INVALID_OPCODE,
    ]);
  });

  it('so many VFs have a controller; one behind them never works', () => {
    const card = new Card(MAX_VFS + 1);
    card.pf.ready();
    expect(card.identify(0x15).getUint8(0)).toBe(MAX_VFS);
    expect(card.vfs.slice(-2).map(csts)).toEqual([0, reg.CSTS_FATAL]);
    expect(card.manage(ONLINE, MAX_VFS + 1).status).toBe(status.INVALID_CONTROLLER);
    const alone = new NvmeRig({ connected: false, ports: 1, vf: MAX_VFS });
    open(alone);
    expect(csts(alone)).toBe(reg.CSTS_FATAL);
  });
});

describe('Virtualization Management', () => {
  it('a VF that goes offline stops, has no register but CSTS, and starts again when it is online', () => {
    const card = started(2);
    const [a, b] = card.vfs.map((vf) => vf.ready()) as [NvmeRig, NvmeRig];
    expect(card.manage(OFFLINE, 1).status).toBe(0);
    expect([csts(a), csts(b)]).toEqual([reg.CSTS_FATAL, reg.CSTS_READY]);
    a.poke(reg.AQA, 0x00070007);
    a.poke(reg.CC, reg.CC_ENABLE);
    expect([csts(a), a.nvme.read(reg.CAP, 8), a.nvme.read(reg.AQA, 4)]).toEqual([reg.CSTS_FATAL, 0n, 0n]);
    expect(card.check()).toEqual([]);
    const again = [ASSIGN, 1, QUEUES, 2] as const;
    expect(card.all(again, [ASSIGN, 1, VECTORS, 4], [ONLINE, 1])).toEqual([0, 0, 0]);
    expect([csts(a), a.nvme.read(reg.AQA, 4)]).toEqual([0, 0n]);
    a.ready();
    expect(a.io({ opcode: READ, dwords: blocks(0, 1) })).toBe(0);
  });

  it('a controller has the queues and vectors that it was given', () => {
    const card = started(2);
    const [a] = card.vfs as [NvmeRig];
    expect(card.all([OFFLINE, 1], [ASSIGN, 1, QUEUES, 2], [ASSIGN, 1, VECTORS, 4], [ONLINE, 1])).toEqual([0, 0, 0, 0]);
    a.enable();
    expect(a.run(0, { opcode: 9, dwords: [7, (15 << 16) | 15] }).result).toBe(0);
    const size = 15 << 16;
    expect(a.admin({ opcode: 5, dwords: [size | 2, 3] })).toBe(status.QUEUE_ID_INVALID);
    expect(a.admin({ opcode: 5, dwords: [size | 1, (4 << 16) | 3] })).toBe(status.INVALID_VECTOR);
    expect(a.admin({ opcode: 5, dwords: [size | 1, (3 << 16) | 3] })).toBe(0);
    expect(a.admin({ opcode: 1, dwords: [size | 2, (1 << 16) | 1] })).toBe(status.QUEUE_ID_INVALID);
    expect(card.check()).toEqual([]);
  });

  it('one VF can have the most, when others have given back theirs', () => {
    const card = started(4);
    const most = [ASSIGN, 1, QUEUES, MOST] as const;
    expect(card.all([OFFLINE, 1], most)).toEqual([0, status.INVALID_RESOURCE]);
    expect(card.all([OFFLINE, 2], [OFFLINE, 3], [OFFLINE, 4])).toEqual([0, 0, 0]);
    expect(card.manage(ASSIGN, 1, QUEUES, MOST)).toMatchObject({ status: 0, result: MOST });
    expect(card.all([ASSIGN, 2, QUEUES, 4 * SHARE - MOST], [ASSIGN, 3, QUEUES, 1])).toEqual([
      0,
      status.INVALID_RESOURCE,
    ]);
    expect(card.check()).toEqual([]);
  });

  it.each<[string, readonly [number, number, number?, number?], number]>([
    ['giving to a VF that is online', [ASSIGN, 1, QUEUES, 3], status.INVALID_CONTROLLER_STATE],
    ['giving more than one may have', [ASSIGN, 2, QUEUES, MOST + 1], status.INVALID_RESOURCE_COUNT],
    ['giving what there is not', [ASSIGN, 2, VECTORS, SHARE + 1], status.INVALID_RESOURCE],
    ['resources of no kind', [ASSIGN, 2, 2, 1], status.INVALID_RESOURCE],
    ['giving to the PF', [ASSIGN, 0, QUEUES, 1], status.INVALID_CONTROLLER],
    ['giving to nobody', [ASSIGN, 4, QUEUES, 1], status.INVALID_CONTROLLER],
    ['a VF without resources online', [ONLINE, 2], status.INVALID_CONTROLLER_STATE],
    ['nobody online', [ONLINE, 4], status.INVALID_CONTROLLER],
    ['the PF offline', [OFFLINE, 0], status.INVALID_CONTROLLER],
    ['flexible resources for the PF', [TO_PRIMARY, 0, QUEUES, 1], status.INVALID_RESOURCE_COUNT],
    ['resources of no kind for the PF', [TO_PRIMARY, 0, 7, 0], status.INVALID_RESOURCE],
    ['a VF as the PF', [TO_PRIMARY, 1, QUEUES, 0], status.INVALID_CONTROLLER],
    ['an unknown action', [2, 1], status.INVALID_FIELD],
  ])('%s: refused, and nothing has changed', (_what, command, code) => {
    const card = started(3);
    expect(card.manage(OFFLINE, 2).status).toBe(0);
    const [before, told] = [Buffer.from(new Uint8Array(card.identify(0x15).buffer, DATA, PAGE)), card.told];
    expect(card.manage(...command).status).toBe(code);
    expect([Buffer.from(new Uint8Array(card.identify(0x15).buffer, DATA, PAGE)), card.told]).toEqual([before, told]);
  });

  it('what is so already is no change: a VF that is online goes on', () => {
    const card = started(1);
    const [a] = card.vfs.map((vf) => vf.ready()) as [NvmeRig];
    expect(card.all([ONLINE, 1], [TO_PRIMARY, 0])).toEqual([0, 0]);
    expect([csts(a), card.told]).toEqual([reg.CSTS_READY, 0]);
  });
});

describe('resets', () => {
  it('of a VF: its registers, and not what it was given', () => {
    const card = started(1);
    const [a] = card.vfs as [NvmeRig];
    expect(card.all([OFFLINE, 1], [ASSIGN, 1, QUEUES, 3], [ASSIGN, 1, VECTORS, 4], [ONLINE, 1])).toEqual([0, 0, 0, 0]);
    a.ready();
    open(a);
    expect([csts(a), a.nvme.describe().slice(0, 22)]).toEqual([0, 'nvme VF 0 online, off,']);
    a.enable();
    expect(a.run(0, { opcode: 9, dwords: [7, (15 << 16) | 15] }).result).toBe(0x0001_0001);
  });

  it('of the PF’s controller: its VFs go offline', () => {
    const card = started(2);
    for (const vf of card.vfs) vf.ready();
    card.pf.poke(reg.CC, 0);
    expect(card.vfs.map(csts)).toEqual([reg.CSTS_FATAL, reg.CSTS_FATAL]);
  });

  it('of the PF: all as after power-on, VFs that worked included', () => {
    const card = started(2);
    for (const vf of card.vfs) vf.ready();
    expect(card.manage(OFFLINE, 1).status).toBe(0);
    card.resetPf();
    expect(card.vfs.map(csts)).toEqual([0, 0]);
    card.pf.ready();
    expect(card.identify(0x15).getUint16(32 + 10, true)).toBe(SHARE);
    for (const vf of card.vfs) vf.ready();
  });
});

describe('asking and telling', () => {
  it('a VF that opens learns that it is offline, and one whose PF has no driver is as after power-on', () => {
    const card = started(1);
    const [a] = card.vfs as [NvmeRig];
    expect(card.manage(OFFLINE, 1).status).toBe(0);
    a.nvme = new Nvme(a.bus, a.wiring);
    open(a);
    expect(csts(a)).toBe(reg.CSTS_FATAL);
    a.bus.answers = () => new Uint8Array(0);
    open(a);
    expect(csts(a)).toBe(0);
  });

  it('what the PF tells while it is being asked is newer than its answer', () => {
    const card = started(1);
    const [a] = card.vfs as [NvmeRig];
    a.bus.answers = (question) => {
      const answer = card.pf.nvme.answer(question, 1);
      expect(card.manage(OFFLINE, 1).status).toBe(0);
      return answer;
    };
    open(a);
    expect(csts(a)).toBe(reg.CSTS_FATAL);
  });

  it('the PF tells nobody who has never asked, and nobody who does not answer any more', () => {
    const card = started(2);
    const quiet = new NvmeRig({ connected: false, ports: 3, vf: undefined }).ready();
    quiet.bus.answers = () => {
      throw new Error('a VF is told that has never asked');
    };
    quiet.poke(reg.CC, 0);
    card.pf.bus.answers = () => {
      card.told++;
      return new Uint8Array(0);
    };
    expect(card.all([OFFLINE, 1], [OFFLINE, 1])).toEqual([0, 0]);
    expect(card.told).toBe(1);
  });

  it('who has no card answers nothing', () => expect(new NvmeRig().nvme.answer(new Uint8Array(0), 0)).toHaveLength(0));
});

it('state is the same after it was stored and read back, and goes on', () => {
  const card = started(2);
  expect(card.all([OFFLINE, 1], [ASSIGN, 1, QUEUES, 3], [OFFLINE, 2])).toEqual([0, 0, 0]);
  for (const rig of [card.pf, ...card.vfs]) {
    const bytes = encoded(rig.nvme);
    const again = new Nvme(rig.bus, rig.wiring);
    const r = new ByteReader(bytes);
    again.decode(r);
    r.done();
    expect(encoded(again)).toEqual(bytes);
    rig.nvme = again;
  }
  expect(card.vfs.map(csts)).toEqual([reg.CSTS_FATAL, reg.CSTS_FATAL]);
  expect(card.all([ASSIGN, 1, VECTORS, 1], [ONLINE, 1], [ONLINE, 2])).toEqual([0, 0, status.INVALID_CONTROLLER_STATE]);
  expect(card.vfs.map(csts)).toEqual([0, reg.CSTS_FATAL]);
});

it.each([
  ['online with one queue', 1, 1, ['a controller is online without the resources']],
  ['with more than one may have', 0, MOST + 1, [`${MOST + 1} queues and ${SHARE} vectors are granted`]],
  ['with more than there is left', 0, SHARE + 1, ['more queues are granted than there are']],
])('a VF %s is noticed', (_what, online, queues, wrong) => {
  const { pf } = new Card(4);
  // The first grant is behind the number of pages that are stored.
  const bytes = encoded(pf.nvme);
  bytes[4] = online;
  bytes.writeUInt16LE(queues, 5);
  pf.nvme.decode(new ByteReader(bytes));
  expect(pf.nvme.check()).toEqual(expect.arrayContaining(wrong));
});

function encoded(nvme: Nvme): Buffer {
  const w = new ByteWriter(4096);
  nvme.encode(w);
  return Buffer.from(w.take());
}

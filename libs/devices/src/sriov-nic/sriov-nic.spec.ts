import { ByteReader, ByteWriter } from '@vfiolab/core';
import * as nic from '../e1000e/registers.js';
import { MAX_FRAME } from '../model.js';
import { BROADCAST, CardRig, CMD, FACTS, frameOf, MAC } from '../testing/card-rig.js';
import { SriovPf } from './pf.js';
import * as reg from './registers.js';
import { SriovVf } from './vf.js';

const LAST = CMD.end | CMD.crc | CMD.report;
const RCTL = nic.RCTL_BROADCAST | nic.RCTL_STRIP_CRC;
const vfMac = (n: number): Buffer => Buffer.of(2, 0, 0, 0xff, 0, n);
const OUTSIDER = Buffer.of(2, 9, 9, 9, 9, 9);

/** A PF with its VFs: frames and notes go between them when the test says so. */
class Card {
  readonly pf: CardRig<SriovPf>;
  readonly vfs: CardRig<SriovVf>[];
  /** Frames that went to the network. */
  readonly network: Buffer[] = [];

  constructor(count = 3) {
    const wiring = { connected: true, ports: 1 + count, vf: undefined };
    this.pf = new CardRig((bus) => new SriovPf(bus, { ...FACTS, wiring }));
    this.vfs = Array.from({ length: count }, (_, vf) => {
      const facts = { ...FACTS, wiring: { connected: true, ports: 1, vf } };
      return new CardRig((bus) => new SriovVf(bus, facts));
    });
  }

  /** The PF grants each VF an address and switches on; each VF's driver starts. */
  start(): this {
    this.pf.start(0, RCTL);
    for (const n of this.vfs.keys()) {
      this.grant(n, vfMac(n));
      this.row(n, reg.ROW_CONTROL, reg.VF_ENABLED);
    }
    this.pf.write(reg.SWITCH_CONTROL, reg.SWITCH_ON);
    for (const vf of this.vfs) vf.start(0, RCTL);
    return this.pass();
  }

  row(n: number, at: number, value: number): void {
    this.pf.write(reg.ROWS + n * reg.ROW_BYTES + at, value);
  }

  readRow(n: number, at: number): number {
    return this.pf.read(reg.ROWS + n * reg.ROW_BYTES + at);
  }

  grant(n: number, mac: Buffer): void {
    this.row(n, reg.ROW_MAC_LOW, mac.readUInt32LE(0));
    this.row(n, reg.ROW_MAC_HIGH, reg.VALID + mac.readUInt16LE(4));
  }

  /** Everything arrives. */
  pass(): this {
    for (let moved = true; moved;) {
      const { sent, notes } = this.pf.bus;
      moved = sent.length > 0 || notes.length > 0;
      for (const { frame, port } of sent.splice(0))
        if (port === 0) this.network.push(Buffer.from(frame));
        else this.vfs[port - 1]!.arrives(frame);
      for (const { note, port } of notes.splice(0)) run(this.vfs[port - 1]!.card.notified(note));
      for (const [n, { bus }] of this.vfs.entries()) {
        moved ||= bus.sent.length > 0 || bus.notes.length > 0;
        for (const { frame } of bus.sent.splice(0)) this.pf.arrives(frame, n + 1);
        for (const { note } of bus.notes.splice(0)) run(this.pf.card.notified(note, n + 1));
      }
    }
    return this;
  }

  send(rig: CardRig<SriovPf | SriovVf>, frame: Buffer): void {
    rig.data(frame, LAST);
    rig.ring();
    this.pass();
  }

  /** Who has received how many frames since the last time: PF, VFs, network. */
  counts(): number[] {
    const rings = [this.pf, ...this.vfs].map((rig) => rig.read(0x4074));
    return [...rings, this.network.splice(0).length];
  }
}

function run(op: Generator<unknown, void, unknown>): void {
  expect(op.next().done).toBe(true);
}

const frame = (to: Buffer, from: Buffer, length = 100): Buffer => {
  const bytes = frameOf(to, length);
  bytes.set(from, 6);
  return bytes;
};
const tagged = (bytes: Buffer, id: number): Buffer =>
  Buffer.concat([bytes.subarray(0, 12), Buffer.of(0x81, 0, id >>> 8, id), bytes.subarray(12)]);
const isUp = (rig: CardRig<SriovVf>): boolean => (rig.read(nic.STATUS) & nic.STATUS_LINK_UP) !== 0;

it('a VF has a link and its address when the PF grants them, and loses them with the grant', () => {
  const card = new Card();
  const [vf] = card.vfs as [CardRig<SriovVf>];
  vf.start(0, RCTL);
  vf.write(nic.IMS, 4);
  card.pass();
  expect([isUp(vf), vf.read(nic.RECEIVE_ADDRESSES + 4)]).toEqual([false, 0]);
  card.grant(0, vfMac(0));
  card.row(0, reg.ROW_CONTROL, reg.VF_ENABLED);
  card.pass();
  expect(isUp(vf)).toBe(false);
  card.pf.write(reg.SWITCH_CONTROL, reg.SWITCH_ON);
  card.pass();
  expect([isUp(vf), vf.bus.raised.length, vf.read(nic.RECEIVE_ADDRESSES)]).toEqual([true, 1, vfMac(0).readUInt32LE(0)]);
  expect(vf.read(nic.RECEIVE_ADDRESSES + 4)).toBe(reg.VALID + vfMac(0).readUInt16LE(4));
  vf.read(nic.ICR);
  card.row(0, reg.ROW_CONTROL, 0);
  card.pass();
  expect([isUp(vf), vf.bus.raised.length]).toEqual([false, 2]);
});

it.each([
  ['to another VF', 0, vfMac(1), [0, 0, 1, 0, 0]],
  ['to the PF', 0, MAC, [1, 0, 0, 0, 0]],
  ['to somebody on the network', 0, OUTSIDER, [0, 0, 0, 0, 1]],
  ['to everyone', 1, BROADCAST, [1, 1, 0, 1, 1]],
  ['to itself', 2, vfMac(2), [0, 0, 0, 0, 0]],
])('a VF’s frame %s goes where it should', (_to, from, to, expected) => {
  const card = new Card().start();
  card.send(card.vfs[from]!, frame(to, vfMac(from)));
  expect(card.counts()).toEqual(expected);
});

it.each([
  ['the PF, to a VF', 'pf', vfMac(1), [0, 0, 1, 0, 0]],
  ['the PF, to everyone', 'pf', BROADCAST, [0, 1, 1, 1, 1]],
  ['the PF, to somebody on the network', 'pf', OUTSIDER, [0, 0, 0, 0, 1]],
  ['the network, to a VF', 'network', vfMac(2), [0, 0, 0, 1, 0]],
  ['the network, to the PF', 'network', MAC, [1, 0, 0, 0, 0]],
  ['the network, to everyone', 'network', BROADCAST, [1, 1, 1, 1, 0]],
  ['the network, to nobody here', 'network', OUTSIDER, [0, 0, 0, 0, 0]],
])('a frame of %s', (_from, from, to, expected) => {
  const card = new Card().start();
  if (from === 'pf') card.send(card.pf as CardRig<SriovPf | SriovVf>, frame(to, MAC));
  else card.pf.arrives(frame(to, OUTSIDER));
  card.pass();
  expect(card.counts()).toEqual(expected);
});

it('a VF that takes all sees nothing of others', () => {
  const card = new Card().start();
  card.vfs[2]!.write(nic.RCTL, nic.RCTL_ENABLE | RCTL | nic.RCTL_UNICAST_ALL | nic.RCTL_MULTICAST_ALL);
  card.send(card.vfs[0]!, frame(vfMac(1), vfMac(0)));
  card.send(card.vfs[0]!, frame(OUTSIDER, vfMac(0)));
  card.pf.arrives(frame(vfMac(1), OUTSIDER));
  expect(card.pass().counts()[3]).toBe(0);
});

it('a VF sends under its own address, unless the PF trusts it', () => {
  const card = new Card().start();
  card.send(card.vfs[0]!, frame(vfMac(1), OUTSIDER));
  expect([card.counts(), card.pf.read(reg.SWITCH_DROPS), card.pf.read(reg.SWITCH_DROPS)]).toEqual([
    [0, 0, 0, 0, 0],
    1,
    0,
  ]);
  card.row(0, reg.ROW_CONTROL, reg.VF_ENABLED | reg.VF_TRUSTED);
  card.send(card.vfs[0]!, frame(vfMac(1), OUTSIDER));
  expect(card.counts()).toEqual([0, 0, 1, 0, 0]);
});

it('a VF that is in a VLAN does not know: only its VLAN reaches it, without tags', () => {
  const card = new Card().start();
  for (const n of [0, 1]) card.row(n, reg.ROW_VLAN, reg.VALID + 7);
  card.send(card.vfs[0]!, frame(BROADCAST, vfMac(0)));
  // The third is in none: it has tags as they are, and the PF and the network too.
  expect(card.network[0]).toEqual(tagged(frame(BROADCAST, vfMac(0)), 7));
  expect(card.counts()).toEqual([1, 0, 1, 1, 1]);
  expect(card.vfs[1]!.received(0).bytes.subarray(0, 100)).toEqual(frame(BROADCAST, vfMac(0)));
  expect(card.vfs[2]!.received(0).bytes.subarray(0, 104)).toEqual(tagged(frame(BROADCAST, vfMac(0)), 7));
  card.send(card.vfs[2]!, frame(vfMac(0), vfMac(2)));
  expect(card.counts()).toEqual([0, 0, 0, 0, 1]);
  card.pf.arrives(tagged(frame(vfMac(0), OUTSIDER), 7));
  card.pf.arrives(tagged(frame(vfMac(0), OUTSIDER), 8));
  expect(card.pass().counts()).toEqual([0, 1, 0, 0, 0]);
});

it.each([
  ['with a tag of its own', () => tagged(frame(vfMac(1), vfMac(0)), 9), 1],
  ['that a tag makes too long', () => frame(vfMac(1), vfMac(0), MAX_FRAME - 3), 1],
  ['that a tag makes just long enough', () => frame(vfMac(1), vfMac(0), MAX_FRAME - 4), 0],
])('a frame %s of a VF in a VLAN', (_what, make, dropped) => {
  const card = new Card().start();
  for (const n of [0, 1]) card.row(n, reg.ROW_VLAN, reg.VALID + 7);
  card.send(card.vfs[0]!, make());
  expect(card.pf.read(reg.SWITCH_DROPS)).toBe(dropped);
});

it.each([
  ['is not enabled', (card: Card) => card.row(0, reg.ROW_CONTROL, 0)],
  ['has a switch that is off', (card: Card) => card.pf.write(reg.SWITCH_CONTROL, 0)],
])('a VF that %s neither sends nor receives', (_what, change) => {
  const card = new Card().start();
  const { pf, vfs } = card;
  // It has not heard yet when it sends.
  change(card);
  pf.bus.notes.splice(0);
  card.send(vfs[0]!, frame(BROADCAST, vfMac(0)));
  expect(card.counts()).toEqual([0, 0, 0, 0, 0]);
  pf.arrives(frame(vfMac(0), OUTSIDER));
  expect([card.pass().counts()[1], pf.read(reg.SWITCH_DROPS)]).toEqual([0, 1]);
});

it('messages go both ways, one at a time, and who sent knows when it was taken', () => {
  const card = new Card().start();
  const { pf, vfs } = card;
  const [, vf] = vfs as [unknown, CardRig<SriovVf>];
  pf.write(reg.RESETS, 0xffff_ffff);
  pf.write(nic.IMS, reg.MAILBOX_CAUSE);
  vf.write(nic.IMS, reg.MAILBOX_CAUSE);
  pf.read(nic.ICR);
  vf.read(nic.ICR);
  [1, 2, 3, 4].forEach((word, i) => vf.write(reg.VF_OUT + 4 * i, word));
  vf.write(reg.VF_DOORBELL, reg.SEND);
  expect(vf.read(reg.VF_STATUS)).toBe(0x100 | reg.UNTAKEN);
  vf.write(reg.VF_OUT, 99);
  vf.write(reg.VF_DOORBELL, reg.SEND);
  card.pass();
  expect([pf.read(reg.MESSAGES), card.readRow(1, reg.ROW_STATUS)]).toEqual([2, reg.ACTIVE | reg.MESSAGE]);
  expect([0, 4, 8, 12].map((at) => card.readRow(1, reg.ROW_IN + at))).toEqual([1, 2, 3, 4]);
  expect(pf.read(nic.ICR) & reg.MAILBOX_CAUSE).toBe(reg.MAILBOX_CAUSE);
  pf.write(reg.MESSAGES, 2);
  card.row(1, reg.ROW_OUT, 55);
  card.row(1, reg.ROW_DOORBELL, reg.SEND | reg.TAKEN);
  expect([pf.read(reg.MESSAGES), card.readRow(1, reg.ROW_STATUS)]).toEqual([0, reg.ACTIVE | reg.UNTAKEN]);
  card.pass();
  expect([vf.read(reg.VF_STATUS), vf.read(reg.VF_IN)]).toEqual([0x100 | reg.MESSAGE, 55]);
  expect(vf.read(nic.ICR) & reg.MAILBOX_CAUSE).toBe(reg.MAILBOX_CAUSE);
  vf.write(reg.VF_DOORBELL, reg.TAKEN);
  card.pass();
  expect([vf.read(reg.VF_STATUS), card.readRow(1, reg.ROW_STATUS)]).toEqual([0x100, reg.ACTIVE]);
  // Nobody else has heard.
  expect([vfs[0]!.read(reg.VF_IN), vfs[2]!.read(reg.VF_STATUS)]).toEqual([0, 0x200]);
});

it('a VF that was reset is nobody’s until it is used, its PF is told, and no message waits for the next driver', () => {
  const card = new Card().start();
  const { pf } = card;
  const [vf] = card.vfs as [CardRig<SriovVf>];
  pf.write(reg.RESETS, 0xffff_ffff);
  card.row(0, reg.ROW_OUT, 77);
  card.row(0, reg.ROW_DOORBELL, reg.SEND);
  card.pass();
  vf.card.reset();
  run(vf.card.wasReset());
  card.pass();
  expect([pf.read(reg.RESETS), card.readRow(0, reg.ROW_STATUS), card.readRow(0, reg.ROW_OUT)]).toEqual([1, 0, 0]);
  expect([isUp(vf), vf.read(reg.VF_IN)]).toEqual([false, 0]);
  pf.write(reg.RESETS, 1);
  vf.start(0, RCTL);
  card.pass();
  expect([pf.read(reg.RESETS), card.readRow(0, reg.ROW_STATUS), isUp(vf)]).toEqual([0, reg.ACTIVE, true]);
  expect(vf.read(reg.VF_STATUS)).toBe(0);
  card.send(card.vfs[1]!, frame(vfMac(0), vfMac(1)));
  expect(card.counts()[1]).toBe(1);
});

it('a PF that was reset grants nothing, and what its VFs have asked waits for its next driver', () => {
  const card = new Card().start();
  const { pf } = card;
  const [vf] = card.vfs as [CardRig<SriovVf>];
  vf.write(reg.VF_OUT, 5);
  vf.write(reg.VF_DOORBELL, reg.SEND);
  card.pass();
  pf.card.reset();
  run(pf.card.wasReset());
  card.pass();
  expect([isUp(vf), isUp(card.vfs[1]!), vf.read(reg.VF_STATUS)]).toEqual([false, false, reg.UNTAKEN]);
  expect([pf.read(reg.SWITCH_CONTROL), card.readRow(0, reg.ROW_MAC_HIGH), pf.read(reg.MESSAGES)]).toEqual([0, 0, 1]);
  expect([card.readRow(0, reg.ROW_IN), card.readRow(0, reg.ROW_STATUS)]).toEqual([5, reg.ACTIVE | reg.MESSAGE]);
  card.row(0, reg.ROW_DOORBELL, reg.TAKEN);
  card.pass();
  expect(vf.read(reg.VF_STATUS)).toBe(0);
});

it.each([
  ['the VF', (card: Card) => card.vfs[0]!.card.reset()],
  ['the PF', (card: Card) => card.pf.card.reset()],
])('%s begins a new life and says nothing: the two find each other with the next note', (_who, reset) => {
  const card = new Card().start();
  reset(card);
  card.vfs[0]!.write(reg.VF_OUT, 8);
  card.vfs[0]!.write(reg.VF_DOORBELL, reg.SEND);
  card.pass();
  expect([card.readRow(0, reg.ROW_IN), card.readRow(0, reg.ROW_STATUS)]).toEqual([8, reg.ACTIVE | reg.MESSAGE]);
  card.row(0, reg.ROW_OUT, 9);
  card.row(0, reg.ROW_DOORBELL, reg.SEND | reg.TAKEN);
  card.pass();
  expect([card.vfs[0]!.read(reg.VF_IN), card.vfs[0]!.read(reg.VF_STATUS)]).toEqual([9, reg.MESSAGE]);
});

it('a PF has registers for so many VFs', () => {
  const card = new Card(reg.MAX_VFS + 1);
  expect(card.pf.read(reg.VFS)).toBe(reg.MAX_VFS);
  card.row(reg.MAX_VFS - 1, reg.ROW_MAC_LOW, 3);
  card.row(reg.MAX_VFS, reg.ROW_MAC_LOW, 4);
  expect([card.readRow(reg.MAX_VFS - 1, 0), card.readRow(reg.MAX_VFS, 0)]).toEqual([3, 0]);
  const last = card.vfs[reg.MAX_VFS]!;
  last.start(0, RCTL);
  card.vfs[reg.MAX_VFS - 1]!.start(0, RCTL);
  card.pass();
  expect([card.pf.read(reg.RESETS), card.pf.read(reg.RESETS + 4)]).toEqual([0, 0]);
  card.vfs[reg.MAX_VFS - 1]!.card.reset();
  card.vfs[reg.MAX_VFS - 1]!.start(0, RCTL);
  card.pass();
  expect(card.pf.read(reg.RESETS + 4)).toBe(0x8000_0000);
});

it.each([
  ['the PF', (card: Card) => card.pf.card, () => new Card().pf.card],
  ['a VF', (card: Card) => card.vfs[1]!.card, () => new Card().vfs[1]!.card],
])('state of %s is what it writes down', (_who, of, make) => {
  const card = new Card().start();
  card.row(1, reg.ROW_VLAN, reg.VALID + 3);
  card.row(1, reg.ROW_DOORBELL, reg.SEND);
  card.vfs[1]!.write(reg.VF_OUT, 1);
  card.vfs[1]!.write(reg.VF_DOORBELL, reg.SEND);
  card.pass();
  const encoded = (model: SriovPf | SriovVf): Uint8Array => {
    const w = new ByteWriter(4096);
    model.encode(w);
    return w.take();
  };
  const copy = make();
  copy.decode(new ByteReader(encoded(of(card))));
  expect(encoded(copy)).toEqual(encoded(of(card)));
  expect(encoded(make())).not.toEqual(encoded(of(card)));
  expect([copy.describe(), copy.check()]).toEqual([of(card).describe(), []]);
});

it('says how it stands', () => {
  const card = new Card().start();
  expect(card.pf.card.describe()).toMatch(/^sriov-nic link up, ICR .* switch on, 3 of 3 VFs in use$/);
  expect(card.vfs[0]!.card.describe()).toMatch(/^sriov-nic link up, /);
  card.send(card.vfs[0]!, frame(vfMac(1), vfMac(0)));
  expect(card.vfs[0]!.isDone(0)).toBe(true);
});

import { ByteReader, ByteWriter } from '@vfiolab/core';
import { BROADCAST, CardRig, FACTS, frameOf, MAC } from '../testing/card-rig.js';
import { E1000e } from './e1000e.js';
import * as reg from './registers.js';

const make = (wiring = FACTS.wiring) => new CardRig((bus) => new E1000e(bus, { ...FACTS, wiring }));
const [READ, WRITE] = [2 << 26, 1 << 26];
const READY = 1 << 28;
const PHY = 1 << 21;
const mdi = (rig: ReturnType<typeof make>, op: number, number: number, value = 0): number => {
  rig.write(reg.MDIC, op | PHY | (number << 16) | value);
  expect(rig.read(reg.MDIC) & READY).toBe(READY);
  return rig.read(reg.MDIC) & 0xffff;
};
const isUp = (rig: ReturnType<typeof make>): boolean => (rig.read(reg.STATUS) & reg.STATUS_LINK_UP) !== 0;

it('the EEPROM has the address and sums up; a word that was written stays after reset and power-off', () => {
  const rig = make();
  const word = (n: number): number => {
    rig.write(reg.EERD, (n << 2) | 1);
    expect(rig.read(reg.EERD) & 2).toBe(2);
    return rig.read(reg.EERD) >>> 16;
  };
  const words = Array.from({ length: 64 }, (_, n) => word(n));
  expect(words.slice(0, 3)).toEqual([0x0002, 0x0000, 0x0001]);
  expect(words.reduce((sum, each) => (sum + each) & 0xffff, 0)).toBe(0xbaba);
  expect(word(64)).toBe(0xffff);
  rig.write(reg.EEWR, (0x1234 << 16) | (2 << 2) | 1);
  expect(rig.read(reg.EEWR) & 3).toBe(2);
  rig.write(reg.CTRL, reg.CTRL_RESET);
  expect([word(2), rig.read(reg.RECEIVE_ADDRESSES + 4) >>> 0]).toEqual([0x1234, 0x8000_1234]);
  const next = make();
  next.card.putMedia(rig.card.takeMedia());
  expect(next.read(reg.RECEIVE_ADDRESSES + 4) >>> 0).toBe(0x8000_1234);
});

it('the transceiver is found at address 1 alone, is identified, and its pages keep what is written', () => {
  const rig = make();
  expect([mdi(rig, READ, 2), mdi(rig, READ, 3)]).toEqual([0x0141, 0x0cb1]);
  rig.write(reg.MDIC, READ | (2 << 21) | (2 << 16));
  expect(rig.read(reg.MDIC) & (1 << 30)).not.toBe(0);
  mdi(rig, WRITE, 22, 3);
  mdi(rig, WRITE, 16, 0xbeef);
  mdi(rig, WRITE, 22, 0);
  expect(mdi(rig, READ, 16)).toBe(0);
  mdi(rig, WRITE, 22, 3);
  expect(mdi(rig, READ, 16)).toBe(0xbeef);
  mdi(rig, WRITE, 22, 800);
  mdi(rig, WRITE, 16, 1);
  expect(mdi(rig, READ, 16)).toBe(0);
  mdi(rig, WRITE, 0, 0x8000);
  expect([mdi(rig, READ, 22), mdi(rig, READ, 0)]).toEqual([0, 0x1140]);
  mdi(rig, WRITE, 2, 0xffff);
  expect(mdi(rig, READ, 2)).toBe(0x0141);
});

it('the link is up on a network, and goes with the transceiver’s power and the driver’s wish, which is told', () => {
  const rig = make();
  rig.write(reg.IMS, 4);
  expect([isUp(rig), mdi(rig, READ, 1) & 4]).toEqual([true, 4]);
  mdi(rig, WRITE, 0, 0x0800);
  expect([isUp(rig), mdi(rig, READ, 1) & 4, rig.bus.raised.length]).toEqual([false, 0, 1]);
  expect(rig.read(reg.ICR) >>> 0).toBe(0x8100_0004);
  mdi(rig, WRITE, 0, 0x1340);
  expect([isUp(rig), rig.bus.raised.length]).toEqual([true, 2]);
  expect(rig.read(reg.ICR) & 4).toBe(4);
  rig.write(reg.CTRL, 0);
  expect([isUp(rig), rig.bus.raised.length]).toEqual([false, 3]);
  expect(isUp(make({ ...FACTS.wiring, connected: false }))).toBe(false);
});

it('without a link nothing is sent and nothing comes', () => {
  const rig = make({ ...FACTS.wiring, connected: false }).start();
  rig.data(frameOf(BROADCAST, 64), 0x09);
  rig.ring();
  rig.arrives(frameOf(MAC, 64));
  expect([rig.isDone(0), rig.sent(), rig.received(0).d.getUint8(12)]).toEqual([true, [], 0]);
});

it('a driver’s reset puts registers and rings back, and leaves the transceiver', () => {
  const rig = make().start();
  rig.write(reg.IMS, 0xff);
  mdi(rig, WRITE, 16, 0x55);
  rig.write(reg.CTRL, reg.CTRL_RESET | reg.CTRL_VLAN_MODE);
  const read = [reg.RCTL, reg.TCTL, reg.RECEIVE_RING + reg.LENGTH, reg.IMS].map((at) => rig.read(at));
  expect([...read, rig.read(reg.CTRL), mdi(rig, READ, 16)]).toEqual([0, 0, 0, 0, 0x241, 0x55]);
  expect(rig.read(reg.CTRL_COPY)).toBe(0x241);
  rig.write(reg.CTRL, (rig.read(reg.CTRL) | reg.CTRL_PHY_RESET) >>> 0);
  expect([mdi(rig, READ, 16), rig.read(reg.CTRL)]).toEqual([0, 0x241]);
});

it.each([
  ['master requests stop when told to', reg.CTRL, reg.CTRL_MASTER_DISABLE, reg.STATUS, reg.STATUS_MASTER, 0],
  ['the EEPROM is granted to who asks', reg.EECD, 0x40, reg.EECD, 0x3c0, 0x3c0],
  ['ownership of the MDI is a bit that stays', 0x0f00, 0x20, 0x0f00, 0x20, 0x20],
  ['configuration is done', 0x1010, 0, 0x1010, 0x40000, 0x40000],
  ['rings are aligned', reg.RECEIVE_RING, 0xffff, reg.RECEIVE_RING, 0xffff, 0xfff0],
  ['lengths are whole cache lines', reg.TRANSMIT_RING + 8, 0xfff_ffff, reg.TRANSMIT_RING + 8, 0xfff_ffff, 0xfff80],
  ['what is no register reads zero', 0x1ff00, 5, 0x1ff00, 0xffff, 0],
])('%s', (_rule, at, value, from, mask, expected) => {
  const rig = make();
  rig.write(at, value);
  expect(rig.read(from) & mask).toBe(expected);
});

it('who reads the semaphore as free has it', () => {
  const rig = make();
  expect([rig.read(reg.SWSM), rig.read(reg.SWSM)]).toEqual([0, 1]);
  rig.write(reg.SWSM, 0);
  expect(rig.read(reg.SWSM)).toBe(0);
});

it('narrow accesses do nothing, wide ones are two', () => {
  const rig = make();
  const base = reg.RECEIVE_RING;
  expect(rig.card.write(base, 8, 0x1_0000_1000n).next().done).toBe(true);
  expect([rig.card.read(base, 8), rig.read(base + 4)]).toEqual([0x1_0000_1000n, 1]);
  rig.card.write(base, 2, 0xffffn).next();
  expect([rig.card.read(base, 2), rig.read(base)]).toEqual([0n, 0x1000]);
});

it('counters are cleared by reading them; bytes by their upper half', () => {
  const rig = make().start();
  rig.arrives(frameOf(MAC, 100));
  rig.arrives(frameOf(BROADCAST, 1514));
  rig.arrives(frameOf(MAC, 59));
  rig.arrives(frameOf(MAC, 1519));
  const counters = [0x4074, 0x4078, 0x4060, 0x4070, 0x40d0, 0x40a4, 0x40ac];
  expect(counters.map((at) => rig.read(at))).toEqual([2, 1, 1, 1, 4, 1, 1]);
  expect(counters.map((at) => rig.read(at))).toEqual(counters.map(() => 0));
  expect([rig.read(0x4088), rig.read(0x4088), rig.read(0x408c), rig.read(0x4088)]).toEqual([1622, 1622, 0, 0]);
});

it('its state is what it writes down, in the middle of a packet too', () => {
  const rig = make().start();
  rig.write(reg.IMS, 0x80);
  rig.arrives(frameOf(MAC, 100));
  rig.data(frameOf(BROADCAST, 40), 0x28);
  rig.ring();
  const encoded = (card: E1000e): Uint8Array => {
    const w = new ByteWriter(4096);
    card.encode(w);
    return w.take();
  };
  const copy = make();
  copy.card.decode(new ByteReader(encoded(rig.card)));
  expect(encoded(copy.card)).toEqual(encoded(rig.card));
  expect(copy.card.describe()).toBe(rig.card.describe());
  expect(encoded(make().card)).not.toEqual(encoded(rig.card));
  rig.card.reset();
  expect(encoded(rig.card)).toEqual(encoded(make().card));
  expect([rig.card.check(), rig.card.describe()]).toEqual([[], 'e1000e link up, ICR 0x0 IMS 0x0']);
});

it.each([
  ['the MAC', (rig: ReturnType<typeof make>) => rig.write(reg.RCTL, rig.read(reg.RCTL) | 0x40)],
  ['the transceiver', (rig: ReturnType<typeof make>) => mdi(rig, WRITE, 0, 0x4140)],
])('loopback in %s brings frames back and sends none', (_where, loop) => {
  const rig = make().start();
  loop(rig);
  const frame = frameOf(MAC, 200);
  rig.data(frame, 0x0b);
  rig.ring();
  expect([rig.sent(), rig.received(0).bytes.subarray(0, 200)]).toEqual([[], frame]);
});

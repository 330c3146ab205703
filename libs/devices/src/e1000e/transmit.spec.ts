import { MAX_FRAME } from '../model.js';
import {
  BROADCAST,
  CardRig,
  CMD,
  DATA,
  ENTRIES,
  FACTS,
  frameOf,
  ipv4,
  ipv6,
  sumOf,
  transportSum,
  TX,
} from '../testing/card-rig.js';
import { E1000e } from './e1000e.js';
import * as reg from './registers.js';
import { MAX_PACKET } from './transmit.js';

const rigged = () => new CardRig((bus) => new E1000e(bus, FACTS)).start();
const LAST = CMD.end | CMD.crc | CMD.report;
const [IP_SUM, L4_SUM] = [1, 2];
const OUTSIDE = 2 ** 21;

it('sends a frame, pads a short one, and reports both as done', () => {
  const rig = rigged();
  const [long, short] = [frameOf(BROADCAST, 1514), frameOf(BROADCAST, 20)];
  rig.data(long, LAST);
  rig.data(short, LAST, { at: DATA + 4096 });
  rig.ring();
  expect(rig.sent()).toEqual([long, Buffer.concat([short, Buffer.alloc(40)])]);
  expect([rig.isDone(0), rig.isDone(1), rig.isDone(2)]).toEqual([true, true, false]);
  expect([rig.read(reg.TRANSMIT_RING + reg.HEAD), rig.read(0x4080), rig.read(0x40d4)]).toEqual([2, 2, 2]);
});

it('reports only what asks for it', () => {
  const rig = rigged();
  rig.data(frameOf(BROADCAST, 60), CMD.end);
  rig.ring();
  expect([rig.sent().length, rig.isDone(0)]).toEqual([1, false]);
});

it('a packet is in several descriptors, told of at once or one by one, around the end of the ring', () => {
  const rig = rigged();
  const frame = frameOf(BROADCAST, 900);
  for (let round = 0; round < 5; round++) {
    const tells = round % 2 === 0;
    [0, 300, 600].forEach((from, i) => {
      rig.data(frame.subarray(from, from + 300), i === 2 ? LAST : CMD.report, { at: DATA + 4096 * i });
      if (tells) rig.ring();
    });
    rig.ring();
    expect(rig.sent()).toEqual([frame]);
  }
});

it('nothing is sent before transmission is on, and then what waits is', () => {
  const rig = rigged();
  rig.write(reg.TCTL, 0);
  rig.data(frameOf(BROADCAST, 64), LAST);
  rig.ring();
  expect(rig.sent()).toEqual([]);
  rig.write(reg.TCTL, reg.TCTL_ENABLE);
  expect(rig.sent().length).toBe(1);
});

it('queues are apart', () => {
  const rig = rigged().start(1);
  const frames = [frameOf(BROADCAST, 100), frameOf(BROADCAST, 101)];
  rig.data(frames[0]!.subarray(0, 50), 0);
  rig.ring();
  rig.data(frames[1]!, LAST, { at: DATA + 4096, queue: 1 });
  rig.ring(1);
  expect([rig.sent(), rig.isDone(0, 1)]).toEqual([[frames[1]], true]);
  rig.data(frames[0]!.subarray(50), LAST);
  rig.ring();
  expect(rig.sent()).toEqual([frames[0]]);
});

it.each([
  ['TCP over IPv4', ipv4(BROADCAST, 101), 34, 16, IP_SUM | L4_SUM],
  ['UDP over IPv4', ipv4(BROADCAST, 64, 17), 34, 6, IP_SUM | L4_SUM],
  ['TCP over IPv6', ipv6(BROADCAST, 77), 54, 16, L4_SUM],
])('puts the checksums of %s in', (_what, frame, start, field, options) => {
  const rig = rigged();
  const pseudo = sumOf(
    frame.subarray(start === 34 ? 26 : 22, start),
    frame[start === 34 ? 23 : 20]! + frame.length - start,
  );
  frame.writeUInt16BE(pseudo, start + field);
  rig.context({ ip: [14, 24, 33], transport: [start, start + field, 0] });
  rig.data(frame, LAST | CMD.extended, { options });
  rig.ring();
  const [sent] = rig.sent();
  expect(transportSum(sent!)).toBe(0xffff);
  if (options & IP_SUM) expect(sumOf(sent!.subarray(14, 34))).toBe(0xffff);
  expect(sent!.subarray(-60)).toEqual(frame.subarray(-60));
});

it('a legacy descriptor asks for one checksum, of what is behind its start', () => {
  const rig = rigged();
  const frame = ipv4(BROADCAST, 40);
  frame.writeUInt16BE(sumOf(frame.subarray(26, 34), 6 + 60), 50);
  rig.data(frame, LAST | CMD.sum, { more: (50n << 16n) | (34n << 40n) });
  rig.ring();
  expect(transportSum(rig.sent()[0]!)).toBe(0xffff);
});

it.each([
  ['starts behind the end', [200, 24, 0]],
  ['has its field behind the end', [14, 255, 0]],
])('a checksum that %s is left out', (_where, ip) => {
  const rig = rigged();
  const frame = frameOf(BROADCAST, 64);
  rig.context({ ip });
  rig.data(frame, LAST | CMD.extended, { options: IP_SUM });
  rig.ring();
  expect(rig.sent()).toEqual([frame]);
});

it.each([
  ['TCP over IPv4', ipv4(BROADCAST, 2500), 54, 3],
  ['TCP over IPv6', ipv6(BROADCAST, 2500), 74, 1],
  ['UDP over IPv4', ipv4(BROADCAST, 2500, 17), 42, 2],
])('cuts %s into segments with headers of their own', (_what, packet, header, kind) => {
  const rig = rigged();
  const is4 = (kind & 2) !== 0;
  const isTcp = (kind & 1) !== 0;
  const [start, field] = is4 ? [34, isTcp ? 50 : 40] : [54, 70];
  packet.writeUInt16BE(sumOf(packet.subarray(is4 ? 26 : 22, start), packet[is4 ? 23 : 20]!), field);
  const [ip, transport] = [
    [14, 24, is4 ? 33 : 0],
    [start, field, 0],
  ];
  rig.context({ ip, transport, command: CMD.segment | kind, header, mss: 1000 });
  const options = is4 ? IP_SUM | L4_SUM : L4_SUM;
  rig.data(packet.subarray(0, header), CMD.extended | CMD.segment, { options });
  rig.data(packet.subarray(header), LAST | CMD.extended | CMD.segment, { at: DATA + 4096, options });
  rig.ring();
  const sent = rig.sent();
  expect(sent.map(({ length }) => length - header)).toEqual([1000, 1000, 500]);
  expect(sent.map(transportSum)).toEqual([0xffff, 0xffff, 0xffff]);
  expect(Buffer.concat(sent.map((frame) => frame.subarray(header)))).toEqual(packet.subarray(header));
  if (is4) {
    expect(sent.map((frame) => sumOf(frame.subarray(14, 34)))).toEqual([0xffff, 0xffff, 0xffff]);
    expect(sent.map((frame) => frame.readUInt16BE(18))).toEqual([0x1000, 0x1001, 0x1002]);
  } else expect(sent.map((frame) => frame.readUInt16BE(18))).toEqual([1020, 1020, 520]);
  if (!isTcp) return expect(sent.map((frame) => frame.readUInt16BE(38))).toEqual([1008, 1008, 508]);
  expect(sent.map((frame) => frame.readUInt32BE(start! + 4))).toEqual([1000, 2000, 3000]);
  // FIN and PSH are the last one's alone.
  expect(sent.map((frame) => frame[start! + 13])).toEqual([0x10, 0x10, 0x19]);
  expect(rig.read(0x40f8)).toBe(1);
});

it.each([
  ['no size', { mss: 0, header: 54 }],
  ['a header longer than the packet', { mss: 1000, header: 255 }],
  ['a transport that does not fit into the header', { mss: 1000, header: 40 }],
])('a packet whose segments have %s is not sent, and is done', (_what, context) => {
  const rig = rigged();
  rig.context({ ip: [14, 24, 33], transport: [34, 50, 0], command: CMD.segment | 3, ...context });
  rig.data(ipv4(BROADCAST, 100), LAST | CMD.extended | CMD.segment);
  rig.ring();
  expect([rig.sent(), rig.isDone(1)]).toEqual([[], true]);
});

it('puts a VLAN tag in, when VLANs are on', () => {
  const rig = rigged();
  const frame = frameOf(BROADCAST, 64);
  rig.data(frame, LAST | CMD.tag, { more: 0x2005n << 48n });
  rig.ring();
  rig.write(reg.CTRL, rig.read(reg.CTRL) | reg.CTRL_VLAN_MODE);
  rig.data(frame, LAST | CMD.tag, { more: 0x2005n << 48n });
  rig.ring();
  const tag = Buffer.of(0x81, 0x00, 0x20, 0x05);
  expect(rig.sent()).toEqual([frame, Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)])]);
});

it('a frame of the most bytes is sent, one more is not', () => {
  const rig = rigged();
  for (const length of [MAX_FRAME, MAX_FRAME + 1])
    rig.data(frameOf(BROADCAST, length), LAST, { at: DATA + 16384 * (length & 1) });
  rig.ring();
  expect(rig.sent().map(({ length }) => length)).toEqual([MAX_FRAME]);
  expect(rig.isDone(1)).toBe(true);
});

it('a packet that is longer than the card holds is dropped whole, and the next is sent', () => {
  const rig = rigged();
  const piece = Buffer.alloc(0xfffff).subarray(0, MAX_PACKET / 2);
  for (let i = 0; i < 2; i++) rig.data(piece, CMD.extended);
  rig.data(piece.subarray(0, 1), CMD.extended);
  rig.data(frameOf(BROADCAST, 64), LAST | CMD.extended, { at: DATA + MAX_PACKET });
  rig.ring();
  expect([rig.sent(), rig.isDone(3)]).toEqual([[], true]);
  rig.data(frameOf(BROADCAST, 64), LAST);
  rig.ring();
  expect([rig.sent().length, rig.card.check()]).toEqual([1, []]);
});

it('a packet whose data cannot be read is not sent; a ring that cannot stops until its tail is written', () => {
  const rig = rigged();
  rig.put(BigInt(OUTSIDE), BigInt(64) | (BigInt(LAST) << 24n));
  rig.data(frameOf(BROADCAST, 64), LAST);
  rig.ring();
  expect([rig.sent().length, rig.isDone(0), rig.isDone(1)]).toEqual([1, true, true]);
  rig.write(reg.TRANSMIT_RING, OUTSIDE);
  rig.data(frameOf(BROADCAST, 64), LAST);
  rig.ring();
  expect([rig.sent(), rig.read(reg.TRANSMIT_RING + reg.HEAD)]).toEqual([[], 2]);
  rig.write(reg.TRANSMIT_RING, TX);
  rig.ring();
  expect(rig.sent().length).toBe(1);
});

it.each([
  ['no entries', reg.LENGTH, 0],
  ['a head behind its end', reg.HEAD, ENTRIES],
  ['a tail behind its end', reg.TAIL, ENTRIES],
])('a ring with %s has nothing to send', (_what, at, value) => {
  const rig = rigged();
  rig.data(frameOf(BROADCAST, 64), LAST);
  rig.write(reg.TRANSMIT_RING + at, value);
  if (at !== reg.TAIL) rig.ring();
  expect(rig.sent()).toEqual([]);
});

it('a reset while descriptors are being read ends all that was begun, and the next life sends', () => {
  const rig = rigged();
  rig.data(frameOf(BROADCAST, 64), LAST);
  rig.bus.during = () => {
    rig.bus.during = () => undefined;
    rig.card.write(reg.CTRL, 4, BigInt(reg.CTRL_RESET)).next();
  };
  rig.ring();
  expect([rig.sent(), rig.isDone(0)]).toEqual([[], false]);
  rig.start();
  rig.ring();
  expect(rig.sent().length).toBe(1);
});

import { MAX_FRAME } from '../model.js';
import {
  BROADCAST,
  BUFFER,
  BUFFERS,
  CardRig,
  ENTRIES,
  FACTS,
  frameOf,
  ipv4,
  ipv6,
  MAC,
  OTHER_MAC,
  RX,
  summed,
} from '../testing/card-rig.js';
import { E1000e } from './e1000e.js';
import { MAX_WAITING } from './receive.js';
import * as reg from './registers.js';

const RCTL = reg.RCTL_BROADCAST | reg.RCTL_STRIP_CRC;
const rigged = (rctl = RCTL) => new CardRig((bus) => new E1000e(bus, FACTS)).start(0, rctl);
const [DONE, END] = [1, 2];
const head = (rig: ReturnType<typeof rigged>, queue = 0): number =>
  rig.read(reg.RECEIVE_RING + queue * reg.QUEUE_STRIDE + reg.HEAD);
const MULTICAST = Buffer.of(1, 0, 0x5e, 0, 0, 0xfb);

it('stores a frame and says how long it is', () => {
  const rig = rigged();
  const frame = frameOf(MAC, 1514);
  rig.arrives(frame);
  const { d, bytes } = rig.received(0);
  expect([bytes.subarray(0, 1514), d.getUint16(8, true), d.getUint8(12), d.getUint8(13)]).toEqual([
    frame,
    1514,
    DONE | END | 4,
    0,
  ]);
  expect([head(rig), rig.read(0x4074)]).toEqual([1, 1]);
});

it('keeps the CRC when the driver wants it', () => {
  const rig = rigged(reg.RCTL_BROADCAST);
  const frame = Buffer.concat([BROADCAST, Buffer.from('123456789'.padEnd(54, ' '), 'latin1')]);
  rig.arrives(frame);
  const { d, bytes } = rig.received(0);
  expect([d.getUint16(8, true), bytes.subarray(0, 60)]).toEqual([64, frame]);
  // The CRC of a frame with its CRC behind it is a constant.
  let crc = 0xffff_ffff;
  for (const byte of bytes.subarray(0, 64)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  }
  expect(crc >>> 0).toBe(0xdebb20e3);
});

const set = (at: number, value: number) => (rig: ReturnType<typeof rigged>) => rig.write(at, value);
const tagged = (id: number): Buffer =>
  Buffer.concat([MAC, OTHER_MAC, Buffer.of(0x81, 0, id >>> 8, id), Buffer.alloc(60, 1)]);
it.each([
  ['its own address', MAC, RCTL, undefined, true],
  ['another address', OTHER_MAC, RCTL, undefined, false],
  ['another address, taking all', OTHER_MAC, RCTL | reg.RCTL_UNICAST_ALL, undefined, true],
  [
    'another address, given',
    OTHER_MAC,
    RCTL,
    (rig: ReturnType<typeof rigged>) => {
      rig.write(reg.RECEIVE_ADDRESSES + 8 * 15, OTHER_MAC.readUInt32LE(0));
      rig.write(reg.RECEIVE_ADDRESSES + 8 * 15 + 4, 0x8000_0000 | OTHER_MAC.readUInt16LE(4));
    },
    true,
  ],
  ['an address that is not valid', MAC, RCTL, set(reg.RECEIVE_ADDRESSES + 4, MAC.readUInt16LE(4)), false],
  ['everyone', BROADCAST, RCTL, undefined, true],
  ['everyone, not wanted', BROADCAST, reg.RCTL_STRIP_CRC, undefined, false],
  ['a group', MULTICAST, RCTL, undefined, false],
  ['a group, taking all', MULTICAST, RCTL | reg.RCTL_MULTICAST_ALL, undefined, true],
  ['a group in the table', MULTICAST, RCTL, set(reg.MTA + 4 * 0x7d, 1 << 16), true],
  ['a group in the table by other bits', MULTICAST, RCTL | (3 << 12), set(reg.MTA + 4 * 7, 1 << 27), false],
  [
    'a group in the table by the lowest bits',
    MULTICAST,
    RCTL | (3 << 12),
    set(reg.MTA + 4 * ((0xb00 & 0xfff) >>> 5), 1),
    true,
  ],
])('a frame to %s: taken or not', (_to, to, rctl, prepare, taken) => {
  const rig = rigged(rctl);
  prepare?.(rig);
  rig.arrives(frameOf(to, 64));
  expect(head(rig)).toBe(taken ? 1 : 0);
});

it.each([
  ['no VLAN', frameOf(MAC, 64), true],
  ['a VLAN in the table', tagged(0x105), true],
  ['a VLAN that is not', tagged(0x106), false],
])('filters VLANs: a frame of %s', (_vlan, frame, taken) => {
  const rig = rigged(RCTL | reg.RCTL_VLAN_FILTER);
  rig.write(reg.VFTA + 4 * (0x105 >>> 5), 1 << 5);
  rig.arrives(frame);
  expect(head(rig)).toBe(taken ? 1 : 0);
});

it('takes a VLAN tag out and tells of it, when VLANs are on', () => {
  const rig = rigged();
  rig.arrives(tagged(0x105));
  rig.write(reg.CTRL, rig.read(reg.CTRL) | reg.CTRL_VLAN_MODE);
  rig.arrives(tagged(0x105));
  const [first, second] = [rig.received(0), rig.received(1)];
  expect([first.d.getUint16(8, true), first.d.getUint8(12) & 8]).toEqual([76, 0]);
  expect([second.d.getUint16(8, true), second.d.getUint8(12) & 8, second.d.getUint16(14, true)]).toEqual([
    72, 8, 0x105,
  ]);
  expect(second.bytes.subarray(0, 72)).toEqual(Buffer.concat([MAC, OTHER_MAC, Buffer.alloc(60, 1)]));
});

it.each([
  ['TCP over IPv4', summed(ipv4(MAC, 100)), 0x60, 0],
  ['UDP over IPv4', summed(ipv4(MAC, 100, 17)), 0x70, 0],
  ['TCP over IPv6', summed(ipv6(MAC, 100)), 0x20, 0],
  ['a wrong transport', Buffer.concat([summed(ipv4(MAC, 100)).subarray(0, -1), Buffer.of(0)]), 0x60, 0x20],
  [
    'a wrong header',
    (() => {
      const frame = summed(ipv4(MAC, 100));
      frame[22]!--;
      return frame;
    })(),
    0x60,
    0x40,
  ],
  [
    'a fragment',
    (() => {
      const frame = ipv4(MAC, 100);
      frame[20] = 0x20;
      frame[24] = 0;
      return summed(frame);
    })(),
    0x40,
    0,
  ],
  ['no IP', frameOf(MAC, 100), 0x04, 0],
  [
    'IP that ends behind the frame',
    (() => {
      const frame = ipv4(MAC, 100);
      frame.writeUInt16BE(500, 16);
      return frame;
    })(),
    0x04,
    0,
  ],
])('looks at the checksums of %s', (_what, frame, status, errors) => {
  const rig = rigged();
  rig.write(reg.RXCSUM, reg.RXCSUM_IP | reg.RXCSUM_L4);
  rig.arrives(frame);
  const { d } = rig.received(0);
  expect([d.getUint8(12), d.getUint8(13)]).toEqual([status | DONE | END, errors]);
});

it('sums the packet from where the driver says', () => {
  const rig = rigged();
  rig.write(reg.RXCSUM, 58);
  rig.arrives(Buffer.concat([frameOf(MAC, 58), Buffer.of(0x12, 0x34, 0xff, 0xff)]));
  expect(rig.received(0).d.getUint16(10, true)).toBe(0x1234);
});

it('extended descriptors have the length behind, and the errors above', () => {
  const rig = rigged();
  rig.write(reg.RFCTL, reg.RFCTL_EXTENDED);
  rig.write(reg.RXCSUM, reg.RXCSUM_IP | reg.RXCSUM_L4);
  const frame = summed(ipv4(MAC, 100, 17));
  frame[frame.length - 1]! ^= 1;
  rig.arrives(frame);
  const { d, bytes } = rig.received(0);
  expect([d.getUint32(8, true), d.getUint16(12, true), d.getUint16(4, true)]).toEqual([0x2000_0073, 142, 0x1000]);
  expect(bytes.subarray(0, 142)).toEqual(frame);
});

it.each([
  ['a frame in buffers of 256 bytes', 3 << 16, 600, [256, 256, 88]],
  ['a frame that fills its buffers', 2 << 16, 1024, [512, 512]],
  ['a long frame in one large buffer', reg.RCTL_LONG | reg.RCTL_SIZE_EXTENDED | (1 << 16), MAX_FRAME, [MAX_FRAME]],
  ['buffers in units of 1 KiB', 1 << 27, 1500, [1024, 476]],
])('%s', (_what, rctl, length, pieces) => {
  const rig = rigged(RCTL | rctl);
  const frame = frameOf(MAC, length);
  rig.arrives(frame);
  expect(pieces.map((_, i) => rig.received(i).d.getUint16(8, true))).toEqual(pieces);
  expect(pieces.map((_, i) => rig.received(i).d.getUint8(12) & END)).toEqual(
    pieces.map((_, i) => (i === pieces.length - 1 ? END : 0)),
  );
  const stored = pieces.map((size, i) => rig.bus.memory.slice(BUFFERS + i * BUFFER, BUFFERS + i * BUFFER + size));
  expect(Buffer.concat(stored)).toEqual(frame);
});

it.each([
  ['1518 bytes', 0, 1518, 1],
  ['more', 0, 1519, 0],
  ['the longest of all', reg.RCTL_LONG, MAX_FRAME, 1],
  ['the shortest', 0, 60, 1],
  ['less', 0, 59, 0],
])('the size of a frame has bounds: %s', (_what, rctl, length, taken) => {
  const rig = rigged(RCTL | reg.RCTL_SIZE_EXTENDED | (1 << 16) | rctl);
  rig.arrives(frameOf(MAC, length));
  expect(head(rig)).toBe(taken);
});

const split = (sizes: number) => {
  const rig = rigged(RCTL | reg.RCTL_SPLIT);
  rig.write(reg.RFCTL, reg.RFCTL_EXTENDED);
  rig.write(reg.PSRCTL, sizes);
  rig.write(reg.RECEIVE_RING + reg.LENGTH, ENTRIES * 32);
  rig.write(reg.RECEIVE_RING + reg.TAIL, 2 * (ENTRIES - 1));
  for (let i = 0; i < ENTRIES; i++)
    for (let k = 0; k < 4; k++)
      rig.view.setBigUint64(RX + 32 * i + 8 * k, BigInt(BUFFERS + (4 * i + k) * BUFFER), true);
  return rig;
};

it.each([
  ['headers and data are apart', 2 | (1 << 8) | (1 << 16), summed(ipv4(MAC, 1300)), 54, 0x8036, [1024, 276, 0]],
  [
    'headers that do not fit are with the data',
    0 | (1 << 8) | (1 << 16),
    summed(ipv4(MAC, 1300)),
    0,
    0,
    [1024, 330, 0],
  ],
  ['what has no headers fills the buffers', 2 | (1 << 8) | (1 << 16), frameOf(MAC, 1400), 256, 0, [1024, 120, 0]],
  ['a header buffer alone holds all', 2, summed(ipv4(MAC, 100)), 154, 0, [0, 0, 0]],
])('split descriptors: %s', (_what, sizes, frame, first, header, rest) => {
  const rig = split(sizes);
  rig.arrives(frame);
  const d = new DataView(rig.bus.memory.buffer, RX, 32);
  expect([d.getUint16(12, true), d.getUint16(16, true)]).toEqual([first, header]);
  expect([18, 20, 22].map((at) => d.getUint16(at, true))).toEqual(rest);
  const stored = [first, ...rest].map((size, k) =>
    rig.bus.memory.slice(BUFFERS + k * BUFFER, BUFFERS + k * BUFFER + size),
  );
  expect(Buffer.concat(stored)).toEqual(frame);
});

it.each([
  ['buffers of no size', split(0), 1],
  ['no descriptors', rigged(), 8],
])('%s: the frame is dropped, counted, and the driver told', (_what, rig, frames) => {
  rig.write(reg.IMS, 0x40);
  for (let i = 0; i < frames; i++) rig.arrives(frameOf(MAC, 64));
  expect([rig.read(0x4010), rig.read(0x40a0), rig.bus.raised.length]).toEqual([1, 1, 1]);
  expect([rig.read(reg.ICR) & 0x40, head(rig)]).toEqual([0x40, frames - 1]);
});

it('a frame needs all its descriptors: none is used where there are too few', () => {
  const rig = rigged(RCTL | (3 << 16));
  rig.write(reg.RECEIVE_RING + reg.TAIL, 2);
  rig.arrives(frameOf(MAC, 600));
  rig.arrives(frameOf(MAC, 500));
  expect([head(rig), rig.read(0x4010)]).toEqual([2, 1]);
});

it('a ring that cannot be read drops; a buffer that cannot be written loses its bytes', () => {
  const rig = rigged();
  rig.view.setBigUint64(RX, 2n ** 21n, true);
  rig.arrives(frameOf(MAC, 64));
  expect([rig.received(0).d.getUint8(12) & DONE, head(rig)]).toEqual([DONE, 1]);
  rig.write(reg.RECEIVE_RING, 2 ** 21);
  rig.arrives(frameOf(MAC, 64));
  expect([rig.read(0x4010), head(rig)]).toEqual([1, 1]);
});

it('tells when few descriptors are left', () => {
  const rig = rigged(RCTL | (1 << 8));
  const few = [0, 0, 0, 0, 0, 1, 1].map(() => {
    rig.arrives(frameOf(MAC, 64));
    return (rig.read(reg.ICR) >>> 4) & 1;
  });
  expect(few).toEqual([0, 0, 0, 0, 1, 1, 1]);
});

// The key, addresses and hashes are those that Microsoft publishes to verify implementations.
const KEY = Buffer.from('6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa', 'hex');
const PORTS = [0x0a, 0xea, 0x06, 0xe6];
const V4 = ipv4(MAC, 10);
V4.set([66, 9, 149, 187, 161, 142, 100, 80, ...PORTS], 26);
const V6 = ipv6(MAC, 10);
V6.set(Buffer.from('3ffe250102001fff00000000000000073ffe2501020000030000000000000001', 'hex'), 22);
V6.set(PORTS, 54);
it.each([
  ['addresses and ports of IPv4', V4, 1 << 16, 1, 0x51ccc178],
  ['addresses of IPv4', V4, 1 << 17, 2, 0x323e8fc2],
  ['addresses and ports of IPv6', V6, 1 << 18, 3, 0x40207d3d],
  ['addresses of IPv6', V6, 1 << 20, 5, 0x2cc18cd5],
])('hashes %s, and the table gives the queue', (_what, frame, modes, type, hash) => {
  const rig = rigged().start(1);
  rig.write(reg.RFCTL, reg.RFCTL_EXTENDED);
  rig.write(reg.RXCSUM, reg.RXCSUM_NO_PACKET_SUM);
  for (let i = 0; i < KEY.length; i += 4) rig.write(reg.RSSRK + i, KEY.readUInt32LE(i));
  rig.write(reg.MRQC, 1 | modes);
  rig.arrives(frame);
  const { d } = rig.received(0);
  expect([d.getUint32(0, true), d.getUint32(4, true)]).toEqual([type, hash]);
  const at = hash & 0x7f;
  rig.write(reg.RETA + (at & ~3), 0x80 << (8 * (at & 3)));
  rig.arrives(frame);
  expect([head(rig), head(rig, 1), rig.received(0, 1).d.getUint32(0, true)]).toEqual([1, 1, type | 0x100]);
});

it.each([
  ['packet checksums are wanted', reg.RXCSUM, 0],
  ['it is off', reg.MRQC, 0],
  ['descriptors are legacy', reg.RFCTL, 0],
])('hashes nothing where %s', (_what, at, value) => {
  const rig = rigged();
  rig.write(reg.RFCTL, reg.RFCTL_EXTENDED);
  rig.write(reg.RXCSUM, reg.RXCSUM_NO_PACKET_SUM);
  rig.write(reg.MRQC, 1 | (1 << 17));
  rig.write(reg.RETA, 0x80);
  rig.write(at, value);
  rig.arrives(V4);
  expect(head(rig)).toBe(1);
});

it('while one frame is being stored so many wait, and one more is dropped', () => {
  const rig = rigged();
  rig.bus.during = () => {
    rig.bus.during = () => undefined;
    for (let i = 0; i < MAX_WAITING + 1; i++) rig.arrives(frameOf(MAC, 64));
    expect(rig.read(0x4010)).toBe(1);
  };
  rig.arrives(frameOf(MAC, 100));
  // Of those that waited there are descriptors for six.
  expect([head(rig), rig.read(0x4074), rig.read(0x4010)]).toEqual([7, 7, MAX_WAITING - 6]);
});

it('a reset while a frame is being stored ends it, and those that wait', () => {
  const rig = rigged();
  rig.bus.during = () => {
    rig.bus.during = () => undefined;
    rig.arrives(frameOf(MAC, 64));
    rig.write(reg.CTRL, reg.CTRL_RESET);
  };
  rig.arrives(frameOf(MAC, 100));
  expect([head(rig), rig.read(0x4074), rig.received(0).d.getUint8(12)]).toEqual([0, 0, 0]);
  rig.start();
  rig.arrives(frameOf(MAC, 64));
  expect(head(rig)).toBe(1);
});

it('head and tail of split descriptors count halves of them', () => {
  const rig = split(2 | (1 << 8));
  const frames = Array.from({ length: ENTRIES }, (_, i) => frameOf(MAC, 100 + i));
  for (const frame of frames) rig.arrives(frame);
  expect([head(rig), rig.read(0x4010)]).toEqual([2 * (ENTRIES - 1), 1]);
  const lengths = frames.map((_, i) => new DataView(rig.bus.memory.buffer, RX + 32 * i).getUint16(12, true));
  expect(lengths).toEqual([...frames.slice(0, -1).map(({ length }) => length), 0]);
  rig.write(reg.RECEIVE_RING + reg.TAIL, 2 * (ENTRIES - 2));
  rig.arrives(frames[0]!);
  expect(head(rig)).toBe(0);
});

import { encode, vfio_device_feature, vfio_irq_set, vfio_region_info } from '@vfiolab/uapi';
import { MAX_JSON, readVersion } from './capabilities.js';
import { VfioUserClient } from './client.js';
import { native } from './native.js';
import { GuestRam, Rig } from './testing/rig.js';
import * as wire from './wire.js';

const CONFIG = 7;
const EMPTY = new Uint8Array(0);
const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const text = (s: string): Uint8Array => Uint8Array.from([0, 0, 0, 0, ...Buffer.from(s)]);

let rig: Rig;
let client: VfioUserClient;
const fds: number[] = [];
const memory = new GuestRam(0x4000);
const descriptor = (fd: number): number => (fds.push(fd), fd);

beforeAll(async () => {
  rig = await Rig.start({ maxTransfer: 4096, maxFds: 4 });
  client = await VfioUserClient.open(rig.path);
});

afterAll(async () => {
  client.close();
  expect(await rig.quiet()).toEqual({});
  expect(await rig.end()).toEqual([]);
  for (const fd of fds) native().close(fd);
  memory.free();
});

const map = (fields: object) =>
  encode(wire.vfio_user_dma_map, { argsz: 32, flags: 3, offset: 0n, address: 0x10000n, size: 0x1000n, ...fields });
const unmap = (fields: object) =>
  encode(wire.vfio_user_dma_unmap, { argsz: 24, flags: 0, address: 0x10000n, size: 0x1000n, ...fields });
const access = (fields: object, data: readonly number[] = []) =>
  Uint8Array.from([...encode(wire.vfio_user_region_access, { region: CONFIG, count: 4, ...fields }), ...data]);
const irqs = (fields: object, data: readonly number[] = []) => {
  const whole = { argsz: 20 + data.length, flags: 0x24, index: 0, start: 0, count: 1, ...fields };
  return Uint8Array.from([...encode(vfio_irq_set, whole), ...data]);
};
const feature = (flags: number, argsz = 8) => encode(vfio_device_feature, { argsz, flags });

const [memfd, event] = [memory.fd, descriptor(native().eventfd())];
const many = [event, event, event, event, event];

const wrong: readonly (readonly [string, number, Uint8Array, readonly number[], string])[] = [
  ['a second VERSION', wire.VERSION, text(''), [], 'EINVAL'],
  ['a command that there is not', 99, EMPTY, [], 'EINVAL'],
  ['command 0', 0, EMPTY, [], 'EINVAL'],
  ['a command of the server', wire.DMA_READ, new Uint8Array(16), [], 'EINVAL'],
  ['a DMA_MAP without its struct', wire.DMA_MAP, map({}).subarray(0, 31), [memfd], 'EINVAL'],
  ['a DMA_MAP whose argsz is short', wire.DMA_MAP, map({ argsz: 31 }), [memfd], 'EINVAL'],
  ['a DMA_MAP of nothing', wire.DMA_MAP, map({ size: 0n }), [memfd], 'EINVAL'],
  ['a DMA_MAP in a page', wire.DMA_MAP, map({ address: 0x10800n }), [memfd], 'EINVAL'],
  ['a DMA_MAP of half a page', wire.DMA_MAP, map({ size: 0x1800n }), [memfd], 'EINVAL'],
  ['a DMA_MAP from within a page of the file', wire.DMA_MAP, map({ offset: 8n }), [memfd], 'EINVAL'],
  ['a DMA_MAP that wraps around', wire.DMA_MAP, map({ address: -0x1000n, size: 0x2000n }), [memfd], 'EINVAL'],
  ['a DMA_MAP without access', wire.DMA_MAP, map({ flags: 0 }), [memfd], 'EINVAL'],
  ['a DMA_MAP with unknown flags', wire.DMA_MAP, map({ flags: 7 }), [memfd], 'EINVAL'],
  ['a DMA_MAP behind the end of the file', wire.DMA_MAP, map({ offset: 0x4000n }), [memfd], 'EINVAL'],
  ['a DMA_MAP of more than the file', wire.DMA_MAP, map({ size: 0x5000n }), [memfd], 'EINVAL'],
  ['a DMA_MAP of an eventfd', wire.DMA_MAP, map({}), [event], 'ENODEV'],
  ['a DMA_MAP with two descriptors', wire.DMA_MAP, map({}), [memfd, memfd], 'EINVAL'],
  ['a DMA_MAP larger than any', wire.DMA_MAP, map({ size: 1n << 62n, address: 0n }), [], 'EFBIG'],
  ['a DMA_MAP larger than the host', wire.DMA_MAP, map({ size: 1n << 40n, address: 0n }), [], 'ENOMEM'],
  ['a DMA_MAP where the host has its interrupts', wire.DMA_MAP, map({ address: 0xfee00000n }), [memfd], 'EINVAL'],
  ['more descriptors than were agreed on', wire.DMA_MAP, map({}), many, 'EINVAL'],
  ['a DMA_UNMAP without its struct', wire.DMA_UNMAP, unmap({}).subarray(0, 23), [], 'EINVAL'],
  ['a DMA_UNMAP of what is not mapped', wire.DMA_UNMAP, unmap({}), [], 'ENOENT'],
  ['a DMA_UNMAP of everything, with a place', wire.DMA_UNMAP, unmap({ flags: 2 }), [], 'EINVAL'],
  ['a DMA_UNMAP with unknown flags', wire.DMA_UNMAP, unmap({ flags: 4 }), [], 'EINVAL'],
  ['a DMA_UNMAP that asks for dirty pages', wire.DMA_UNMAP, unmap({ flags: 1 }), [], 'ENOENT'],
  ['a DMA_UNMAP with a descriptor', wire.DMA_UNMAP, unmap({}), [memfd], 'EINVAL'],
  ['a short GET_INFO', wire.DEVICE_GET_INFO, u32(16, 0, 0), [], 'EINVAL'],
  ['a GET_INFO with little room', wire.DEVICE_GET_INFO, u32(15, 0, 0, 0), [], 'EINVAL'],
  ['a GET_INFO with a descriptor', wire.DEVICE_GET_INFO, u32(16, 0, 0, 0), [memfd], 'EINVAL'],
  [
    'a region that there is not',
    wire.DEVICE_GET_REGION_INFO,
    encode(vfio_region_info, { argsz: 32, index: 9 }),
    [],
    'EINVAL',
  ],
  ['descriptors of a region', wire.DEVICE_GET_REGION_IO_FDS, u32(16, 0, 0, 0), [], 'EOPNOTSUPP'],
  ['an index that there is not', wire.DEVICE_GET_IRQ_INFO, u32(16, 0, 5, 0), [], 'EINVAL'],
  ['a SET_IRQS without its struct', wire.DEVICE_SET_IRQS, irqs({}).subarray(0, 19), [event], 'EINVAL'],
  ['a SET_IRQS longer than its message', wire.DEVICE_SET_IRQS, irqs({ argsz: 24 }), [event], 'EINVAL'],
  ['a SET_IRQS with no eventfd', wire.DEVICE_SET_IRQS, irqs({}), [memfd], 'EINVAL'],
  ['a SET_IRQS with too few eventfds', wire.DEVICE_SET_IRQS, irqs({ index: 1, count: 2 }), [event], 'EINVAL'],
  ['a SET_IRQS with eventfds for none', wire.DEVICE_SET_IRQS, irqs({ flags: 0x21, count: 0 }), [event], 'EINVAL'],
  ['a SET_IRQS of more vectors than any has', wire.DEVICE_SET_IRQS, irqs({ count: 2049 }), [], 'E2BIG'],
  ['a SET_IRQS of vectors that there are not', wire.DEVICE_SET_IRQS, irqs({ start: 1 }), [event], 'EINVAL'],
  ['a SET_IRQS of an index that is off', wire.DEVICE_SET_IRQS, irqs({ flags: 0x21, index: 1 }), [], 'EINVAL'],
  ['bools that are missing', wire.DEVICE_SET_IRQS, irqs({ flags: 0x22 }), [], 'EINVAL'],
  ['a read without its struct', wire.REGION_READ, access({}).subarray(0, 15), [], 'EINVAL'],
  ['a read of nothing', wire.REGION_READ, access({ count: 0 }), [], 'EINVAL'],
  ['a read longer than was agreed on', wire.REGION_READ, access({ count: 4097 }), [], 'E2BIG'],
  ['a read behind the end', wire.REGION_READ, access({ offset: 256n }), [], 'EFAULT'],
  ['a read through the end', wire.REGION_READ, access({ region: 0, offset: 0xffffcn, count: 8 }), [], 'EINVAL'],
  ['a read from where no region is', wire.REGION_READ, access({ offset: 1n << 40n }), [], 'EINVAL'],
  ['a read far behind', wire.REGION_READ, access({ offset: -1n, count: 1 }), [], 'EINVAL'],
  ['a read of a region that there is not', wire.REGION_READ, access({ region: 300 }), [], 'EINVAL'],
  ['a read of the VGA region', wire.REGION_READ, access({ region: 8 }), [], 'EINVAL'],
  ['a read with a descriptor', wire.REGION_READ, access({}), [memfd], 'EINVAL'],
  ['a write with too few bytes', wire.REGION_WRITE, access({}, [1, 2, 3]), [], 'EINVAL'],
  ['a write with too many bytes', wire.REGION_WRITE, access({}, [1, 2, 3, 4, 5]), [], 'EINVAL'],
  ['a write of the ROM', wire.REGION_WRITE, access({ region: 6 }, [1, 2, 3, 4]), [], 'EINVAL'],
  ['several writes without their number', wire.REGION_WRITE_MULTI, u32(1), [], 'EINVAL'],
  ['several writes that are not there', wire.REGION_WRITE_MULTI, u32(1, 0), [], 'EINVAL'],
  ['very many writes', wire.REGION_WRITE_MULTI, u32(0, 1), [], 'E2BIG'],
  ['a reset with a payload', wire.DEVICE_RESET, u32(0), [], 'EINVAL'],
  ['a feature without its struct', wire.DEVICE_FEATURE, u32(8), [], 'EINVAL'],
  ['a feature that the protocol has not', wire.DEVICE_FEATURE, feature(0x10003), [], 'ENOTTY'],
  ['migration of a device that cannot', wire.DEVICE_FEATURE, feature(0x10001, 16), [], 'ENOTTY'],
  ['bytes of a migration that is not', wire.MIG_DATA_READ, u32(8, 100), [], 'EINVAL'],
  ['bytes for a migration that is not', wire.MIG_DATA_WRITE, u32(9, 1), [], 'EINVAL'],
];

it.each(wrong)('%s is refused, and the connection goes on', async (_name, command, payload, given, errno) => {
  expect((await client.call(command, payload, given)).errno).toBe(errno);
  expect((await client.read(CONFIG, 0, 4)).payload).toEqual(Uint8Array.from([0x34, 0x12, 0xe8, 0x11]));
});

it('what is mapped stays, whatever else is tried', async () => {
  expect((await client.map(0x10000n, 0x2000, { fd: memfd })).errno).toBeUndefined();
  expect((await client.map(0x11000n, 0x1000, { fd: memfd })).errno).toBe('EEXIST');
  expect((await client.unmap(0x10000n, 0x1000)).errno).toBe('ENOENT');
  expect((await client.unmap(0x11000n, 0x1000)).errno).toBe('ENOENT');
  expect((await client.map(0x20000n, 0x1000, {})).errno).toBeUndefined();
  expect((await client.unmap(0n, 0, wire.UNMAP_ALL)).errno).toBeUndefined();
  expect((await client.unmap(0n, 0, wire.UNMAP_ALL)).errno).toBeUndefined();
  expect((await client.map(0x10000n, 0x1000, { fd: memfd })).errno).toBeUndefined();
  expect((await client.unmap(0x10000n, 0x1000)).errno).toBeUndefined();
});

const header = (fields: Partial<wire.Header>): Uint8Array =>
  wire.makeMessage({ id: 7, command: wire.VERSION, size: 16, flags: 0, error: 0, ...fields });
const sized = (bytes: Uint8Array, size: number): Uint8Array => {
  const all = bytes.slice();
  new DataView(all.buffer).setUint32(4, size, true);
  return all;
};
const version = (payload: Uint8Array): Uint8Array => {
  const bytes = header({ size: 16 + payload.length });
  bytes.set(payload, 16);
  return bytes;
};

const endings: readonly (readonly [string, Uint8Array])[] = [
  ['a message shorter than a header', sized(header({}), 15)],
  ['a message longer than any', sized(header({}), 0xffffffff)],
  ['a VERSION without numbers', version(Uint8Array.of(0, 0))],
  ['another major version', version(Uint8Array.of(1, 0, 0, 0))],
  ['capabilities that are no JSON', version(text('{'))],
  ['capabilities that are a list', version(text('{"capabilities": []}\0'))],
  ['a number that is a text', version(text('{"capabilities": {"max_msg_fds": "8"}}\0'))],
  ['a negative number', version(text('{"capabilities": {"max_data_xfer_size": -1}}\0'))],
  ['no transfer at all', version(text('{"capabilities": {"max_data_xfer_size": 0}}\0'))],
  ['another command first', header({ command: wire.DEVICE_RESET })],
  ['a message of an unknown type', header({ flags: 5 })],
];

it.each(endings)('%s ends that connection alone', async (_name, bytes) => {
  const other = VfioUserClient.connect(rig.path);
  other.raw(bytes);
  await other.closed;
  expect((await client.read(CONFIG, 0, 4)).errno).toBeUndefined();
});

it('capabilities are read up to their bound', () => {
  const padded = (length: number) => {
    const payload = new Uint8Array(length).fill(0x20, 4);
    payload.set(Buffer.from('{}'), 4);
    return readVersion(payload).ok;
  };
  expect([padded(MAX_JSON), padded(MAX_JSON + 1)]).toEqual([true, false]);
});

it.each([0, 1, 15, 16, 20])('a peer that goes after %d bytes leaves nothing', async (bytes) => {
  const before = await rig.held();
  const other = VfioUserClient.connect(rig.path);
  other.raw(version(text('{}\0')).subarray(0, bytes));
  other.close();
  await new Promise((r) => setTimeout(r, 20));
  expect(await rig.held()).toEqual(before);
});

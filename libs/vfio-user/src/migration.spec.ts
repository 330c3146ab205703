import { decode, encode, vfio_device_feature, vfio_device_feature_mig_state } from '@vfiolab/uapi';
import { VfioUserClient } from './client.js';
import { GuestRam, Rig } from './testing/rig.js';
import * as wire from './wire.js';

const [GET, SET, PROBE] = [1 << 16, 1 << 17, 1 << 18];
const [MIGRATION, STATE, START, STOP, REPORT] = [1, 2, 6, 7, 8];
const [STOPPED, RUNNING, STOP_COPY, RESUMING] = [1, 2, 3, 4];
const [BAR0, CONFIG] = [0, 7];
const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

let rig: Rig;
let client: VfioUserClient;
beforeEach(async () => {
  rig = await Rig.start({ model: 'migratable-engine' });
  client = await VfioUserClient.open(rig.path);
  await client.write(CONFIG, 4, Uint8Array.of(6, 1));
});
afterEach(async () => {
  client.close();
  expect(await rig.quiet()).toEqual({});
  expect(await rig.end()).toEqual([]);
});

const feature = (flags: number, data: Uint8Array = new Uint8Array(0), argsz = 4096) =>
  client.call(wire.DEVICE_FEATURE, Uint8Array.from([...encode(vfio_device_feature, { argsz, flags }), ...data]));
const moveTo = async (device_state: number) =>
  (await feature(SET | STATE, encode(vfio_device_feature_mig_state, { device_state, data_fd: -1 }))).errno;
const state = async () =>
  decode(vfio_device_feature_mig_state, (await feature(GET | STATE)).payload.subarray(8)).device_state;
const readData = (size: number) =>
  client.call(wire.MIG_DATA_READ, encode(wire.vfio_user_mig_data, { argsz: 8 + size, size }));

it("a device's state is read out, and taken in by another connection", async () => {
  expect((await feature(PROBE | GET | MIGRATION)).errno).toBeUndefined();
  expect((await feature(GET | MIGRATION)).payload.subarray(8)).toEqual(u64(7n));
  // A payload that has no room for the answer.
  expect((await feature(GET | MIGRATION, undefined, 15)).errno).toBe('ENOSPC');
  await client.write(BAR0, 4, Uint8Array.of(1, 2, 3, 4));
  expect([await state(), await moveTo(STOP_COPY), await state()]).toEqual([RUNNING, undefined, STOP_COPY]);
  const image: number[] = [];
  for (;;) {
    const { payload } = await readData(1000);
    const { size } = decode(wire.vfio_user_mig_data, payload);
    image.push(...payload.subarray(8));
    if (size < 1000) break;
  }
  expect(await moveTo(STOPPED)).toBeUndefined();
  expect((await readData(10)).errno).toBe('EINVAL');
  client.close();
  await rig.quiet();

  client = await VfioUserClient.open(rig.path);
  expect(await moveTo(RESUMING)).toBeUndefined();
  for (let at = 0; at < image.length; at += 999) {
    const part = image.slice(at, at + 999);
    const head = encode(wire.vfio_user_mig_data, { argsz: 8 + part.length, size: part.length });
    expect((await client.call(wire.MIG_DATA_WRITE, Uint8Array.from([...head, ...part]))).errno).toBeUndefined();
  }
  expect([await moveTo(STOPPED), await moveTo(RUNNING)]).toEqual([undefined, undefined]);
  await client.write(CONFIG, 4, Uint8Array.of(6, 1));
  expect((await client.read(BAR0, 4, 4)).payload).toEqual(Uint8Array.of(0xfe, 0xfd, 0xfc, 0xfb));
});

it('an unmap tells which pages the device wrote to, or unmaps nothing', async () => {
  const ram = new GuestRam(0x10000);
  await client.map(0x10000n, 0x10000, { fd: ram.fd });
  const [head, map] = [wire.vfio_user_dma_unmap, wire.vfio_user_bitmap];
  const unmap = ({ argsz = 48, flags = 1, pgsize = 4096n, size = 8n, cut = 0 } = {}) => {
    const what = encode(head, { argsz, flags, address: 0x10000n, size: 0x10000n });
    const payload = Uint8Array.from([...what, ...encode(map, { pgsize, size })]);
    return client.call(wire.DMA_UNMAP, payload.slice(0, payload.length - cut));
  };
  // Nothing logs yet.
  expect((await unmap()).errno).toBe('EINVAL');
  const control = encode(wire.vfio_user_logging_control, { page_size: 4096n, num_ranges: 1 });
  await feature(SET | START, Uint8Array.from([...control, ...u64(0x10000n), ...u64(0x10000n)]));
  const write = async (iova: bigint) => {
    await client.write(BAR0, 0x80, u64(0x40000n));
    await client.write(BAR0, 0x88, u64(iova));
    await client.write(BAR0, 0x90, u64(16n));
    await client.write(BAR0, 0x98, u64(3n));
  };
  const wrong = [{ argsz: 47 }, { flags: 3 }, { pgsize: 0n }, { pgsize: 5000n }, { size: 16n }, { cut: 1 }];
  await write(0x12ff8n);
  // What is refused has not made the log forget.
  for (const each of wrong) expect((await unmap(each)).errno).toBe('EINVAL');
  await write(0x1f000n);
  const { errno, payload } = await unmap();
  expect(errno).toBeUndefined();
  expect(payload.subarray(40)).toEqual(u64(0b1000_0000_0000_1100n));
  expect(decode(head, payload)).toMatchObject({ argsz: 48, flags: 1, address: 0x10000n });
  expect((await unmap()).errno).toBe('ENOENT');
  ram.free();
});

it('pages that the device wrote to are logged', async () => {
  const ram = new GuestRam(0x10000);
  await client.map(0x10000n, 0x10000, { fd: ram.fd });
  const control = encode(wire.vfio_user_logging_control, { page_size: 4096n, num_ranges: 1 });
  const start = Uint8Array.from([...control, ...u64(0x10000n), ...u64(0x10000n)]);
  expect((await feature(SET | START, start.slice(0, -1))).errno).toBe('EINVAL');
  expect((await feature(SET | START, start)).errno).toBeUndefined();
  await client.write(BAR0, 0x80, u64(0x40000n));
  await client.write(BAR0, 0x88, u64(0x12ff8n));
  await client.write(BAR0, 0x90, u64(16n));
  await client.write(BAR0, 0x98, u64(3n));
  const asked = encode(wire.vfio_user_logging_report, { iova: 0x10000n, length: 0x10000n, page_size: 4096n });
  const bits = async () => (await feature(GET | REPORT, asked)).payload.subarray(8 + 24);
  expect([await bits(), await bits()]).toEqual([u64(0b1100n), u64(0n)]);
  const huge = encode(wire.vfio_user_logging_report, { iova: 0n, length: 1n << 50n, page_size: 4096n });
  expect((await feature(GET | REPORT, huge)).errno).toBe('E2BIG');
  expect((await feature(SET | STOP)).errno).toBeUndefined();
  ram.free();
});

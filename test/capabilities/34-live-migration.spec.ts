import { REG_DMA_COUNT, REG_FACTORIAL, REG_LIVENESS } from '@vfiolab/devices';
import * as uapi from '@vfiolab/uapi';
import { moveTo, readAll, stateOf, writeAll } from './support/migrating.js';
import { BDFS, type Device, Host, NOTHING } from './support/passthrough.js';

const { VFIO_DEVICE_STATE_STOP: STOP, VFIO_DEVICE_STATE_RUNNING: RUNNING } = uapi;
const { VFIO_DEVICE_STATE_STOP_COPY: STOP_COPY, VFIO_DEVICE_STATE_RESUMING: RESUMING } = uapi;
const MIGRATION = uapi.VFIO_DEVICE_FEATURE_GET | uapi.VFIO_DEVICE_FEATURE_MIGRATION;
const DATA_SIZE = uapi.VFIO_DEVICE_FEATURE_GET | uapi.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE;

const registers = async (d: Device) => [
  await d.read(REG_LIVENESS),
  await d.read(REG_FACTORIAL),
  await d.read(REG_DMA_COUNT, 8),
];

it('34: the bytes that one function saves make another one equal', async () => {
  const host = await Host.boot({ model: 'migratable-engine' });
  const p = await host.program('vmm');
  const [from, to] = [await p.device(BDFS[0]), await p.device(BDFS[1])];
  const va = await p.mapped(0x10000n, 8192);
  await p.must(p.process.write(va, Uint8Array.of(1, 2, 3, 4)));
  await from.write(REG_LIVENESS, 0x1234n);
  await from.write(REG_FACTORIAL, 6n);
  await from.fetch(0x10000n, 4);

  const features = await from.feature(MIGRATION, new Uint8Array(8));
  expect(features.payload[0]).toBe(7);
  const saving = (await moveTo(from, STOP_COPY)) as number;
  const { bytes, errno } = await readAll(from, saving);
  expect(errno).toBeUndefined();
  const size = await from.feature(DATA_SIZE, new Uint8Array(8));
  expect(new DataView(size.payload.buffer, size.payload.byteOffset).getUint32(0, true)).toBe(bytes.length);

  const resuming = (await moveTo(to, RESUMING)) as number;
  await writeAll(to, resuming, bytes);
  expect(await moveTo(to, RUNNING)).toBe(-1);
  expect(await registers(to)).toEqual(await registers(from));
  // The device's own buffer came along.
  await to.store(0x11000n, 4);
  expect([...(await p.must(p.process.read(va + 4096, 4)))]).toEqual([1, 2, 3, 4]);
  expect(await host.afterwards(p, BDFS[1])).toEqual(NOTHING);
});

it('34: a stopped function starts no DMA and is not changed, but answers', async () => {
  const host = await Host.boot({ model: 'migratable-engine' });
  const p = await host.program('vmm');
  const d = await p.device();
  const va = await p.mapped(0x10000n, 4096);
  await p.must(p.process.write(va, Uint8Array.of(9)));
  await d.write(REG_LIVENESS, 1n);
  expect(await moveTo(d, STOP)).toBe(-1);
  await d.write(REG_LIVENESS, 2n);
  await d.store(0x10000n, 1);
  expect(await d.read(REG_LIVENESS)).toBe(0xfffffffen);
  expect([...(await p.must(p.process.read(va, 1)))]).toEqual([9]);
  expect(await moveTo(d, RUNNING)).toBe(-1);
  await d.store(0x10000n, 1);
  expect([...(await p.must(p.process.read(va, 1)))]).toEqual([0]);
});

it('34: what is no state of the device is refused when resuming ends, and sessions end', async () => {
  const host = await Host.boot({ model: 'migratable-engine' });
  const p = await host.program('vmm');
  const d = await p.device();
  const resuming = (await moveTo(d, RESUMING)) as number;
  expect(await moveTo(d, STOP)).toBe('EINVAL');
  await writeAll(d, resuming, new Uint8Array(100));
  expect(await moveTo(d, RUNNING)).toBe('EINVAL');
  expect(await stateOf(d)).toBe(RESUMING);
  expect(await p.attempt(p.process.readFile(resuming, 10))).toBe('EINVAL');
  await p.host.run(p.process.ioctlPlain(d.fd, uapi.VFIO_DEVICE_RESET));
  expect(await stateOf(d)).toBe(RUNNING);
  expect(await p.attempt(p.process.writeFile(resuming, new Uint8Array(1)))).toBe('ENODEV');

  const saving = (await moveTo(d, STOP_COPY)) as number;
  expect(await moveTo(d, STOP)).toBe(-1);
  expect(await p.attempt(p.process.readFile(saving, 10))).toBe('ENODEV');
  await p.must(p.process.close(d.fd));
  const again = await p.device();
  expect(await stateOf(again)).toBe(RUNNING);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('34: a function that cannot be moved has no such features', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  expect((await (await p.device()).feature(MIGRATION, new Uint8Array(8))).errno).toBe('ENOTTY');
});

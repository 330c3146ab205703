/** Capability 92: a client that says that it reads the flags of VFIO_MIG_GET_PRECOPY_INFO is told when the state starts anew. */
import { REG_LIVENESS } from '@vfiolab/devices';
import * as uapi from '@vfiolab/uapi';
import { moveTo, precopyInfo, readAll, stateOf } from './support/migrating.js';
import { type Device, Host, NOTHING } from './support/passthrough.js';

const OPT_IN = uapi.VFIO_DEVICE_FEATURE_SET | uapi.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
const PROBE = uapi.VFIO_DEVICE_FEATURE_PROBE | OPT_IN;
const { VFIO_DEVICE_STATE_PRE_COPY: PRE_COPY, VFIO_DEVICE_STATE_RUNNING: RUNNING } = uapi;

async function migratable(profile = '7.2') {
  const host = await Host.boot({ model: 'migratable-engine', profile });
  const p = await host.program('vmm');
  return { host, p, d: await p.device() };
}

/** Everything is read, then the function changes: what is said of it. */
async function changed(d: Device): Promise<unknown> {
  const fd = (await moveTo(d, PRE_COPY)) as number;
  const { length } = (await readAll(d, fd)).bytes;
  await d.write(REG_LIVENESS, 5n);
  return { length, first: await precopyInfo(d, fd), second: await precopyInfo(d, fd) };
}

it('92: REINIT only after opt-in', async () => {
  const { host, p, d } = await migratable();
  const before = (await changed(d)) as { length: number };
  const { length } = before;
  expect(before).toEqual({ length, first: [0, 0, length], second: [0, 0, length] });
  expect(await moveTo(d, RUNNING)).toBe(-1);
  await d.write(REG_LIVENESS, 6n);
  expect((await d.feature(OPT_IN)).errno).toBeUndefined();
  // Told once; then it is as any other state that is still to be read.
  expect(await changed(d)).toEqual({
    length,
    first: [uapi.VFIO_PRECOPY_INFO_REINIT, length, 0],
    second: [0, length, 0],
  });
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('92: it is for as long as the device is open, whatever state it goes through', async () => {
  const { host, p, d } = await migratable();
  expect([(await d.feature(PROBE)).errno, (await d.feature(OPT_IN)).errno]).toEqual([undefined, undefined]);
  await p.host.run(p.process.ioctlPlain(d.fd, uapi.VFIO_DEVICE_RESET));
  expect(await stateOf(d)).toBe(RUNNING);
  expect(await changed(d)).toMatchObject({ first: [uapi.VFIO_PRECOPY_INFO_REINIT, expect.any(Number), 0] });
  await p.must(p.process.close(d.fd));
  const again = await p.device();
  expect(await changed(again)).toMatchObject({ first: [0, 0, expect.any(Number)] });
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('92: only to be set; ENOTTY on 6.12, and EINVAL later for functions that do not migrate', async () => {
  const { d } = await migratable();
  const get = uapi.VFIO_DEVICE_FEATURE_GET | uapi.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
  expect((await d.feature(get)).errno).toBe('EINVAL');
  expect((await (await migratable('6.12')).d.feature(OPT_IN)).errno).toBe('ENOTTY');
  const plain = await Host.boot({ profile: '7.2' });
  expect((await (await (await plain.program('vmm')).device()).feature(OPT_IN)).errno).toBe('EINVAL');
});

/** Capability 106: a function with ATS is in the blocking domain while it is reset, on kernels after 6.12 (semantics C1.5). */
import { IOMMU } from '@vfiolab/core';
import { VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { type Device, PAGE, Passthrough, PLAIN, RICH, text } from './support/iommu-host.js';

const AT = 0x100000n;
const RUNS = 24;

async function bench(profile: string, bdf: string) {
  const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable', profile });
  const device = await t.device(bdf);
  const [home, other, va] = [await t.ioas(), await t.ioas(), await t.memory(8192)];
  for (const ioas of [home, other]) expect(await t.map(ioas, AT, va, 2n * PAGE)).toBeUndefined();
  expect(await t.attach(device, home)).toBeUndefined();
  return { t, device, home, other, va };
}

/** ATTACH against RESET, later and later: what it answered. */
async function race(t: Passthrough, device: Device, pts: readonly number[], pasid?: number): Promise<Set<unknown>> {
  const answers = new Set<unknown>();
  const target = pasid === undefined ? { argsz: 12 } : { argsz: 16, flags: 1, pasid };
  for (let lag = 0; lag < RUNS; lag++) {
    const late = t.p.link.ports.sleep(lag * 0.05);
    const attach = late.then(() =>
      t.p.ioctl(device.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { ...target, pt_id: pts[lag % 2]! }),
    );
    const reset = t.p.link.ports.sleep(0.6).then(() => t.p.ioctlPlain(device.fd, VFIO_DEVICE_RESET));
    const [attached, done] = await t.host.run(Promise.all([attach, reset]));
    expect(done.errno).toBeUndefined();
    answers.add(attached.errno);
  }
  return answers;
}

it.each([
  ['7.2', RICH, [undefined, 'EBUSY']],
  ['7.3', RICH, [undefined, 'EBUSY']],
  ['6.12', RICH, [undefined]],
  ['7.2', PLAIN, [undefined]],
] as const)('106: attach during reset EBUSY: %s, %s', async (profile, bdf, expected) => {
  const { t, device, home, other, va } = await bench(profile, bdf);
  expect(await race(t, device, [other, home])).toEqual(new Set(expected));
  // Afterwards it is where it was, and can be moved again.
  await t.poke(va, text('again'));
  await t.copy(device, AT, AT + PAGE, 5);
  expect(await t.peek(va + 4096, 5)).toBe('again');
  expect(await t.attach(device, other)).toBeUndefined();
  expect([t.host.figures(IOMMU)['parked'], t.broken()]).toEqual([0, []]);
});

it('106: the same for PASIDs, which keep their tables over the reset', async () => {
  const { t, device, home, other, va } = await bench('7.2', RICH);
  const [one, two] = [await t.hwpt(device, home, { flags: 8 }), await t.hwpt(device, other, { flags: 8 })];
  expect(await t.attach(device, one)).toBeUndefined();
  expect(await t.attach(device, one, 5)).toBeUndefined();
  expect(await race(t, device, [two, one], 5)).toEqual(new Set([undefined, 'EBUSY']));
  await t.poke(va, text('pasid'));
  await t.copy(device, AT, AT + PAGE, 5, 5);
  expect(await t.peek(va + 4096, 5)).toBe('pasid');
  expect(t.broken()).toEqual([]);
});

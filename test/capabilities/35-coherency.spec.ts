import { VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU, IOMMU_VFIO_IOAS } from '@vfiolab/uapi';
import { OTHER_RICH, Passthrough, RICH } from './support/iommu-host.js';

/** The second device is behind an IOMMU that cannot enforce coherency. */
const UNITS = [
  { functions: ['0000:00:03'], snoop_control: true },
  { functions: ['0000:00:04'], snoop_control: false },
];

describe('35: devices with and without enforced coherency', () => {
  it.each([
    ['intel-vtd-scalable', RICH, 'EINVAL'],
    ['intel-vtd-scalable', OTHER_RICH, undefined],
  ] as const)('%s: a HWPT made for %s, attached to the other: %s', async (iommu, madeFor, answer) => {
    const t = await Passthrough.boot({ iommu, units: UNITS });
    const ioas = await t.ioas();
    const device = await t.device(madeFor);
    const other = await t.device(madeFor === RICH ? OTHER_RICH : RICH);
    const hwpt = await t.hwpt(device, ioas);
    expect(await t.attach(device, hwpt)).toBeUndefined();
    expect(await t.attach(other, hwpt)).toBe(answer);
  });

  it('attached to one IOAS each gets a HWPT that fits: the second does not join the first', async () => {
    const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable', units: UNITS });
    const ioas = await t.ioas();
    const [enforcing, other] = [await t.device(RICH), await t.device(OTHER_RICH)];
    const objects = (): number => t.host.figures('iommufd')['objects']!;
    expect(await t.attach(enforcing, ioas)).toBeUndefined();
    const before = objects();
    expect(await t.attach(other, ioas)).toBeUndefined();
    expect(objects()).toBe(before + 1);
    expect(t.broken()).toEqual([]);
  });

  it('both behind units that can: one HWPT for both', async () => {
    const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable' });
    const ioas = await t.ioas();
    const [one, two] = [await t.device(RICH), await t.device(OTHER_RICH)];
    await t.attach(one, ioas);
    const before = t.host.figures('iommufd')['objects'];
    await t.attach(two, ioas);
    expect(t.host.figures('iommufd')['objects']).toBe(before);
  });

  it('a container says that it is coherent until a device comes that is not', async () => {
    const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable', units: UNITS });
    const ioas = await t.ioas();
    expect(await t.errno(IOMMU_VFIO_IOAS, { op: 1, ioas_id: ioas })).toBeUndefined();
    const coherent = async (): Promise<number> =>
      (await t.host.run(t.p.ioctlAt(t.fd, VFIO_CHECK_EXTENSION.nr, VFIO_DMA_CC_IOMMU, []))).ret;
    const [enforcing, other] = [await t.device(RICH), await t.device(OTHER_RICH)];
    await t.attach(enforcing, ioas);
    expect(await coherent()).toBe(1);
    await t.attach(other, ioas);
    expect(await coherent()).toBe(0);
    await t.detach(other);
    expect(await coherent()).toBe(1);
  });
});

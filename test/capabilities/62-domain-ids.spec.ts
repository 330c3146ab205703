import { IOMMU_DESTROY } from '@vfiolab/uapi';
import { OTHER_RICH, Passthrough, PLAIN, RICH } from './support/iommu-host.js';

const PASID = 8;
const limited = (...limits: number[]) => ({
  units: [
    { functions: ['0000:00:03', '0000:00:04'], domain_ids: limits[0] },
    { functions: ['0000:00:05'], ...(limits[1] && { domain_ids: limits[1] }) },
  ],
});

describe('each IOMMU has so many ids for domains (semantics C9)', () => {
  it('VT-d takes one when a device is attached: one too many is ENOSPC, and nothing has changed', async () => {
    const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable', ...limited(1) });
    const [one, two, elsewhere] = [await t.device(RICH), await t.device(OTHER_RICH), await t.device(PLAIN)];
    const ioas = await t.ioas();
    const [first, second] = [await t.hwpt(one, ioas), await t.hwpt(one, ioas)];
    expect(await t.attach(one, first)).toBeUndefined();
    expect(await t.attach(two, second)).toBe('ENOSPC');
    expect(await t.attach(two, ioas)).toBe('ENOSPC');
    // The same domain costs nothing more, and another unit has ids of its own.
    expect(await t.attach(two, first)).toBeUndefined();
    expect(await t.attach(elsewhere, second)).toBeUndefined();
    expect(t.broken()).toEqual([]);
    await t.detach(one);
    await t.detach(two);
    expect(await t.attach(two, second)).toBeUndefined();
  });

  it('a replacement gives the old id back first; a PASID needs one more', async () => {
    const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable', ...limited(1) });
    const device = await t.device();
    const ioas = await t.ioas();
    const [first, second] = [
      await t.hwpt(device, ioas, { flags: PASID }),
      await t.hwpt(device, ioas, { flags: PASID }),
    ];
    expect(await t.attach(device, first)).toBeUndefined();
    expect(await t.attach(device, second)).toBeUndefined();
    expect(await t.attach(device, first, 1)).toBe('ENOSPC');
    expect(await t.attach(device, second, 1)).toBeUndefined();
    expect(await t.attach(device, first, 1)).toBe('ENOSPC');
  });

  it.each(['arm-smmu-v3-nested', 'amd-vi'])('%s takes one when the HWPT is made', async (iommu) => {
    const t = await Passthrough.boot({ iommu, ...limited(2) });
    const device = await t.device();
    const ioas = await t.ioas();
    const first = await t.hwpt(device, ioas);
    await t.hwpt(device, ioas);
    await expect(t.hwpt(device, ioas)).rejects.toThrow('ENOSPC');
    expect(await t.attach(device, ioas)).toBe('ENOSPC');
    expect(await t.errno(IOMMU_DESTROY, { id: first })).toBeUndefined();
    expect(await t.attach(device, ioas)).toBeUndefined();
    expect(t.broken()).toEqual([]);
  });
});

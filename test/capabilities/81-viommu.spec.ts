import {
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_DATA_ARM_SMMUV3,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
} from '@vfiolab/uapi';
import { bytesOf, OTHER_RICH, Passthrough } from './support/iommu-host.js';
import { Lab, NOTHING } from './support/lab.js';
import { nested, vdevice, virtual, viommuOn } from './support/viommus.js';

it('81: a vIOMMU stands for one IOMMU: devices behind it share it, each with an id of its own', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const v = await virtual(p);
  const other = await p.mock(v.ioas);
  expect(await vdevice(p, v.viommu, v.device, 1n)).toEqual(expect.any(Number));
  expect(await vdevice(p, v.viommu, other.device, 1n)).toBe('EEXIST');
  expect(await vdevice(p, v.viommu, other.device, 2n)).toEqual(expect.any(Number));
  const tables = [(await nested(p, v.device, v.viommu)) as number, (await nested(p, other.device, v.viommu)) as number];
  expect(await p.replaceErrno(v.object, tables[1]!)).toBeUndefined();
  expect(await p.replaceErrno(other.object, tables[0]!)).toBeUndefined();
  // A second vIOMMU on the same parent is another guest's view: a device is in one of them.
  const second = await viommuOn(p, v.device, v.parent);
  expect(await vdevice(p, second, v.device, 1n)).toBe('EEXIST');
  expect(await p.destroy(v.viommu)).toBe('EBUSY');
  expect(await p.destroy(second)).toBeUndefined();
  expect(await p.destroy(v.parent)).toBe('EBUSY');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('81: a device behind another physical IOMMU has no place in it: a nested table for it is EINVAL', async () => {
  const units = [{ functions: ['0000:00:03'] }, { functions: ['0000:00:04'] }];
  const t = await Passthrough.boot({ iommu: 'arm-smmu-v3-canwbs', units });
  const [device, other] = [await t.device(), await t.device(OTHER_RICH)];
  const parent = await t.hwpt(device, await t.ioas(), { flags: IOMMU_HWPT_ALLOC_NEST_PARENT });
  const alloc = { type: IOMMU_VIOMMU_TYPE_ARM_SMMUV3, hwpt_id: parent };
  expect(await t.errno(IOMMU_VIOMMU_ALLOC, { ...alloc, dev_id: other.id })).toBe('EINVAL');
  const { out_viommu_id } = await t.sure(IOMMU_VIOMMU_ALLOC, { ...alloc, dev_id: device.id });
  const named = { viommu_id: out_viommu_id, dev_id: other.id, virt_id: 1n };
  expect(await t.errno(IOMMU_VDEVICE_ALLOC, named)).toBe('EINVAL');
  // A stream table entry that is valid and bypasses the guest's stage.
  const data = { data_type: IOMMU_HWPT_DATA_ARM_SMMUV3, data_len: 16, data_uptr: bytesOf(1n | (4n << 1n), 0n) };
  await expect(t.hwpt(other, out_viommu_id, data)).rejects.toThrow('EINVAL');
  await expect(t.hwpt(device, out_viommu_id, data)).resolves.toEqual(expect.any(Number));
  expect(await t.attach(other, parent)).toBe('EINVAL');
  expect(t.broken()).toEqual([]);
});

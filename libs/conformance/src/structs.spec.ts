import { ioctlsByName } from '@vfiolab/uapi';
import { requestNamed, structNamed } from './structs.js';

const field = (struct: string, name: string) => structNamed(struct)!.fields.find((each) => each.name === name);

describe('structs of traces', () => {
  it('every ioctl of the uAPI can be asked for by its name', () => {
    for (const [name, { nr }] of ioctlsByName) expect(requestNamed(name)).toMatchObject({ number: nr });
  });

  it.each([
    ['nested members are taken apart', 'vfio_iommu_spapr_tce_info', 'ddw_levels', 28, 4],
    ['a union shows its first member', 'vfio_pci_dependent_device', 'group_or_devid', 0, 4],
    ['an array is one field for each element', 'iommu_hwpt_arm_smmuv3', 'ste[1]', 8, 8],
    ['a self-test op is the head and its arm', 'iommu_test_cmd.MD_CHECK_MAP', 'uptr', 32, 8],
    ["an arm's field of the head's name gets a 2", 'iommu_test_cmd.MD_CHECK_IOTLB', 'id2', 16, 4],
  ])('%s', (_name, struct, name, offset, size) => expect(field(struct, name)).toMatchObject({ offset, size }));

  it.each([
    ['without a kernel it is the older struct', 'VFIO_DEVICE_BIND_IOMMUFD', 16],
    ['with @7.2 the newer one', 'VFIO_DEVICE_BIND_IOMMUFD@7.2', 24],
  ])('%s', (_name, request, size) => expect(requestNamed(request)!.struct!.size).toBe(size));

  it('outputs and ids are known', () => {
    expect(field('iommu_ioas_map', 'iova')).toMatchObject({ output: true, kind: 'number' });
    expect(field('iommu_ioas_alloc', 'out_ioas_id')).toMatchObject({ output: true, kind: 'id' });
    expect(field('iommu_fault_alloc', 'out_fault_fd')).toMatchObject({ output: true, kind: 'fd' });
    expect(field('iommu_ioas_map', 'length')).toMatchObject({ output: false });
  });

  it('raw numbers are requests without a struct, and other names are none', () => {
    expect(requestNamed('0x3bff')).toEqual({ number: 0x3bff, struct: undefined, op: undefined });
    expect(requestNamed('VFIO_NO_SUCH')).toBeUndefined();
  });
});

import { IOMMU_HWPT_DATA_AMD_GUEST } from '@vfiolab/uapi';
import { Passthrough } from './support/iommu-host.js';

const NEST_PARENT = 1;
/** What a header after 7.3 may call the tables of s390. */
const S390_DATA = 4;

describe.each([
  ['16: AMD’s guest tables', IOMMU_HWPT_DATA_AMD_GUEST],
  ['17: s390’s guest tables', S390_DATA],
])('%s are on offer nowhere', (_name, data_type) => {
  it.each(['amd-vi', 'amd-vi-hd', 'intel-vtd-scalable'])('%s: EOPNOTSUPP', async (iommu) => {
    const t = await Passthrough.boot({ iommu });
    const device = await t.device();
    const ioas = await t.ioas();
    const nests = iommu === 'amd-vi-hd' || iommu === 'intel-vtd-scalable';
    const parent = await t.hwpt(device, ioas, { flags: nests ? NEST_PARENT : 0 });
    const data = { data_type, data_len: 32, data_uptr: new Uint8Array(32) };
    await expect(t.hwpt(device, parent, data)).rejects.toThrow('EOPNOTSUPP');
    await expect(t.hwpt(device, ioas, data)).rejects.toThrow('EOPNOTSUPP');
  });
});

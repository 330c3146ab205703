import { IOMMU_HWPT_ALLOC } from '@vfiolab/uapi';
import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';

/** What a HWPT is made from: of the data types there are, none is a page table of KVM. */
const TYPES = [4, 5, 16, 0xbeef, 0x7fffffff, 0xffffffff];

it.each(['mock', 'real'] as const)(
  '20: KVM page tables cannot be put behind a device, as in every Linux release: %s',
  async (kind) => {
    const lab = await Lab[kind]();
    const p = await lab.program('vmm');
    const ioas = await p.ioas();
    const device = kind === 'mock' ? (await p.mock(ioas)).device : (await p.device(FUNCTIONS[0])).id;
    for (const data_type of TYPES) {
      const data = { data_type, data_len: 8, data_uptr: new Uint8Array(8) };
      expect(await p.errno(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: ioas, ...data })).toBe('EOPNOTSUPP');
    }
    // Nor by a flag.
    for (let bit = 4; bit < 32; bit++) {
      const flags = (1 << bit) >>> 0;
      expect(await p.errno(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: ioas, flags })).toBe('EOPNOTSUPP');
    }
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  },
);

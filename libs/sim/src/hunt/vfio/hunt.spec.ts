import { jest } from '@jest/globals';
import { GroupsCore } from '@vfiolab/groups';
import { IommuCore } from '@vfiolab/iommu';
import { runVfio } from './hunt.js';
import { PLACES } from './places.js';

/** What a few seeds must get done for the hunt to be one. */
const DONE = [
  'VFIO_GROUP_SET_CONTAINER ok',
  'VFIO_SET_IOMMU ok',
  'VFIO_GROUP_GET_DEVICE_FD ok',
  'VFIO_IOMMU_MAP_DMA ok',
  'VFIO_IOMMU_UNMAP_DMA ok',
  'VFIO_IOMMU_SPAPR_REGISTER_MEMORY ok',
  'VFIO_DEVICE_BIND_IOMMUFD ok',
  'VFIO_DEVICE_ATTACH_IOMMUFD_PT ok',
  'VFIO_DEVICE_SET_IRQS ok',
  'VFIO_DEVICE_RESET ok',
  'VFIO_DEVICE_FEATURE ok',
  'IOMMU_IOAS_MAP ok',
];

const answers = new Set<string>();
let [foretold, quiet, crashes] = [0, 0, 0];

it.each(PLACES.map(({ machine }, seed) => [seed, machine] as const))(
  'seed %i, on %s: nothing is found',
  async (seed) => {
    const { tally, host } = await runVfio(seed);
    expect(tally.findings).toEqual([]);
    for (const each of tally.answers.keys()) answers.add(each);
    foretold += tally.foretold;
    quiet += tally.quiet;
    crashes += host.crashes;
  },
  60_000,
);

it('the seeds get far', () => {
  expect(DONE.filter((each) => !answers.has(each))).toEqual([]);
  expect(Math.min(foretold, quiet, crashes)).toBeGreaterThan(0);
});

it.each([
  [
    'what is left at rest',
    () => jest.spyOn(GroupsCore.prototype, 'figures').mockReturnValue({ lost: 1 }),
    /^I27: at rest groups still has 1 lost$/m,
  ],
  [
    'a broken invariant',
    () => jest.spyOn(IommuCore.prototype, 'check').mockReturnValue(['I08: broken']),
    /^turn \d+, iommu: I08: broken$/m,
  ],
  [
    'services that disagree',
    () => jest.spyOn(IommuCore.prototype, 'attachment').mockReturnValue(77),
    /^turn \d+, all: I56: group/m,
  ],
])('%s is found', async (_what, spoil, sentence) => {
  const spy = spoil();
  try {
    expect((await runVfio(0)).tally.findings.join('\n')).toMatch(sentence);
  } finally {
    spy.mockRestore();
  }
});

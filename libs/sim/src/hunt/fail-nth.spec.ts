import { compatIoctls, iommufdIoctls } from '@vfiolab/uapi';
import { FailNth } from './fail-nth.js';
import { boot } from './testing/machine.js';
import { SCRIPTS } from './scripts.js';

it.each([
  ['mock', 400],
  ['devices', 50],
] as const)(
  'whatever fails, the errno is documented, a refused call leaves no traces, and nothing is left over: %s',
  async (kind, least) => {
    const hunt = new FailNth(await boot({ kind }));
    const { failures, findings, answers } = await hunt.run(SCRIPTS.filter((script) => script.kind === kind));
    expect(findings).toEqual([]);
    expect(failures).toBeGreaterThan(least);
    // Failures of every kind were met, not only the first of each call.
    for (const answer of ['IOMMU_IOAS_MAP ENOMEM', 'IOMMU_IOAS_MAP EFAULT', 'IOMMU_HWPT_ALLOC ENOMEM'])
      expect(answers.get(answer) ?? 0).toBeGreaterThan(1);
  },
  60_000,
);

it('there is a script for every ioctl that is served on a host without memfds and noiommu devices', () => {
  const apart = ['IOMMU_IOAS_MAP_FILE', 'IOMMU_IOAS_CHANGE_PROCESS', 'IOMMU_IOAS_NOIOMMU_GET_PA'];
  const told = SCRIPTS.map(({ name }) => name).join(' ');
  const structs = Object.values({ ...iommufdIoctls, ...compatIoctls }).filter(({ kind }) => kind === 'struct');
  expect(structs.map(({ name }) => name).filter((name) => !told.includes(name) && !apart.includes(name))).toEqual([]);
});

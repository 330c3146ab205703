import { IOMMU_IOAS_NOIOMMU_GET_PA } from '@vfiolab/uapi';
import { U64_MAX } from '../spans.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { refusal, refused } from '../testing/refusal.js';

/** The owner of /dev/iommu without any capability. */
const PLAIN = { uid: 0, caps: 0, memlock: 65536 };

it.each(['6.12', '7.2'] as const)('%s does not have it', async (profile) => {
  const b = await MockBench.boot(profile);
  expect(await refusal(b, IOMMU_IOAS_NOIOMMU_GET_PA, { ioas_id: 1 })).toEqual(refused('ENOTTY'));
});

// Of two that hold at once, the first in this list wins.
it.each([
  ['a flag', { flags: 1, length: 0n }, 'EOPNOTSUPP'],
  ['a reserved field', { __reserved: 1, length: 0n }, 'EOPNOTSUPP'],
  ['no length', { length: 0n, iova: U64_MAX }, 'EINVAL'],
  ['the last IOVA there is', { iova: U64_MAX, ioas_id: 99 }, 'EOVERFLOW'],
  ['an IOAS that does not exist', { ioas_id: 99 }, 'ENOENT'],
  ['an IOVA where nothing is mapped', { iova: APERTURE + 4096n }, 'ENOENT'],
  ['an IOVA behind an IOMMU', {}, 'EOPNOTSUPP'],
] as const)('%s', async (_why, fields, errno) => {
  const b = await MockBench.boot('7.3');
  const ioas_id = await b.ioas();
  await b.mock(ioas_id);
  await b.map(ioas_id, APERTURE, 4096n, await b.memory(4096));
  const call = { ioas_id, iova: APERTURE, length: 4096n };
  expect(await refusal(b, IOMMU_IOAS_NOIOMMU_GET_PA, { ...call, ...fields })).toEqual(refused(errno));
});

it('whoever has not the right to it is told so before everything: EPERM', async () => {
  const b = await MockBench.boot('7.3', PLAIN);
  expect(await refusal(b, IOMMU_IOAS_NOIOMMU_GET_PA, { flags: 1 })).toEqual(refused('EPERM'));
});

import { IOMMU_DESTROY, IOMMU_VEVENTQ_ALLOC, IOMMU_VIOMMU_ALLOC, type KernelProfile } from '@vfiolab/uapi';
import { MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused, withoutFd } from '../testing/refusal.js';

const EVENTS = 0xbeefbeef;
const DEEPEST = 524288;

async function setup(profile: KernelProfile = '7.2') {
  const b = await MockBench.boot(profile);
  const ioas = await b.ioas();
  const { device } = await b.mock(ioas);
  const made = { type: 0xdeadbeef, dev_id: device, hwpt_id: await b.hwpt(device, ioas, 1) };
  const viommu_id = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  return { b, ioas, made, base: { viommu_id, type: EVENTS, veventq_depth: DEEPEST } };
}

it('6.12 does not have it', async () => {
  const { b, base } = await setup('6.12');
  expect(await refusal(b, IOMMU_VEVENTQ_ALLOC, base)).toEqual(refused('ENOTTY'));
});

// Of two that hold at once, the first in this list wins.
it.each([
  ['a flag', { flags: 1, veventq_depth: 0 }, 'EOPNOTSUPP'],
  ['a reserved field', { __reserved: 1, veventq_depth: 0 }, 'EOPNOTSUPP'],
  ['type 0', { type: 0, veventq_depth: 0 }, 'EOPNOTSUPP'],
  ['no depth', { veventq_depth: 0, viommu_id: 99 }, 'EINVAL'],
  ['a depth over 524288', { veventq_depth: DEEPEST + 1, viommu_id: 99 }, 'EINVAL'],
  ['a vIOMMU that does not exist', { viommu_id: 99 }, 'ENOENT'],
  ['an object that is no vIOMMU', { viommu_id: 1 }, 'ENOENT'],
] as const)('%s', async (_why, fields, errno) => {
  const { b, base } = await setup();
  expect(await refusal(b, IOMMU_VEVENTQ_ALLOC, { ...base, ...fields })).toEqual(refused(errno));
});

it('one queue for each type of a vIOMMU; another is EEXIST until it is gone', async () => {
  const { b, base, made } = await setup();
  const { out_veventq_id: id, out_veventq_fd: fd } = (await b.ioctl(IOMMU_VEVENTQ_ALLOC, base)).out;
  expect(await refusal(b, IOMMU_VEVENTQ_ALLOC, { ...base, veventq_depth: 1 })).toEqual(refused('EEXIST'));
  const { out_viommu_id: viommu_id } = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out;
  expect(await b.errno(IOMMU_VEVENTQ_ALLOC, { ...base, viommu_id })).toBeUndefined();
  await b.must(b.p.close(fd));
  expect(await b.errno(IOMMU_DESTROY, { id })).toBeUndefined();
  expect(await b.errno(IOMMU_VEVENTQ_ALLOC, base)).toBeUndefined();
});

it('without a free fd it is EMFILE, but only when everything else is right', async () => {
  const { b, base } = await setup();
  expect(await withoutFd(b, IOMMU_VEVENTQ_ALLOC, base)).toEqual(refused('EMFILE'));
  expect(await withoutFd(b, IOMMU_VEVENTQ_ALLOC, { ...base, viommu_id: 99 })).toEqual(refused('ENOENT'));
});

it('a struct that cannot be written is EFAULT, and there is neither queue nor file', async () => {
  const { b, base } = await setup();
  expect(await readOnly(b, IOMMU_VEVENTQ_ALLOC, base)).toEqual(refused('EFAULT'));
  expect(b.host.figures('iommufd').files).toBe(1);
});

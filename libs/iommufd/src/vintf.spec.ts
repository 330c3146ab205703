import { IOMMU_DESTROY, IOMMU_GET_HW_INFO, IOMMU_HW_QUEUE_ALLOC, IOMMU_VIOMMU_ALLOC } from '@vfiolab/uapi';
import { cmdqvBench, IPA, QUEUE, queueBench } from './testing/cmdqv-bench.js';
import { refusal, refused } from './testing/refusal.js';
import { rereads } from './testing/reread.js';
import { fitsVcmdq } from './vintf.js';

it.each([
  ['no data', {}, 'EINVAL'],
  ['data that is too short', { data_len: 8, data_uptr: new Uint8Array(8) }, 'EINVAL'],
  ['data that is too long', { data_len: 24, data_uptr: new Uint8Array(24) }, 'EINVAL'],
  ['data that is not there', { data_len: 16, data_uptr: 0x1000n }, 'EFAULT'],
  ['a HWPT that does not exist, before the data', { hwpt_id: 99 }, 'ENOENT'],
  ['a type that nobody has', { type: 3 }, 'EOPNOTSUPP'],
] as const)('VIOMMU_ALLOC of a CMDQV: %s', async (_why, fields, errno) => {
  const b = await cmdqvBench();
  expect(await refusal(b, IOMMU_VIOMMU_ALLOC, { ...b.base, ...fields })).toEqual(refused(errno));
});

it('6.12 has no virtual IOMMU and tells nothing of its hardware', async () => {
  const b = await cmdqvBench('6.12');
  expect((await b.viommu()).errno).toBe('ENOTTY');
});

it('the hardware tells of both: an SMMU unless it is asked for the CMDQV', async () => {
  const b = await cmdqvBench();
  const told = async (in_data_type: number) => {
    const data_uptr = new Uint8Array(40);
    const ask = { flags: 1, dev_id: b.device, in_data_type, data_len: 40, data_uptr };
    const { errno, out } = await b.ioctl(IOMMU_GET_HW_INFO, ask);
    return [errno, out.out_data_type, out.data_len, [...data_uptr.subarray(0, 8)]];
  };
  expect((await told(0)).slice(0, 3)).toEqual([undefined, 2, 40]);
  expect((await told(2)).slice(0, 3)).toEqual([undefined, 2, 40]);
  expect(await told(3)).toEqual([undefined, 3, 8, [0, 0, 0, 0, 1, 1, 4, 0]]);
  expect((await told(1))[0]).toBe('EOPNOTSUPP');
});

it.each([
  ['no queue type of its', { type: 2 }, 'EOPNOTSUPP'],
  ['an index beyond', { index: 2 }, 'EINVAL'],
  ['the later index first', { index: 1 }, 'EIO'],
  ['the index before the length', { index: 1, length: 48n }, 'EIO'],
  ['no power of two', { length: 48n }, 'EINVAL'],
  ['too short', { length: 16n }, 'EINVAL'],
  ['not aligned to its length', { nesting_parent_iova: IPA + 32n }, 'EINVAL'],
  ['not mapped, before everything else', { nesting_parent_iova: IPA + 0x200000n, index: 2 }, 'ENOENT'],
] as const)('HW_QUEUE_ALLOC of a VCMDQ: %s', async (_why, fields, errno) => {
  const b = await queueBench();
  expect(await refusal(b, IOMMU_HW_QUEUE_ALLOC, { ...b.queue, ...fields })).toEqual(refused(errno));
});

it('queues from two commands to many pages; an index is taken once and comes back when its queue goes', async () => {
  const b = await queueBench();
  const first = await b.make({ length: 32n });
  expect((await b.make()).errno).toBe('EEXIST');
  const second = await b.make({ index: 1, nesting_parent_iova: IPA + 0x100000n, length: 0x100000n });
  expect([first.errno, second.errno]).toEqual([undefined, undefined]);
  expect(await rereads(b.host)).toBe(true);
  const destroy = async ({ out }: typeof first) => (await b.ioctl(IOMMU_DESTROY, { id: out.out_hw_queue_id })).errno;
  expect(await destroy(first)).toBe('EBUSY');
  expect(await destroy(second)).toBeUndefined();
  const again = await b.make({ index: 1, nesting_parent_iova: IPA + 0x100000n });
  expect(again.errno).toBeUndefined();
  for (const queue of [again, first]) expect(await destroy(queue)).toBeUndefined();
  expect(b.host.broken()).toEqual([]);
});

it('the longest queue has 2^19 commands, and lies at a multiple of its length', () => {
  expect(fitsVcmdq({ base: 3 * 2 ** 23, length: 2 ** 23 })).toBe(true);
  expect(fitsVcmdq({ base: 2 ** 22, length: 2 ** 23 })).toBe(false);
  expect(fitsVcmdq({ base: 0, length: 2 ** 24 })).toBe(false);
});

it('an SMMU’s own virtual IOMMU has no queues', async () => {
  const b = await cmdqvBench();
  const { out } = await b.ioctl(IOMMU_VIOMMU_ALLOC, { ...b.base, type: 1 });
  const queue = { viommu_id: out.out_viommu_id, type: QUEUE, nesting_parent_iova: IPA, length: 64n };
  expect(await refusal(b, IOMMU_HW_QUEUE_ALLOC, queue)).toEqual(refused('EOPNOTSUPP'));
});

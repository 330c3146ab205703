import { IOMMU_DESTROY, IOMMU_VIOMMU_ALLOC, type KernelProfile } from '@vfiolab/uapi';
import { ALONE, bench } from '../testing/bench.js';
import { cmdqvBench } from '../testing/cmdqv-bench.js';
import { MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';
import { USER_VINTFS } from '../vintf.js';

const TYPE = 0xdeadbeef;
const NEST_PARENT = 1;
const words = (...n: number[]): Uint8Array => new Uint8Array(Uint32Array.from(n).buffer);

async function setup(profile: KernelProfile = '7.2') {
  const b = await MockBench.boot(profile);
  const ioas = await b.ioas();
  const { device } = await b.mock(ioas);
  const [parent, plain] = [await b.hwpt(device, ioas, NEST_PARENT), await b.hwpt(device, ioas)];
  return { b, ids: { ioas, device, plain }, base: { type: TYPE, dev_id: device, hwpt_id: parent } };
}

it('6.12 does not have it', async () => {
  const { b, base } = await setup('6.12');
  expect(await refusal(b, IOMMU_VIOMMU_ALLOC, base)).toEqual(refused('ENOTTY'));
});

// Of two that hold at once, the first in this list wins (c030).
it.each([
  ['a flag', { flags: 1, dev_id: 99 }, 'EOPNOTSUPP'],
  ['type 0', { type: 0, dev_id: 99 }, 'EOPNOTSUPP'],
  ['a device that does not exist', { type: 99, dev_id: 99 }, 'ENOENT'],
  ['an object that is no device', { type: 99, dev_id: 'ioas' }, 'ENOENT'],
  ['a type that the driver lacks', { type: 99, hwpt_id: 99 }, 'EOPNOTSUPP'],
  ['a HWPT that does not exist', { hwpt_id: 99, data_len: 4 }, 'ENOENT'],
  ['an object that is no paging HWPT', { hwpt_id: 'ioas' }, 'ENOENT'],
  ['a HWPT that is no nest parent', { hwpt_id: 'plain', data_len: 4 }, 'EINVAL'],
  ['data that is too short', { data_len: 4, data_uptr: words(7) }, 'EINVAL'],
  ['data that is too long', { data_len: 32, data_uptr: new Uint8Array(32) }, 'EINVAL'],
  ['data that is not there', { data_len: 24, data_uptr: 0x1000n }, 'EFAULT'],
] as const)('%s', async (_why, fields, errno) => {
  const { b, ids, base } = await setup();
  const named = { ...base, ...fields };
  const dev_id = named.dev_id === 'ioas' ? ids.ioas : named.dev_id;
  const hwpt_id = typeof named.hwpt_id === 'string' ? ids[named.hwpt_id] : named.hwpt_id;
  expect(await refusal(b, IOMMU_VIOMMU_ALLOC, { ...named, dev_id, hwpt_id })).toEqual(refused(errno));
});

it('data that cannot be written back is EFAULT', async () => {
  const { b, base } = await setup();
  const data_uptr = BigInt(await b.must(b.p.mmap(4096, { prot: 1 })));
  expect(await refusal(b, IOMMU_VIOMMU_ALLOC, { ...base, data_len: 24, data_uptr })).toEqual(refused('EFAULT'));
});

it('a struct that cannot be written is EFAULT, and there is no vIOMMU', async () => {
  const { b, base } = await setup();
  expect(await readOnly(b, IOMMU_VIOMMU_ALLOC, base)).toEqual(refused('EFAULT'));
});

it('behind VT-d no type is offered', async () => {
  const b = await bench(undefined, 1 << 24, '7.2');
  const { id } = await b.bind(ALONE);
  for (const type of [1, 2, TYPE])
    expect(await refusal(b, IOMMU_VIOMMU_ALLOC, { type, dev_id: id, hwpt_id: 99 })).toEqual(refused('EOPNOTSUPP'));
});

it.each(['7.2', '7.3'] as const)('on %s it holds its parent', async (profile) => {
  const { b, base } = await setup(profile);
  const { out_viommu_id: id } = (await b.ioctl(IOMMU_VIOMMU_ALLOC, base)).out;
  expect(await refusal(b, IOMMU_DESTROY, { id: base.hwpt_id })).toEqual(refused('EBUSY'));
  expect(await b.errno(IOMMU_DESTROY, { id })).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: base.hwpt_id })).toBeUndefined();
});

it('the windows are of 64 KiB, and users have 63 of them', async () => {
  const b = await cmdqvBench();
  const made = [];
  for (let n = 0; n < USER_VINTFS; n++) made.push(await b.viommu());
  expect(made.length).toBe(63);
  expect(made.every(({ errno, length }) => errno === undefined && length === 0x10000)).toBe(true);
  expect(new Set(made.map(({ offset }) => offset)).size).toBe(63);
  expect((await b.viommu()).errno).toBe('ENOSPC');
  // An SMMU's own needs no VINTF.
  expect((await b.ioctl(IOMMU_VIOMMU_ALLOC, { ...b.base, type: 1 })).errno).toBeUndefined();
  await b.ioctl(IOMMU_DESTROY, { id: made[7]!.id });
  expect((await b.viommu()).offset).toBe(made[7]!.offset);
});

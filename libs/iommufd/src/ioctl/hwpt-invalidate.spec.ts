import {
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  iommu_test_check_iotlb,
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  type KernelProfile,
} from '@vfiolab/uapi';
import { IOMMU, iommuApi } from '@vfiolab/core';
import { MockBench } from '../testing/mock-bench.js';
import { readOnly } from '../testing/refusal.js';

const SELFTEST = 0xdeadbeef;
const words = (...n: number[]): Uint8Array => new Uint8Array(Uint32Array.from(n).buffer);

/** A nested HWPT whose IOTLB slots hold 0xbadbeef. */
async function setup(profile: KernelProfile = '6.12') {
  const b = await MockBench.boot(profile);
  const ioas = await b.ioas();
  const { device, hwpt: plain } = await b.mock(ioas);
  const parent = await b.hwpt(device, ioas, 1);
  const data = { data_type: 0xdead, data_len: 4, data_uptr: words(0xbadbeef) };
  const hwpt_id = (await b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: parent, ...data })).out.out_hwpt_id;
  const one = { hwpt_id, data_type: SELFTEST, entry_len: 8, entry_num: 1, data_uptr: words(0, 0) };
  const slot = async (n: number, iotlb: number) =>
    (await b.op(IOMMU_TEST_OP_MD_CHECK_IOTLB, iommu_test_check_iotlb, hwpt_id, { id: n, iotlb })).errno;
  const invalidate = async (fields: object) => {
    const { errno, out } = await b.ioctl(IOMMU_HWPT_INVALIDATE, { ...one, ...fields });
    return [errno, out.entry_num];
  };
  return { b, ioas, device, plain, parent, hwpt_id, one, slot, invalidate };
}

// How far it came is told in every case.
it.each([
  ['a probe', { entry_num: 0, data_uptr: 0n, entry_len: 5000 }, undefined, 0],
  ['a probe for another type', { entry_num: 0, data_type: 1 }, 'EINVAL', 0],
  ['a reserved field, before everything', { __reserved: 1, entry_len: 0, hwpt_id: 99 }, 'EOPNOTSUPP', 0],
  ['no pointer, before the HWPT', { data_uptr: 0n, hwpt_id: 99 }, 'EINVAL', 0],
  ['no entry length', { entry_len: 0, hwpt_id: 99 }, 'EINVAL', 0],
  ['entries over a page long', { entry_len: 4097, hwpt_id: 99 }, 'EINVAL', 0],
  ['more than 524288 entries', { entry_num: 524289, hwpt_id: 99 }, 'EINVAL', 0],
  ['a HWPT that does not exist, before the type', { hwpt_id: 99, data_type: 1 }, 'ENOENT', 0],
  ['another type', { data_type: 1 }, 'EINVAL', 0],
  ['entries that are too short', { entry_len: 4 }, 'EINVAL', 0],
  ['entries that are too long, zero or not', { entry_len: 12, data_uptr: words(0, 0, 0) }, 'EINVAL', 0],
  ['memory that is not there', { data_uptr: 0x1000n }, 'EFAULT', 0],
  ['the second entry is bad', { entry_num: 3, data_uptr: words(0, 0, 0, 4, 0, 1) }, 'EINVAL', 1],
  ['the second entry has an unknown flag', { entry_num: 2, data_uptr: words(0, 0, 2, 0) }, 'EOPNOTSUPP', 1],
  ['memory ends behind the first entry', { entry_num: 2 }, 'EFAULT', 1],
] as const)('%s (a027)', async (_why, fields, errno, entry_num) => {
  const { invalidate, slot } = await setup();
  expect(await invalidate(fields)).toEqual([errno, entry_num]);
  // Entry 0 is for slot 0 in every line; what was refused did nothing.
  expect(await slot(0, entry_num === 0 ? 0xbadbeef : 0)).toBeUndefined();
  expect(await slot(1, 0xbadbeef)).toBeUndefined();
});

it.each([
  ['6.12', 'ENOENT'],
  ['7.2', 'EINVAL'],
  ['7.3', 'EINVAL'],
] as const)('an object that cannot be invalidated, on %s: %s', async (profile, errno) => {
  const { invalidate, plain, parent, ioas, device } = await setup(profile);
  for (const hwpt_id of [plain, parent, ioas, device]) expect(await invalidate({ hwpt_id })).toEqual([errno, 0]);
});

it.each([
  ['a probe', { entry_num: 0 }, undefined, 0],
  ['another type', { data_type: 1 }, 'EINVAL', 0],
  ['entries that are too short', { entry_len: 4 }, 'EINVAL', 0],
  ['entries with nothing behind their struct', { entry_len: 16, data_uptr: words(0, 9, 0, 0) }, undefined, 1],
  ['entries with something behind their struct', { entry_len: 16, data_uptr: words(0, 9, 0, 1) }, 'E2BIG', 0],
  ['an entry with an unknown flag', { data_uptr: words(2, 9, 0) }, 'EOPNOTSUPP', 0],
  ['an entry for a device that has no id there', { data_uptr: words(0, 8, 0) }, 'EINVAL', 0],
  ['the second entry is for no slot', { entry_num: 2, data_uptr: words(0, 9, 0, 0, 9, 4) }, 'EINVAL', 1],
  ['memory that is not there', { data_uptr: 0x1000n }, 'EFAULT', 0],
] as const)('of a vIOMMU: %s', async (_why, fields, errno, entry_num) => {
  const { b, invalidate, device, parent } = await setup('7.2');
  const made = { type: SELFTEST, dev_id: device, hwpt_id: parent };
  const viommu_id = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  await b.errno(IOMMU_VDEVICE_ALLOC, { viommu_id, dev_id: device, virt_id: 9n });
  const one = { hwpt_id: viommu_id, entry_len: 12, data_uptr: words(0, 9, 0) };
  expect(await invalidate({ ...one, ...fields })).toEqual([errno, entry_num]);
});

it.each(['hwpt', 'viommu'] as const)('what the IOMMU refuses is EIO, and so far it came: a %s', async (target) => {
  const { b, invalidate, hwpt_id, device, parent } = await setup('7.2');
  const made = { type: SELFTEST, dev_id: device, hwpt_id: parent };
  const viommu_id = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  await b.errno(IOMMU_VDEVICE_ALLOC, { viommu_id, dev_id: device, virt_id: 9n });
  const reply = { done: 1, outcome: { ok: false, errno: 'EIO' } } as const;
  const met = b.host.refuse(IOMMU, target === 'hwpt' ? iommuApi.invalidate : iommuApi.invalidateDevices, reply);
  const two = { entry_num: 2, data_uptr: new Uint8Array(24) };
  expect(await invalidate({ ...two, hwpt_id: target === 'hwpt' ? hwpt_id : viommu_id })).toEqual(['EIO', 1]);
  expect(met()).toBe(true);
});

it('an invalidation clears one slot, or all', async () => {
  const { invalidate, slot } = await setup();
  await invalidate({ data_uptr: words(0, 2) });
  expect([await slot(2, 0), await slot(1, 0xbadbeef)]).toEqual([undefined, undefined]);
  await invalidate({ data_uptr: words(1, 0) });
  expect(await slot(1, 0)).toBeUndefined();
});

it('how far it came cannot be told: EFAULT, whatever else was wrong; what was done stays done', async () => {
  const { b, one, slot } = await setup();
  const page = await b.memory(4096);
  await b.must(b.p.write(Number(page), words(0, 0)));
  const call = { ...one, data_uptr: page };
  expect((await readOnly(b, IOMMU_HWPT_INVALIDATE, { ...call, __reserved: 1 })).errno).toBe('EFAULT');
  expect(await slot(0, 0xbadbeef)).toBeUndefined();
  expect((await readOnly(b, IOMMU_HWPT_INVALIDATE, call)).errno).toBe('EFAULT');
  expect(await slot(0, 0)).toBeUndefined();
});

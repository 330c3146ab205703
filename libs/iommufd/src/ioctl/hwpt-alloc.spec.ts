import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_VIOMMU_ALLOC,
  type KernelProfile,
} from '@vfiolab/uapi';
import { IOMMU, iommuApi, PAGES, pagesApi } from '@vfiolab/core';
import { ALONE, bench, FIRST } from '../testing/bench.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { bytesOf } from '../testing/ranges.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';

const [NEST_PARENT, DIRTY, FAULT_ID_VALID, PASID] = [1, 2, 4, 8];
const MOCK_DATA = 0xdead;
const WORD = Uint8Array.of(0xef, 0xbe, 0xad, 0x0b);

it.each([
  ['a reserved field, before everything', { __reserved: 1, dev_id: 99 }, 'EOPNOTSUPP'],
  ['data of no type', { data_len: 4, dev_id: 99 }, 'EINVAL'],
  ['a type without data', { data_type: 1, dev_id: 99 }, 'EINVAL'],
  ['a device that does not exist', { dev_id: 99, pt_id: 99 }, 'ENOENT'],
  ['a table that does not exist', { pt_id: 99 }, 'EINVAL'],
  ['a device where a table belongs', { pt_id: 'device' }, 'EINVAL'],
  ['a flag that the IOMMU lacks', { flags: 2 }, 'EOPNOTSUPP'],
  ['driver data that the IOMMU lacks', { data_type: 1, data_len: 24 }, 'EOPNOTSUPP'],
] as const)('%s', async (_why, fields, errno) => {
  const b = await bench();
  const ioas = await b.ioas();
  const { id } = await b.bind(ALONE);
  const pt_id = 'pt_id' in fields ? (fields.pt_id === 'device' ? id : fields.pt_id) : ioas;
  expect(await refusal(b, IOMMU_HWPT_ALLOC, { dev_id: id, ...fields, pt_id })).toEqual(refused(errno));
  expect(b.host.broken()).toEqual([]);
});

/** One object of each kind that a page table could be asked for. */
async function mocks(profile: KernelProfile = '6.12', flags = 0) {
  const b = await MockBench.boot(profile);
  const ioas = await b.ioas();
  const { object, device, hwpt: auto } = await b.mock(ioas, flags);
  const [parent, plain] = [await b.hwpt(device, ioas, NEST_PARENT), await b.hwpt(device, ioas)];
  const { out_fault_id: fault } = (await b.ioctl(IOMMU_FAULT_QUEUE_ALLOC)).out;
  const base = { dev_id: device, pt_id: ioas };
  const user = { data_type: MOCK_DATA, data_len: 4, data_uptr: WORD };
  return { b, base, user, ids: { ioas, object, device, auto, parent, plain, fault } };
}

it.each([
  ['an unknown flag', { flags: 16 }, 'EOPNOTSUPP'],
  ['PASIDs before 7.2', { flags: PASID }, 'EOPNOTSUPP'],
  ['page requests of a paging HWPT before 7.2', { flags: FAULT_ID_VALID, fault_id: 'fault' }, 'EOPNOTSUPP'],
  ['page requests of a nest parent', { flags: FAULT_ID_VALID | NEST_PARENT, fault_id: 'fault' }, 'EOPNOTSUPP'],
  ['a mock device where a table belongs', { pt_id: 'object' }, 'EINVAL'],
  ['a fault queue where a table belongs', { pt_id: 'fault' }, 'EINVAL'],
  ['an IOAS where a device belongs', { dev_id: 'ioas', pt_id: 99 }, 'ENOENT'],
] as const)('of an IOAS on 6.12: %s', async (_why, fields, errno) => {
  const { b, base, ids } = await mocks();
  const named = Object.entries(fields).map(([k, v]) => [k, typeof v === 'string' ? ids[v] : v] as const);
  expect(await refusal(b, IOMMU_HWPT_ALLOC, { ...base, ...Object.fromEntries(named) })).toEqual(refused(errno));
});

it.each([
  ['an unknown flag', { flags: 16 }, 'EOPNOTSUPP'],
  ['page requests of a nest parent', { flags: FAULT_ID_VALID | NEST_PARENT, fault_id: 99 }, 'EOPNOTSUPP'],
  ['a fault queue that does not exist', { flags: FAULT_ID_VALID, fault_id: 99 }, 'ENOENT'],
  ['a fault queue that is none', { flags: FAULT_ID_VALID, fault_id: 1 }, 'ENOENT'],
] as const)('of an IOAS since 7.2: %s', async (_why, fields, errno) => {
  for (const profile of ['7.2', '7.3'] as const) {
    const { b, base } = await mocks(profile);
    expect(await refusal(b, IOMMU_HWPT_ALLOC, { ...base, ...fields })).toEqual(refused(errno));
  }
});

it('a device that cannot track dirty pages is EOPNOTSUPP', async () => {
  const { b, base } = await mocks('6.12', 1);
  expect(await refusal(b, IOMMU_HWPT_ALLOC, { ...base, flags: DIRTY })).toEqual(refused('EOPNOTSUPP'));
});

// Of two that hold at once, the first in this list wins.
it.each([
  ['a flag of a paging HWPT', { flags: NEST_PARENT, pt_id: 'plain' }, 'EOPNOTSUPP'],
  ['no data', { data_type: 0, data_len: 0, pt_id: 'plain' }, 'EOPNOTSUPP'],
  ['a parent that was made by attaching', { pt_id: 'auto', data_type: 1 }, 'EINVAL'],
  ['a parent that is no nest parent', { pt_id: 'plain', data_type: 1 }, 'EINVAL'],
  ['data of another driver', { data_type: 1, flags: FAULT_ID_VALID, fault_id: 99 }, 'EOPNOTSUPP'],
  ['data that is too short', { data_len: 3, flags: FAULT_ID_VALID, fault_id: 99 }, 'EINVAL'],
  ['data that is not there', { data_uptr: 0x1000n, flags: FAULT_ID_VALID, fault_id: 99 }, 'EFAULT'],
  ['a fault queue that does not exist', { flags: FAULT_ID_VALID, fault_id: 99 }, 'ENOENT'],
] as const)('on top of a HWPT: %s', async (_why, fields, errno) => {
  const { b, ids, user } = await mocks();
  const pt_id = 'pt_id' in fields ? ids[fields.pt_id] : ids.parent;
  const call = { dev_id: ids.device, ...user, ...fields, pt_id };
  expect(await refusal(b, IOMMU_HWPT_ALLOC, call)).toEqual(refused(errno));
});

it.each([
  ['a flag of a paging HWPT', { flags: DIRTY }, 'EOPNOTSUPP'],
  ['no data', { data_type: 0, data_len: 0 }, 'EOPNOTSUPP'],
  ['data of another driver', { data_type: 1 }, 'EOPNOTSUPP'],
] as const)('on top of a vIOMMU: %s', async (_why, fields, errno) => {
  const { b, ids, user } = await mocks('7.2');
  const made = { type: 0xdeadbeef, dev_id: ids.device, hwpt_id: ids.parent };
  const pt_id = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  const call = { dev_id: ids.device, ...user, ...fields, pt_id };
  expect(await refusal(b, IOMMU_HWPT_ALLOC, call)).toEqual(refused(errno));
});

it('areas and allowed ranges outside of what the IOMMU reaches are EADDRINUSE', async () => {
  const { b, base } = await mocks();
  const outside = await b.ioas();
  await b.map(outside, 0n, 4096n, await b.memory(4096));
  const allowed = await b.ioas();
  const list = { num_iovas: 1, allowed_iovas: bytesOf([[0n, 0xfffn]]) };
  await b.ioctl(IOMMU_IOAS_ALLOW_IOVAS, { ioas_id: allowed, ...list });
  const odd = await b.ioas();
  await b.map(odd, APERTURE, 100n, await b.memory(4096));
  for (const pt_id of [outside, allowed, odd])
    expect(await refusal(b, IOMMU_HWPT_ALLOC, { ...base, pt_id })).toEqual(refused('EADDRINUSE'));
});

it.each(['ENOMEM', 'EFAULT'] as const)('pages that cannot be pinned are %s', async (errno) => {
  const { b, base } = await mocks();
  const pt_id = await b.ioas();
  for (const n of [0n, 1n]) await b.map(pt_id, APERTURE + n * 65536n, 4096n, await b.memory(4096));
  const met = b.host.refuse(PAGES, pagesApi.pin, { ok: false, errno });
  expect(await refusal(b, IOMMU_HWPT_ALLOC, { ...base, pt_id })).toEqual(refused(errno));
  expect(met()).toBe(true);
  expect(await b.afterExit()).toEqual([]);
});

it.each(['ENOMEM', 'EINVAL'] as const)('an IOMMU that has no domain to give is %s', async (errno) => {
  const { b, base } = await mocks();
  const met = b.host.refuse(IOMMU, iommuApi.domainAlloc, { ok: false, errno });
  expect(await refusal(b, IOMMU_HWPT_ALLOC, base)).toEqual(refused(errno));
  expect(met()).toBe(true);
});

it('a struct that cannot be written is EFAULT, and nothing is made', async () => {
  const { b, base } = await mocks();
  await b.map(base.pt_id, APERTURE, 4096n, await b.memory(4096));
  expect(await readOnly(b, IOMMU_HWPT_ALLOC, base)).toEqual(refused('EFAULT'));
});

it('is filled with what the IOAS maps, without a second pin', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const { id } = await b.bind(ALONE);
  await b.map(ioas, 0x100000n, 16384n, await b.memory(16384));
  await b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: id, pt_id: ioas });
  await b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: id, pt_id: ioas });
  expect(b.host.figures('iommu').mappedPages).toBe(8);
  expect(await b.pinnedKb()).toBe(16);
  expect(b.host.broken()).toEqual([]);
});

it('a group moves as one: a sibling may only follow, and replace moves both', async () => {
  const b = await bench();
  const [here, there] = [await b.ioas(), await b.ioas()];
  const one = await b.bind(FIRST);
  const two = await b.bind('0000:00:1e.1');
  expect((await b.attach(one.dev, here)).errno).toBeUndefined();
  expect((await b.attach(two.dev, there)).errno).toBe('EINVAL');
  expect((await b.attach(two.dev, here)).errno).toBeUndefined();
  expect((await b.attach(one.dev, there)).errno).toBeUndefined();
  expect((await b.attach(two.dev, here)).errno).toBeUndefined();
  expect(b.host.broken()).toEqual([]);
  for (const { dev } of [one, two]) expect(await b.detach(dev)).toBeUndefined();
  expect(b.host.figures('iommu').domains).toBe(0);
  expect(b.host.broken()).toEqual([]);
});

it('a replace that fails leaves the old attachment working (a032)', async () => {
  const b = await bench();
  const [here, bad] = [await b.ioas(), await b.ioas()];
  const { dev } = await b.bind(ALONE);
  const before = (await b.attach(dev, here)).out;
  await b.map(bad, 0x2000n, 4096n, 0x1000n);
  expect((await b.attach(dev, bad)).errno).toBe('EFAULT');
  expect((await b.attach(dev, here)).out).toMatchObject({ pt_id: (before as unknown as { pt_id: number }).pt_id });
  expect(b.host.broken()).toEqual([]);
});

it('an IOMMU whose pages are all larger than ours is EINVAL, and its domain goes', async () => {
  const { b, base } = await mocks();
  const value = { domain: 9, granule: 16, first: 0n, last: 0xffffffffn, pageSizes: 0x10000n };
  const made = b.host.refuse(IOMMU, iommuApi.domainAlloc, { ok: true, value });
  const freed = b.host.refuse(IOMMU, iommuApi.domainFree, { ok: true, value: undefined });
  expect(await refusal(b, IOMMU_HWPT_ALLOC, base)).toEqual(refused('EINVAL'));
  expect([made(), freed()]).toEqual([true, true]);
});

it.each(['EIO', 'ENOMEM'] as const)('a nested domain that the IOMMU refuses is %s', async (errno) => {
  const { b, ids, user } = await mocks();
  const met = b.host.refuse(IOMMU, iommuApi.nestedAlloc, { ok: false, errno });
  const call = { dev_id: ids.device, pt_id: ids.parent, ...user };
  expect(await refusal(b, IOMMU_HWPT_ALLOC, call)).toEqual(refused(errno));
  expect(met()).toBe(true);
});

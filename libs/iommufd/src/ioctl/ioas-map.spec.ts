import {
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  iommu_test_add_reserved,
  iommu_test_create_access,
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_CREATE_ACCESS,
} from '@vfiolab/uapi';
import { PAGES, pagesApi } from '@vfiolab/core';
import { ALONE, bench } from '../testing/bench.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';
import { U64_MAX } from '../spans.js';

const FIXED = 1;
const WRITE = 2;
const READ = 4;
const RW = FIXED | WRITE | READ;

// In the kernel's order of checks: each line breaks one rule and, where it can, a later one too.
it.each([
  ['an unknown flag, before everything', { flags: 8 | RW, ioas_id: 99 }, 'EOPNOTSUPP'],
  ['a reserved field', { flags: RW, __reserved: 1, ioas_id: 99 }, 'EOPNOTSUPP'],
  ['the last IOVA there is', { flags: RW, iova: U64_MAX, ioas_id: 99 }, 'EOVERFLOW'],
  ['the longest length there is', { flags: 0, length: U64_MAX, ioas_id: 99 }, 'EOVERFLOW'],
  ['neither readable nor writeable', { flags: FIXED, ioas_id: 99 }, 'EINVAL'],
  ['an IOAS that does not exist', { flags: RW, ioas_id: 99, length: 0n }, 'ENOENT'],
  ['no length', { flags: RW, length: 0n }, 'EINVAL'],
  ['a length of all but a page', { flags: RW, length: U64_MAX - 1n }, 'EINVAL'],
  ['memory that wraps', { flags: RW, user_va: U64_MAX - 4095n, length: 8192n }, 'EOVERFLOW'],
  ['an IOVA range that wraps', { flags: RW, iova: U64_MAX - 4095n, length: 8192n }, 'EOVERFLOW'],
  ['an automatic place for half the space', { flags: READ, length: U64_MAX / 2n }, 'EOVERFLOW'],
] as const)('%s', async (_why, fields, errno) => {
  const b = await bench();
  const ioas_id = await b.ioas();
  const area = { ioas_id, iova: 0x1000n, length: 4096n, user_va: 0x10000n };
  expect(await refusal(b, IOMMU_IOAS_MAP, { ...area, ...fields })).toEqual(refused(errno));
});

/** An IOAS with page alignment, a reserved range at 0x200000 and a page mapped at 0x10000. */
async function strict() {
  const b = await MockBench.boot();
  const ioas = await b.ioas();
  await b.op(IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access, ioas, { flags: 1 });
  await b.op(IOMMU_TEST_OP_ADD_RESERVED, iommu_test_add_reserved, ioas, { start: 0x200000n, length: 4096n });
  const va = await b.memory(65536);
  await b.map(ioas, 0x10000n, 4096n, va);
  return { b, area: { ioas_id: ioas, flags: RW, iova: 0x1000n, length: 4096n, user_va: va } };
}

// Of two that hold at once, the first in this list wins.
it.each([
  ['a length that is not a multiple of the alignment', { length: 2048n, iova: 0x200800n }, 'EINVAL'],
  ['an IOVA that is not on the alignment, before a wrap', { iova: U64_MAX - 2047n }, 'EINVAL'],
  ['a range that wraps', { iova: U64_MAX - 4095n, length: 8192n }, 'EOVERFLOW'],
  ['a reserved range, before an area', { iova: 0x10000n, length: 0x1f1000n }, 'EINVAL'],
  ['an area, before the offset in the page', { iova: 0x10000n, user_va: 'odd' }, 'EEXIST'],
  ['an offset in the page that is not on the alignment', { user_va: 'odd' }, 'EINVAL'],
  ['automatic, at such an offset', { flags: WRITE | READ, user_va: 'odd' }, 'EINVAL'],
] as const)('with page alignment, %s', async (_why, fields, errno) => {
  const { b, area } = await strict();
  const user_va = 'user_va' in fields ? area.user_va + 2048n : area.user_va;
  expect(await refusal(b, IOMMU_IOAS_MAP, { ...area, ...fields, user_va })).toEqual(refused(errno));
});

it('an automatic place where nothing is allowed to be is ENOSPC', async () => {
  const { b, area } = await strict();
  const allowed_iovas = new Uint8Array(BigUint64Array.of(0x10000n, 0x10fffn).buffer);
  await b.ioctl(IOMMU_IOAS_ALLOW_IOVAS, { ioas_id: area.ioas_id, num_iovas: 1, allowed_iovas });
  expect(await refusal(b, IOMMU_IOAS_MAP, { ...area, flags: READ })).toEqual(refused('ENOSPC'));
});

it('over an area that is still being built is EEXIST', async () => {
  const b = await MockBench.boot();
  const ioas_id = await b.ioas();
  await b.mock(ioas_id);
  const area = { ioas_id, flags: RW, iova: APERTURE, length: 4096n, user_va: await b.memory(4096) };
  const [one, two] = await b.run(
    Promise.all([b.p.ioctl(b.fd, IOMMU_IOAS_MAP, area), b.p.ioctl(b.fd, IOMMU_IOAS_MAP, area)]),
  );
  expect([one.errno, two.errno]).toEqual([undefined, 'EEXIST']);
});

it.each(['ENOMEM', 'EFAULT'] as const)(
  'pages that cannot be had are %s, and the place is free again',
  async (errno) => {
    const b = await MockBench.boot();
    const ioas_id = await b.ioas();
    await b.mock(ioas_id);
    const area = { ioas_id, flags: RW, iova: APERTURE, length: 4096n, user_va: await b.memory(4096) };
    const met = b.host.refuse(PAGES, pagesApi.storeCreate, { ok: false, errno });
    expect(await refusal(b, IOMMU_IOAS_MAP, area)).toEqual(refused(errno));
    expect(met()).toBe(true);
    expect(await b.errno(IOMMU_IOAS_MAP, area)).toBeUndefined();
  },
);

it('a struct that cannot be written is EFAULT; the area stays, as in the kernel', async () => {
  const b = await MockBench.boot();
  const area = { ioas_id: await b.ioas(), flags: RW, iova: APERTURE, length: 4096n, user_va: await b.memory(4096) };
  expect((await readOnly(b, IOMMU_IOAS_MAP, area)).errno).toBe('EFAULT');
  expect(await b.errno(IOMMU_IOAS_MAP, area)).toBe('EEXIST');
});

it('over another area is EEXIST, beside it is not', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const va = await b.memory(16384);
  expect(await b.map(ioas, 0x2000n, 8192n, va)).toBeUndefined();
  expect(await b.map(ioas, 0x3000n, 8192n, va)).toBe('EEXIST');
  expect(await b.map(ioas, 0x4000n, 4096n, va)).toBeUndefined();
});

it('without a domain memory is not touched: a bad address maps, and attaching fails with EFAULT (a012)', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  expect(await b.map(ioas, 0x2000n, 4096n, 0x1000n)).toBeUndefined();
  const { dev } = await b.bind(ALONE);
  expect((await b.attach(dev, ioas)).errno).toBe('EFAULT');
  expect(b.host.figures('iommu')).toMatchObject({ domains: 0, mappedPages: 0 });
  expect(await b.pinnedKb()).toBe(0);
  expect(b.host.broken()).toEqual([]);
});

it.each([
  ['a bad address', 0x1000n, RW, 'EFAULT'],
  ['read-only memory for writing', 'read-only', RW, 'EFAULT'],
  ['read-only memory for reading', 'read-only', FIXED | READ, undefined],
] as const)('with a domain, %s', async (_why, where, flags, errno) => {
  const b = await bench();
  const ioas = await b.ioas();
  const { dev } = await b.bind(ALONE);
  await b.attach(dev, ioas);
  const va = where === 'read-only' ? await b.memory(4096, 1) : where;
  expect(await b.map(ioas, 0x2000n, 4096n, va, flags)).toBe(errno);
  expect(await b.pinnedKb()).toBe(errno ? 0 : 4);
  expect(b.host.broken()).toEqual([]);
});

it('past the memory limit is ENOMEM and leaves nothing pinned, charged or mapped', async () => {
  const b = await bench({ uid: 1000, caps: 0, memlock: 8 * 4096 });
  const ioas = await b.ioas();
  const { dev } = await b.bind(ALONE);
  await b.attach(dev, ioas);
  const va = await b.memory(64 * 4096);
  expect(await b.map(ioas, 0x100000n, 9n * 4096n, va)).toBe('ENOMEM');
  expect(await b.pinnedKb()).toBe(0);
  expect(await b.map(ioas, 0x100000n, 8n * 4096n, va)).toBeUndefined();
  expect(await b.map(ioas, 0x200000n, 4096n, va + 0x20000n)).toBe('ENOMEM');
  expect(await b.pinnedKb()).toBe(32);
  expect(b.host.broken()).toEqual([]);
});

it('in the MSI window or past the aperture is EINVAL once a device is attached', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const { dev } = await b.bind(ALONE);
  await b.attach(dev, ioas);
  const va = await b.memory(4096);
  expect(await b.map(ioas, 0xfee00000n, 4096n, va)).toBe('EINVAL');
  expect(await b.map(ioas, 1n << 60n, 4096n, va)).toBe('EINVAL');
  expect(await b.map(ioas, 0x1800n, 4096n, va)).toBe('EINVAL');
});

it('a MAP of 1 TiB in pages of 1 GiB is a handful of messages and little memory', async () => {
  const b = await bench(undefined, 2 ** 29);
  const ioas = await b.ioas();
  const { dev } = await b.bind(ALONE);
  await b.attach(dev, ioas);
  const tib = 2 ** 40;
  const big = await b.host.run(b.p.mmap(tib, { pageShift: 30 }));
  if (!big.ok) throw new Error(big.errno);
  const before = b.host.host.network.figures.sent;
  expect(await b.map(ioas, 1n << 40n, BigInt(tib), BigInt(big.value))).toBeUndefined();
  expect(b.host.host.network.figures.sent - before).toBeLessThan(50);
  expect(b.host.host.actor('iommu')!.machine.stateBytes('snapshot').length).toBeLessThan(1 << 20);
  expect(b.host.host.actor('pages')!.machine.stateBytes('snapshot').length).toBeLessThan(1 << 20);
  const un = await b.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova: 0n, length: U64_MAX });
  expect(un.out.length).toBe(BigInt(tib));
  expect(await b.pinnedKb()).toBe(0);
});

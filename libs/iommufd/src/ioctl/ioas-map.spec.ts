import { IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP } from '@vfiolab/uapi';
import { ALONE, bench } from '../testing/bench.js';
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
  const answer = await b.ioctl(IOMMU_IOAS_MAP, { ioas_id, iova: 0x1000n, length: 4096n, user_va: 0x10000n, ...fields });
  expect(answer.errno).toBe(errno);
  expect(b.host.figures('pages').stores).toBe(0);
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

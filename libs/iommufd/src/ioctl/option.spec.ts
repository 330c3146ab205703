import { IOMMU_OPTION } from '@vfiolab/uapi';
import { ALONE, bench, type Bench } from '../testing/bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';

const RLIMIT_MODE = 0;
const HUGE_PAGES = 1;
const SET = 0;
const GET = 1;

it.each([
  ['a reserved field, before the option', { option_id: 7, op: GET, __reserved: 1 }, 'EOPNOTSUPP'],
  ['an unknown option, whatever the object', { option_id: 7, op: GET, object_id: 99 }, 'EOPNOTSUPP'],
  [
    'RLIMIT_MODE of an object, before the right to set it',
    { option_id: RLIMIT_MODE, op: SET, object_id: 1 },
    'EOPNOTSUPP',
  ],
  ['an unknown op of RLIMIT_MODE', { option_id: RLIMIT_MODE, op: 2, val64: 2n }, 'EOPNOTSUPP'],
  ['RLIMIT_MODE to something else than 0 or 1', { option_id: RLIMIT_MODE, op: SET, val64: 2n }, 'EINVAL'],
  [
    'HUGE_PAGES of an IOAS that does not exist, before the op',
    { option_id: HUGE_PAGES, op: 2, object_id: 9 },
    'ENOENT',
  ],
] as const)('%s', async (_why, fields, errno) => {
  const b = await bench();
  expect(await refusal(b, IOMMU_OPTION, fields)).toEqual(refused(errno));
});

it.each([
  ['an unknown op', { op: 2 }, 'EOPNOTSUPP'],
  ['an unknown op, before the value', { op: 2, val64: 2n }, 'EOPNOTSUPP'],
  ['neither on nor off', { op: SET, val64: 2n }, 'EINVAL'],
  ['a value of more than 32 bits', { op: SET, val64: 1n << 32n }, 'EINVAL'],
] as const)('HUGE_PAGES: %s', async (_why, fields, errno) => {
  const b = await bench();
  const option = { option_id: HUGE_PAGES, object_id: await b.ioas() };
  expect(await refusal(b, IOMMU_OPTION, { ...option, ...fields })).toEqual(refused(errno));
});

it('RLIMIT_MODE: who may not is told so before that it is too late, and that before what is wrong with the value', async () => {
  const plain = await bench({ uid: 1000, caps: 0, memlock: 65536 });
  await plain.ioas();
  const set = { option_id: RLIMIT_MODE, op: SET, val64: 2n };
  expect(await refusal(plain, IOMMU_OPTION, set)).toEqual(refused('EPERM'));
  const root = await bench();
  await root.ioas();
  expect(await refusal(root, IOMMU_OPTION, set)).toEqual(refused('EBUSY'));
});

it('a value that cannot be told is EFAULT; what was set stays set, as in the kernel', async () => {
  const b = await bench();
  expect((await readOnly(b, IOMMU_OPTION, { option_id: RLIMIT_MODE, op: SET, val64: 1n })).errno).toBe('EFAULT');
  expect((await b.ioctl(IOMMU_OPTION, { option_id: RLIMIT_MODE, op: GET })).out.val64).toBe(1n);
});

it('RLIMIT_MODE can be changed until the first object exists, by whoever may change limits', async () => {
  const b = await bench();
  const set = (val64: bigint) => b.errno(IOMMU_OPTION, { option_id: RLIMIT_MODE, op: SET, val64 });
  expect(await set(1n)).toBeUndefined();
  expect((await b.ioctl(IOMMU_OPTION, { option_id: RLIMIT_MODE, op: GET })).out.val64).toBe(1n);
  await b.ioas();
  expect(await set(0n)).toBe('EBUSY');
  const plain = await bench({ uid: 1000, caps: 0, memlock: 65536 });
  expect(await plain.errno(IOMMU_OPTION, { option_id: RLIMIT_MODE, op: SET, val64: 1n })).toBe('EPERM');
});

it('in MM mode the process is charged, in user mode its user (a020, a022)', async () => {
  const charged = async (mode: bigint): Promise<[number, number]> => {
    const b = await bench({ uid: 1000, caps: 4, memlock: 1 << 20 });
    await b.ioctl(IOMMU_OPTION, { option_id: RLIMIT_MODE, op: SET, val64: mode });
    const ioas = await b.ioas();
    const { dev } = await b.bind(ALONE);
    await b.attach(dev, ioas);
    await b.map(ioas, 0x100000n, 65536n, await b.memory(65536));
    return [await b.lockedKb(), await b.pinnedKb()];
  };
  expect(await charged(1n)).toEqual([64, 64]);
  expect(await charged(0n)).toEqual([0, 64]);
});

describe('HUGE_PAGES off', () => {
  const off = (b: Bench, object_id: number) =>
    b.errno(IOMMU_OPTION, { option_id: HUGE_PAGES, op: SET, object_id, val64: 0n });

  it('raises the alignment to a page', async () => {
    const b = await bench();
    const ioas = await b.ioas();
    expect(await off(b, ioas)).toBeUndefined();
    expect(await b.map(ioas, 0x1000n, 100n, 0x10000n)).toBe('EINVAL');
  });

  it('is EADDRINUSE over an area that is not page aligned, and nothing changes', async () => {
    const b = await bench();
    const ioas = await b.ioas();
    await b.map(ioas, 0x1000n, 100n, 0x10000n);
    expect(await off(b, ioas)).toBe('EADDRINUSE');
    expect((await b.ioctl(IOMMU_OPTION, { option_id: HUGE_PAGES, op: GET, object_id: ioas })).out.val64).toBe(1n);
  });

  it('is EINVAL once a domain holds an area', async () => {
    const b = await bench();
    const ioas = await b.ioas();
    const { dev } = await b.bind(ALONE);
    await b.attach(dev, ioas);
    expect(await off(b, ioas)).toBeUndefined();
    const other = await b.ioas();
    await b.attach(dev, other);
    await b.map(other, 0x1000n, 4096n, await b.memory(4096));
    expect(await off(b, other)).toBe('EINVAL');
  });
});

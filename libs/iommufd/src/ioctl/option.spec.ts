import { IOMMU_OPTION } from '@vfiolab/uapi';
import { ALONE, bench, type Bench } from '../testing/bench.js';

const RLIMIT_MODE = 0;
const HUGE_PAGES = 1;
const SET = 0;
const GET = 1;

it.each([
  ['an unknown option', { option_id: 7, op: GET }, 'EOPNOTSUPP'],
  ['a reserved field', { option_id: RLIMIT_MODE, op: GET, __reserved: 1 }, 'EOPNOTSUPP'],
  ['RLIMIT_MODE with an object', { option_id: RLIMIT_MODE, op: GET, object_id: 1 }, 'EOPNOTSUPP'],
  ['an unknown operation', { option_id: RLIMIT_MODE, op: 9 }, 'EOPNOTSUPP'],
  ['RLIMIT_MODE to something else than 0 or 1', { option_id: RLIMIT_MODE, op: SET, val64: 2n }, 'EINVAL'],
  ['HUGE_PAGES of an IOAS that does not exist', { option_id: HUGE_PAGES, op: GET, object_id: 9 }, 'ENOENT'],
] as const)('%s', async (_why, fields, errno) => {
  const b = await bench();
  expect(await b.errno(IOMMU_OPTION, fields)).toBe(errno);
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

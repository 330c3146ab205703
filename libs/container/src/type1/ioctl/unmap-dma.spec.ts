import { PAIR, Bench, TYPE1, TYPE1_V2 } from '../../testing/bench.js';

const PAGE = 4096n;
const IOVA = 0x100000n;
const [BDF] = PAIR.members;

/** A container with mappings of [first page behind IOVA, pages] each. */
async function setup(type: number, mappings: readonly (readonly [number, number])[], options = {}) {
  const b = await Bench.boot(options);
  const { fd, container } = await b.ready(type);
  const va = await b.memory(0x100000);
  for (const [first, count] of mappings) {
    const errno = await b.map(fd, { vaddr: va, iova: at(first), size: BigInt(count) * PAGE });
    if (errno) throw new Error(errno);
  }
  const unmap = async (first: number, count: number) => {
    const answer = await b.unmap(fd, { iova: at(first), size: BigInt(count) * PAGE });
    return typeof answer === 'bigint' ? Number(answer / PAGE) : answer;
  };
  return { b, fd, container, va, unmap };
}
const at = (page: number): bigint => IOVA + BigInt(page) * PAGE;

describe('v2 takes whole mappings and refuses to cut one (b070)', () => {
  it.each([
    [0, 4, 4],
    [-1, 8, 4],
    [-4, 4, 0],
    [0, 1, 'EINVAL'],
    [1, 1, 'EINVAL'],
    [3, 4, 'EINVAL'],
    [-2, 3, 'EINVAL'],
    [0, 0, 'EINVAL'],
  ])('[%i, +%i) of a mapping of 4 pages', async (first, count, answer) => {
    const { b, unmap } = await setup(TYPE1_V2, [[0, 4]]);
    expect(await unmap(first, count)).toBe(answer);
    expect(await b.lockedKb()).toBe(answer === 4 ? 0 : 16);
    expect(b.host.broken()).toEqual([]);
  });

  it('neighbours go together; one that is cut keeps them all', async () => {
    const { b, unmap } = await setup(TYPE1_V2, [
      [0, 4],
      [4, 4],
    ]);
    for (const [first, count] of [
      [2, 4],
      [2, 6],
      [0, 6],
    ] as const)
      expect(await unmap(first, count)).toBe('EINVAL');
    expect(await unmap(0, 8)).toBe(8);
    expect(await b.dmaWrite(BDF!, IOVA)).toBe(false);
    expect(await unmap(0, 8)).toBe(0);
    expect(b.host.broken()).toEqual([]);
  });
});

describe('v1 takes a mapping by its first page, and never cuts (b071, b101)', () => {
  it.each([
    [8192, 12288, 0],
    [16384, 12288, 24576],
    [4096, 4096, 12288],
    [0, 61440, 36864],
    [0, 8192, 12288],
    [61440, 8192, 16384],
    [65536, 8192, 16384],
    [69632, 4096, 0],
  ])('[%i, +%i): %i bytes', async (first, length, bytes) => {
    const b = await Bench.boot();
    const { fd } = await b.ready(TYPE1);
    const va = await b.memory(0x40000);
    for (const [iova, size] of [
      [4096n, 12288n],
      [16384n, 8192n],
      [24576n, 16384n],
      [65536n, 16384n],
    ] as const)
      await b.map(fd, { vaddr: va, iova, size });
    expect(await b.unmap(fd, { iova: BigInt(first), size: BigInt(length) })).toBe(BigInt(bytes));
    expect(b.host.broken()).toEqual([]);
  });
});

describe('everything at once', () => {
  it.each([TYPE1, TYPE1_V2])('UNMAP_ALL on type %i answers the total, also when it is nothing', async (type) => {
    const { b, fd } = await setup(type, [
      [0, 4],
      [8, 1],
    ]);
    expect(await b.unmap(fd, { flags: 2 })).toBe(5n * PAGE);
    expect(await b.unmap(fd, { flags: 2 })).toBe(0n);
    expect(await b.status()).toEqual({ vmLockedKb: 0, vmPinnedKb: 0 });
    expect(b.host.broken()).toEqual([]);
  });

  it.each([
    [{ flags: 2, size: PAGE }],
    [{ flags: 2, iova: PAGE }],
    [{ flags: 8 }],
    [{ flags: 3 }],
    [{ flags: 4 }],
    [{ iova: IOVA, size: PAGE, argsz: 23 }],
    [{ iova: IOVA + 0x800n, size: PAGE }],
    [{ iova: IOVA, size: 0x800n }],
    [{ size: 0xffffffffffffffffn }],
  ])('%o is EINVAL', async (fields) => {
    const { b, fd } = await setup(TYPE1_V2, [[0, 4]]);
    expect(await b.unmap(fd, fields)).toBe('EINVAL');
    expect(await b.lockedKb()).toBe(16);
  });
});

it.each([
  ['6.12', 'EINVAL'],
  ['7.2', 'EOVERFLOW'],
])('on %s a range that wraps is %s (DIFF 14)', async (profile, errno) => {
  const { b, fd } = await setup(TYPE1_V2, [], { profile });
  expect(await b.unmap(fd, { iova: 0xfffffffffffff000n, size: 8192n })).toBe(errno);
  expect(await b.unmap(fd, { size: 0xfffffffffffff000n })).toBe(0n);
});

describe('the last page of the 64-bit space, where an aperture has it', () => {
  const LAST = 0xfffffffffffff000n;
  const map = async (profile: string) => {
    // Since 7.x AMD-Vi's aperture ends at 2^48 (DIFF 18b).
    const b = await Bench.boot({ iommu: 'virtio-iommu', profile });
    await b.parameter('allow_unsafe_interrupts', 1);
    const { fd } = await b.ready();
    const va = await b.memory(4096);
    expect(await b.map(fd, { vaddr: va, iova: LAST, size: PAGE })).toBeUndefined();
    return { b, fd, va };
  };

  it('on 6.12 no look-up finds its mapping: only a walk over others does (C-amd b070)', async () => {
    const { b, fd, va } = await map('6.12');
    expect(await b.unmap(fd, { iova: LAST, size: PAGE })).toBe(0n);
    expect(await b.unmap(fd, { flags: 2 })).toBe(0n);
    await b.map(fd, { vaddr: va, iova: IOVA, size: PAGE });
    expect(await b.unmap(fd, { flags: 2 })).toBe(2n * PAGE);
    expect(b.host.broken()).toEqual([]);
  });

  it('later kernels unmap it', async () => {
    const { b, fd } = await map('7.3');
    expect(await b.unmap(fd, { iova: LAST, size: PAGE })).toBe(PAGE);
    expect(b.host.broken()).toEqual([]);
  });
});

it('entries go, then pins, then the answer (I05, feature 54)', async () => {
  const { b, fd } = await setup(TYPE1_V2, [[0, 4]]);
  const seen: string[] = [];
  const unwatch = b.host.host.watch((from, to, _frame, when) => {
    if (when === 'leaving' && from === 'container') seen.push(to);
    return false;
  });
  await b.unmap(fd, { iova: IOVA, size: 4n * PAGE });
  unwatch();
  expect(seen.filter((to) => to !== 'lab')).toEqual(['iommu', 'pages', 'client:program']);
});

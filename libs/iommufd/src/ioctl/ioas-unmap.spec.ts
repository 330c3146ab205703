import { IOMMU_HW_QUEUE_ALLOC, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP, IOMMU_VIOMMU_ALLOC } from '@vfiolab/uapi';
import { ALONE, bench, type Bench } from '../testing/bench.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';
import { U64_MAX } from '../spans.js';

const unmap = (b: Bench, ioas_id: number, iova: bigint, length: bigint) =>
  b.ioctl(IOMMU_IOAS_UNMAP, { ioas_id, iova, length });

async function threeAreas(): Promise<{ b: Bench; ioas: number }> {
  const b = await bench();
  const ioas = await b.ioas();
  const va = await b.memory(16384);
  for (const iova of [0x1000n, 0x2000n, 0x8000n]) await b.map(ioas, iova, 4096n, va);
  return { b, ioas };
}

it.each([
  ['an IOAS that does not exist, before everything', 99, U64_MAX, 1n, 'ENOENT'],
  ['the last IOVA there is', 1, U64_MAX, 1n, 'EOVERFLOW'],
  ['the longest length not from 0', 1, 0x1000n, U64_MAX, 'EOVERFLOW'],
  ['no length', 1, 0x1000n, 0n, 'EINVAL'],
  ['a range that wraps', 1, U64_MAX - 4095n, 8192n, 'EOVERFLOW'],
  ['no length, before a wrap', 1, U64_MAX - 1n, 0n, 'EINVAL'],
  ['the last IOVA, before no length', 1, U64_MAX, 0n, 'EOVERFLOW'],
  ['nothing mapped in the range', 1, 0x4000n, 4096n, 'ENOENT'],
  ['the end of the first area cut off', 1, 0x1000n, 0x800n, 'ENOENT'],
  ['the start of an area cut off', 1, 0x8800n, 0x10000n, 'ENOENT'],
] as const)('%s', async (_why, id, iova, length, errno) => {
  const { b, ioas } = await threeAreas();
  const ioas_id = id === 1 ? ioas : id;
  expect(await refusal(b, IOMMU_IOAS_UNMAP, { ioas_id, iova, length })).toEqual(refused(errno));
  expect((await unmap(b, ioas_id, iova, length)).out.length).toBe(length);
});

it('may reach over the ends of areas, and says how much went', async () => {
  const { b, ioas } = await threeAreas();
  expect((await unmap(b, ioas, 0n, 0x4000n)).out.length).toBe(0x2000n);
});

it('everything at once; of an empty IOAS too, with length 0', async () => {
  const { b, ioas } = await threeAreas();
  expect((await unmap(b, ioas, 0n, U64_MAX)).out.length).toBe(0x3000n);
  const again = await unmap(b, ioas, 0n, U64_MAX);
  expect([again.errno, again.out.length]).toEqual([undefined, 0n]);
});

it('gives pins back, and the order in the services is PTE, flush, unpin', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const { dev } = await b.bind(ALONE);
  await b.attach(dev, ioas);
  await b.map(ioas, 0x100000n, 65536n, await b.memory(65536));
  expect(await b.pinnedKb()).toBe(64);
  const order: string[] = [];
  b.host.host.watch((from, to, _frame, when) => {
    if (when === 'arriving' && from === 'iommufd' && to !== 'client:program' && to !== 'lab') order.push(to);
    return false;
  });
  await unmap(b, ioas, 0x100000n, 65536n);
  expect(order).toEqual(['iommu', 'pages']);
  expect(await b.pinnedKb()).toBe(0);
});

it('areas before the one that is cut are gone, and nobody is told how much', async () => {
  const { b, ioas } = await threeAreas();
  const cut = await unmap(b, ioas, 0x1000n, 0x1800n);
  expect([cut.errno, cut.out.length]).toEqual(['ENOENT', 0x1800n]);
  expect((await unmap(b, ioas, 0n, U64_MAX)).out.length).toBe(0x2000n);
});

it('an area on its way in or out is EBUSY', async () => {
  const b = await MockBench.boot();
  const ioas_id = await b.ioas();
  await b.mock(ioas_id);
  const area = { ioas_id, flags: 7, iova: APERTURE, length: 4096n, user_va: await b.memory(4096) };
  const out = { ioas_id, iova: APERTURE, length: 4096n };
  const both = <A, B>(one: Promise<A>, two: Promise<B>) => b.run(Promise.all([one, two]));
  const call = () => b.p.ioctl(b.fd, IOMMU_IOAS_UNMAP, out);
  const [mapped, during] = await both(b.p.ioctl(b.fd, IOMMU_IOAS_MAP, area), call());
  expect([mapped.errno, during.errno]).toEqual([undefined, 'EBUSY']);
  const [first, second] = await both(call(), call());
  expect([first.errno, second.errno]).toEqual([undefined, 'EBUSY']);
});

it('memory of a hardware queue is EBUSY, before its range is judged; all of it too', async () => {
  const b = await MockBench.boot('7.2');
  const ioas_id = await b.ioas();
  const { device: dev_id } = await b.mock(ioas_id);
  await b.map(ioas_id, APERTURE, 8192n, await b.memory(8192));
  const type = 0xdeadbeef;
  const made = { type, dev_id, hwpt_id: await b.hwpt(dev_id, ioas_id, 1) };
  const viommu_id = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  const queue = { viommu_id, type, index: 0, nesting_parent_iova: APERTURE, length: 4096n };
  expect(await b.errno(IOMMU_HW_QUEUE_ALLOC, queue)).toBeUndefined();
  for (const [iova, length] of [
    [APERTURE, 8192n],
    [APERTURE, 4096n],
    [0n, U64_MAX],
  ] as const)
    expect(await refusal(b, IOMMU_IOAS_UNMAP, { ioas_id, iova, length })).toEqual(refused('EBUSY'));
});

it('a length that cannot be told is EFAULT; the areas are gone, as in the kernel', async () => {
  const { b, ioas } = await threeAreas();
  expect((await readOnly(b, IOMMU_IOAS_UNMAP, { ioas_id: ioas, length: U64_MAX })).errno).toBe('EFAULT');
  expect((await unmap(b, ioas, 0n, U64_MAX)).out.length).toBe(0n);
});

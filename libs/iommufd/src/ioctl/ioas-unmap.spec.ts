import { IOMMU_IOAS_UNMAP } from '@vfiolab/uapi';
import { ALONE, bench, type Bench } from '../testing/bench.js';
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
  ['nothing mapped in the range', 1, 0x4000n, 4096n, 'ENOENT'],
  ['the end of an area cut off', 1, 0x1000n, 0x1800n, 'ENOENT'],
  ['the start of an area cut off', 1, 0x8800n, 0x10000n, 'ENOENT'],
] as const)('%s', async (_why, id, iova, length, errno) => {
  const { b, ioas } = await threeAreas();
  const answer = await unmap(b, id === 1 ? ioas : id, iova, length);
  expect(answer.errno).toBe(errno);
  expect(answer.out.length).toBe(length);
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

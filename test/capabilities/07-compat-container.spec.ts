/** Capability 7: iommufd in the place of /dev/vfio/vfio: a type1 program that knows nothing of it runs (traces b070 to b075). */
import { VFIO_GET_API_VERSION, VFIO_GROUP_GET_STATUS, VFIO_IOMMU_GET_INFO } from '@vfiolab/uapi';
import {
  ContainerLab,
  ENGINE,
  IOVA,
  NOTHING,
  PAGE,
  PAIR,
  TYPE1,
  TYPE1_V2,
  type VfioProgram,
} from './support/container-lab.js';

const page = BigInt(PAGE);
const MSI = 0xfee00000n;

/** What a program of 2013 does, and everything that it is told. */
async function type1Program(p: VfioProgram, path: string): Promise<unknown[]> {
  const container = await p.must(p.process.open(path));
  const seen: unknown[] = [await p.plain(container, VFIO_GET_API_VERSION)];
  seen.push(await p.extension(container, TYPE1), await p.extension(container, TYPE1_V2));
  const groups: number[] = [];
  for (const bdf of [ENGINE, PAIR[0]]) {
    const group = await p.group(bdf);
    groups.push(group);
    const status = async () => (await p.ioctl(group, VFIO_GROUP_GET_STATUS)).out.flags;
    seen.push(await status(), await p.setContainer(group, container), await status());
  }
  seen.push(await p.setIommu(container, TYPE1_V2));
  const engine = await p.engine(groups[0]!);
  seen.push(await p.device(groups[0]!, PAIR[0]));
  const { pageSizes, ranges } = await p.info(container);
  seen.push(pageSizes & page, ranges);

  const va = await p.memory(4 * PAGE, 0x5a);
  const map = (iova: bigint, size: bigint) => p.map(container, { vaddr: va, iova, size });
  seen.push(await map(IOVA, 2n * page), await map(IOVA + page, page), await map(2n * IOVA, page));
  seen.push(await map(MSI, page), await map(IOVA + 1n, page), await map(3n * IOVA, 0n));
  await p.must(p.process.write(Number(va), Uint8Array.of(0x77)));
  await p.copy(engine, IOVA, IOVA + page, 1);
  seen.push(await p.byteAt(va + page));
  seen.push(await p.unmap(container, { iova: 2n * IOVA, size: page }));
  await p.copy(engine, IOVA, 2n * IOVA, 1);
  seen.push(await p.unmap(container, { iova: 2n * IOVA, size: page }), await p.unmap(container, { flags: 2 }));
  seen.push(await p.lockedKb());
  await p.must(p.process.munmap(engine.bar, 0x100000));
  await p.close(engine.fd);
  for (const group of groups) seen.push(await p.unsetContainer(group));
  return seen;
}

const ROUTES = [
  ['its own containers', 'B-type1', '/dev/vfio/vfio'],
  ['iommufd as /dev/vfio/vfio', 'B-compat', '/dev/vfio/vfio'],
  ['a link to /dev/iommu', 'B-type1', '/dev/iommu'],
] as const;

it.each(['6.12', '7.2'])(
  '7: unmodified type1 program runs with both routes, and sees the same, on %s',
  async (profile) => {
    const all: unknown[] = [];
    for (const [, machine, path] of ROUTES) {
      const lab = await ContainerLab.boot({ machine, profile });
      const p = await lab.program('type1');
      all.push(await type1Program(p, path));
      expect(await lab.afterwards(p)).toEqual(NOTHING);
    }
    const [own, ...others] = all;
    expect(own).toContain('EEXIST');
    expect(own).toContain(0x77);
    for (const other of others) expect(other).toEqual(own);
  },
);

const EXTENSIONS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/** Nothing is attached in the IOAS yet: all of its domains enforce coherency, there being none. */
it.each([
  [...ROUTES[0], [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0]],
  [...ROUTES[1], [0, 1, 0, 1, 'ENODEV', 0, 0, 0, 1, 1, 0, 0], [0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0]],
  [...ROUTES[2], [0, 1, 0, 1, 'ENODEV', 0, 0, 0, 1, 1, 0, 0], [0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0]],
] as const)('7: extension differences: %s', async (_title, machine, path, before, after) => {
  const lab = await ContainerLab.boot({ machine });
  const p = await lab.program('vmm');
  const container = await p.must(p.process.open(path));
  const table = async () => {
    const answers: unknown[] = [];
    for (const n of EXTENSIONS) answers.push(await p.extension(container, n));
    return answers;
  };
  expect(await table()).toEqual(before);
  expect(await p.setContainer(await p.group(ENGINE), container)).toBe(0);
  expect(await p.setIommu(container, TYPE1_V2)).toBe(0);
  expect(await table()).toEqual(after);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

/** What differs: early calls; another choice of a type; an unmap that cuts; the chain of GET_INFO. */
it.each([
  [...ROUTES[0], { early: ['EINVAL', 'EINVAL', 'EINVAL'], again: 'EINVAL', cut: 'EINVAL', caps: [2, 3, 1] }],
  [...ROUTES[1], { early: ['ENODEV', 'ENODEV', 'ENODEV'], again: 0, cut: 'ENOENT', caps: [3, 1] }],
  [...ROUTES[2], { early: ['ENODEV', 'ENODEV', 'ENODEV'], again: 0, cut: 'ENOENT', caps: [3, 1] }],
] as const)('7: errno differences: %s', async (_title, machine, path, expected) => {
  const lab = await ContainerLab.boot({ machine });
  const p = await lab.program('vmm');
  const container = await p.must(p.process.open(path));
  const va = await p.memory(2 * PAGE);
  const map = () => p.map(container, { vaddr: va, iova: IOVA, size: 2n * page });
  const early = [
    await p.setIommu(container, TYPE1_V2),
    (await p.ioctl(container, VFIO_IOMMU_GET_INFO)).errno,
    await map(),
  ];
  expect(await p.setContainer(await p.group(ENGINE), container)).toBe(0);
  expect(await p.setIommu(container, TYPE1_V2)).toBe(0);
  const again = await p.setIommu(container, TYPE1_V2);
  expect(await map()).toBeUndefined();
  const cut = await p.unmap(container, { iova: IOVA, size: page });
  const caps = (await p.info(container)).ids;
  expect({ early, again, cut, caps }).toEqual(expected);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

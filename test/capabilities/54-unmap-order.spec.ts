import { ContainerLab, ENGINE, IOVA, NOTHING, PAGE, PAIR } from './support/container-lab.js';

const page = BigInt(PAGE);

it('54: an unmap clears the entries of every group, flushes, unpins, and only then answers', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container } = await p.ready([ENGINE, PAIR[0]]);
  const va = await p.memory(4 * PAGE);
  expect(await p.map(container, { vaddr: va, iova: IOVA, size: 4n * page })).toBeUndefined();
  const heard = await lab.heardFrom('container', () => p.unmap(container, { iova: IOVA, size: 4n * page }));
  expect(heard).toEqual(['iommu', 'pages', 'client:vmm']);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('54: the last group is blocked first, then unmapped, then unpinned, then its domain is freed', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready();
  const va = await p.memory(PAGE);
  expect(await p.map(container, { vaddr: va, iova: IOVA, size: page })).toBeUndefined();
  const heard = await lab.heardFrom('container', () => p.close(groups[0]!));
  expect(heard).toEqual(['iommu', 'iommu', 'pages', 'iommu', 'groups', 'groups']);
  expect(await p.lockedKb()).toBe(0);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

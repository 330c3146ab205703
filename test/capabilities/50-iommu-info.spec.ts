import { ContainerLab, ENGINE, NOTHING, PAGE } from './support/container-lab.js';

it.each([
  ['B-type1', 0x40201000n, (1n << 48n) - 1n],
  ['C-vtd39', 0x40201000n, (1n << 39n) - 1n],
  ['C-amd', 0xfff7ffffff000n, (1n << 64n) - 1n],
] as const)('50: page sizes and IOVA ranges of %s are what sysfs does not reserve', async (machine, sizes, last) => {
  const lab = await ContainerLab.boot({ machine, profile: '6.12' });
  const p = await lab.program('vmm');
  const { container } = await p.ready();
  const { pageSizes, ranges } = await p.info(container);
  expect(pageSizes).toBe(sizes);
  const text = await p.must(p.process.sysfsRead(`/sys/bus/pci/devices/${ENGINE}/iommu_group/reserved_regions`));
  const reserved = text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type]) => type !== 'direct-relaxable')
    .map(([first, end]): [bigint, bigint] => [BigInt(first!), BigInt(end!)]);
  expect(reserved.length).toBeGreaterThan(0);
  let next = 0n;
  const complement: [bigint, bigint][] = [];
  for (const [first, end] of reserved) {
    if (first > next) complement.push([next, first - 1n]);
    next = end + 1n;
  }
  if (next <= last) complement.push([next, last]);
  expect(ranges).toEqual(complement);
  // And MAP agrees with both (I31).
  const va = await p.memory(PAGE);
  for (const [first, end] of reserved)
    for (const iova of [first, end - BigInt(PAGE) + 1n])
      expect(await p.map(container, { vaddr: va, iova, size: BigInt(PAGE) })).toBe('EINVAL');
  for (const [first, end] of ranges)
    for (const iova of [first, end - BigInt(PAGE) + 1n])
      expect(await p.map(container, { vaddr: va, iova, size: BigInt(PAGE) })).toBeUndefined();
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

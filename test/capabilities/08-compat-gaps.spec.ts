import { VFIO_IOMMU_DIRTY_PAGES } from '@vfiolab/uapi';
import { ContainerLab, ENGINE, IOVA, NOTHING, PAGE, PAIR } from './support/container-lab.js';

const page = BigInt(PAGE);

it('8: type1 maps a BAR for DMA, uncounted; another device reaches the registers behind it', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready([ENGINE, PAIR[0]]);
  const [mover, target] = [await p.engine(groups[0]!), await p.engine(groups[1]!, PAIR[0])];
  const va = await p.memory(PAGE, 0x11);
  expect(await p.map(container, { vaddr: BigInt(target.bar), iova: IOVA, size: page })).toBeUndefined();
  expect(await p.lockedKb()).toBe(0);
  expect(await p.map(container, { vaddr: va, iova: 2n * IOVA, size: page })).toBeUndefined();
  expect(await p.lockedKb()).toBe(4);
  // The liveness register answers with the inverse of what was written.
  await p.copy(mover, 2n * IOVA, IOVA + 4n, 4);
  expect(await p.must(p.process.load(target.bar + 4, 4))).toEqual(new Uint8Array(4).fill(0xee));
  await p.copy(mover, IOVA + 4n, 2n * IOVA + 8n, 4);
  expect(await p.byteAt(va + 8n)).toBe(0xee);
  expect(await p.unmap(container, { flags: 2 })).toBe(2n * page);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('8: only while the device answers there, and only with the permission of the mapping', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready();
  const { fd, bar } = await p.engine(groups[0]!);
  const map = () => p.map(container, { vaddr: BigInt(bar), iova: IOVA, size: 4n * page });
  await p.command(fd, 4);
  expect(await map()).toBe('EFAULT');
  await p.command(fd, 6);
  expect(await map()).toBeUndefined();
  const readOnly = await p.must(p.process.mapDevice(fd, 0, PAGE, { prot: 1 }));
  expect(await p.map(container, { vaddr: BigInt(readOnly), iova: 4n * IOVA, size: page })).toBe('EFAULT');
  expect(await p.map(container, { flags: 1, vaddr: BigInt(readOnly), iova: 4n * IOVA, size: page })).toBeUndefined();
  await p.must(p.process.munmap(bar, 0x100000));
  expect(await map()).toBe('EEXIST');
  expect(await p.unmap(container, { flags: 2 })).toBe(5n * page);
  expect(await map()).toBe('EFAULT');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('8: iommufd in its place refuses the BAR, knows no DIRTY_PAGES, and no change of addresses', async () => {
  const lab = await ContainerLab.boot({ machine: 'B-compat' });
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready();
  const { bar } = await p.engine(groups[0]!);
  expect(await p.map(container, { vaddr: BigInt(bar), iova: IOVA, size: page })).toBe('EFAULT');
  expect((await p.ioctl(container, VFIO_IOMMU_DIRTY_PAGES, { flags: 1 })).errno).toBe('ENOTTY');
  const va = await p.memory(PAGE);
  expect(await p.map(container, { vaddr: va, iova: IOVA, size: page })).toBeUndefined();
  expect(await p.unmap(container, { flags: 4, iova: IOVA, size: page })).toBe('EINVAL');
  expect(await p.map(container, { flags: 4, vaddr: va, iova: IOVA, size: page })).toBe('EINVAL');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

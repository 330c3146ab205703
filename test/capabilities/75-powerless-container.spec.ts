import { VFIO_IOMMU_GET_INFO } from '@vfiolab/uapi';
import { ContainerLab, ENGINE, IOVA, NOTHING, PAGE, TYPE1, TYPE1_V2 } from './support/container-lab.js';

it('75: without a group a container chooses nothing and maps nothing; without its last one again', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('user', { uid: 0, caps: 0, memlock: 1 << 20 });
  const container = await p.container();
  const va = await p.memory(PAGE);
  const powerless = async () => {
    for (const type of [TYPE1, TYPE1_V2, 8]) expect(await p.setIommu(container, type)).toBe('EINVAL');
    expect(await p.map(container, { vaddr: va, iova: IOVA, size: BigInt(PAGE) })).toBe('EINVAL');
    expect(await p.unmap(container, { flags: 2 })).toBe('EINVAL');
    expect((await p.ioctl(container, VFIO_IOMMU_GET_INFO)).errno).toBe('EINVAL');
    expect(await p.extension(container, TYPE1_V2)).toBe(1);
  };
  await powerless();
  const group = await p.group(ENGINE);
  for (let i = 0; i < 2; i++) {
    expect(await p.setContainer(group, container)).toBe(0);
    expect(await p.map(container, { vaddr: va, iova: IOVA, size: BigInt(PAGE) })).toBe('EINVAL');
    expect(await p.setIommu(container, TYPE1_V2)).toBe(0);
    expect(await p.map(container, { vaddr: va, iova: IOVA, size: BigInt(PAGE) })).toBeUndefined();
    expect(await p.unsetContainer(group)).toBe(0);
    expect(await p.lockedKb()).toBe(0);
    await powerless();
  }
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

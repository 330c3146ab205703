/** KVM of 3.13 to 5.18: the one user that vfio_group_get_external_user, its put and its iommu_id had. */
import { ContainerLab, ENGINE, IOVA, NOTHING, PAGE, PAIR, TYPE1_V2 } from './support/container-lab.js';
import { addFile, deleteFile, told, vmWithVfio } from './support/kvm.js';

const lab = async () => {
  const l = await ContainerLab.boot({ kvm: 'groups' });
  return { l, p: await l.program('vmm') };
};

it('69: a group is got only in a container with an IOMMU set; its number tells which IOMMU it is', async () => {
  const { l, p } = await lab();
  const { vfio } = await vmWithVfio(p);
  const group = await p.group(ENGINE);
  const container = await p.container();
  expect(await addFile(p, vfio, group)).toBe('EINVAL');
  await p.setContainer(group, container);
  expect(await addFile(p, vfio, group)).toBe('EINVAL');
  await p.setIommu(container, TYPE1_V2);
  expect([await addFile(p, vfio, group), await addFile(p, vfio, group)]).toEqual([undefined, 'EEXIST']);
  const link = await p.must(p.process.readlink(`/sys/bus/pci/devices/${ENGINE}/iommu_group`));
  expect(await told(p, 'assigned')).toBe(`group ${link.split('/').pop()}`);
  expect([await addFile(p, vfio, container), await addFile(p, vfio, 99)]).toEqual(['EINVAL', 'EBADF']);
  expect(l.broken()).toEqual([]);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

it('69: it is a user of the container: the group cannot leave until it is put', async () => {
  const { l, p } = await lab();
  const { vfio } = await vmWithVfio(p);
  const { groups } = await p.ready([ENGINE, PAIR[0]]);
  for (const group of groups) expect(await addFile(p, vfio, group)).toBeUndefined();
  expect([await p.unsetContainer(groups[0]!), await deleteFile(p, vfio, groups[0]!)]).toEqual(['EBUSY', undefined]);
  expect([await p.unsetContainer(groups[0]!), await deleteFile(p, vfio, groups[0]!)]).toEqual([0, 'ENOENT']);
  // Devices count beside it.
  const device = (await p.device(groups[1]!, PAIR[0])) as number;
  expect([await deleteFile(p, vfio, groups[1]!), await p.unsetContainer(groups[1]!)]).toEqual([undefined, 'EBUSY']);
  await p.close(device);
  expect([await p.unsetContainer(groups[1]!), l.broken()]).toEqual([0, []]);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

it.each(['VFIO device', 'process'])(
  '69: group and container are closed first; mappings go with the end of the %s',
  async (last) => {
    const { l, p } = await lab();
    const { vfio } = await vmWithVfio(p);
    const { container, groups } = await p.ready();
    await addFile(p, vfio, groups[0]!);
    await p.map(container, { vaddr: await p.memory(PAGE), iova: IOVA, size: BigInt(PAGE) });
    for (const fd of [container, groups[0]!]) await p.close(fd);
    expect([await p.lockedKb(), l.held()['container groups'], l.broken()]).toEqual([4, 1, []]);
    if (last === 'VFIO device') {
      await p.close(vfio);
      expect([await p.lockedKb(), l.held()['container groups']]).toEqual([0, undefined]);
    }
    expect(await l.afterwards(p)).toEqual(NOTHING);
  },
);

it('69: the driver may be unbound under it: its put finds nothing to give back', async () => {
  const { l, p } = await lab();
  const { vfio } = await vmWithVfio(p);
  const { groups } = await p.ready();
  await addFile(p, vfio, groups[0]!);
  await p.must(p.process.sysfsWrite('/sys/bus/pci/drivers/vfio-pci/unbind', ENGINE));
  expect([l.broken(), await deleteFile(p, vfio, groups[0]!), l.broken()]).toEqual([[], undefined, []]);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

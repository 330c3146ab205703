/** Capability 3: a group has one DMA owner (semantics A2.3, A2.4). */
import { VFIO_DEVICE_BIND_IOMMUFD } from '@vfiolab/uapi';
import { ContainerLab, NOTHING as NONE, PAIR } from './support/container-lab.js';
import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';

const [, , FIRST, SIBLING] = FUNCTIONS;

it('3: two functions of one group: both BIND to iommufd A ok; second to B gives EPERM', async () => {
  const lab = await Lab.real();
  const [a, b] = [await lab.program('a'), await lab.program('b')];
  const first = await a.device(FIRST);
  await expect(b.device(SIBLING)).rejects.toThrow('EPERM');
  const second = await a.device(SIBLING);
  expect(second.id).not.toBe(first.id);
  // The group is A's until its last function is.
  await a.close(first.fd);
  await expect(b.device(FIRST)).rejects.toThrow('EPERM');
  await a.close(second.fd);
  await b.device(FIRST);
  expect(await lab.afterwards(a, b)).toEqual(NOTHING);
});

it('3: two /dev/iommu of one program are two owners', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm');
  await p.device(FIRST);
  p.fd = await p.must(p.process.open('/dev/iommu'));
  await expect(p.device(SIBLING)).rejects.toThrow('EPERM');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('3: a container and an iommufd do not share a group either', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const [minor] = await p.must(p.process.listdir(`/sys/bus/pci/devices/${PAIR[1]}/vfio-dev`));
  const cdev = await p.must(p.process.open(`/dev/vfio/devices/${minor}`));
  const bind = async () => (await p.ioctl(cdev, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd })).errno;
  const { groups } = await p.ready([PAIR[0]]);
  expect(await bind()).toBe('EBUSY');
  await p.unsetContainer(groups[0]!);
  await p.close(groups[0]!);
  expect(await bind()).toBeUndefined();
  expect(await p.run(p.process.open(`/dev/vfio/${await groupOf(lab)}`))).toEqual({ ok: false, errno: 'EBUSY' });
  expect(await lab.afterwards(p)).toEqual(NONE);
});

async function groupOf(lab: ContainerLab): Promise<string> {
  const q = await lab.program('reader');
  const link = await q.must(q.process.readlink(`/sys/bus/pci/devices/${PAIR[0]}/iommu_group`));
  await q.run(q.process.exit());
  return link.split('/').pop()!;
}

/**
 * Capability 24: a device of another bus shares an IOAS with a PCI function.
 *
 * Rule: Linux has no vDPA driver on iommufd; the node /dev/vhost-vdpa-N, which takes the BIND, ATTACH and DETACH of a cdev, is the
 * lab's own.
 */
import { Process } from '@vfiolab/client';
import { importTopology } from '@vfiolab/pci';
import { IOMMU_DESTROY, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_GET_INFO } from '@vfiolab/uapi';
import { PAGE, Passthrough, text } from './support/iommu-host.js';

const NODE = '/dev/vhost-vdpa-0';
const IOVA = 0x10000n;
const PAGES = 4;

const boot = (profile = '7.2') => Passthrough.boot({ iommu: 'intel-vtd', profile, vdpa: ['vdpa0', 'vdpa1'] });

async function shared() {
  const b = await boot();
  const [pci, vdpa, ioas] = [await b.device(), await b.vdpa(0), await b.ioas()];
  const va = await b.memory(PAGES * 4096);
  await b.poke(va, text('shared'));
  expect(await b.map(ioas, IOVA, va, BigInt(PAGES) * PAGE)).toBeUndefined();
  const pins = () => b.host.figures('pages')['pins'];
  return { b, pci, vdpa, ioas, va, pins };
}

it('24: both reach the same memory through one HWPT, which is pinned once', async () => {
  const { b, pci, vdpa, ioas, va, pins } = await shared();
  expect(pins()).toBe(0);
  expect(await b.attach(vdpa, ioas)).toBeUndefined();
  expect(pins()).toBe(PAGES);
  expect(await b.attach(pci, ioas)).toBeUndefined();
  expect([pins(), b.host.figures('iommu')['domains']]).toEqual([PAGES, 1]);
  await b.copy(vdpa, IOVA, IOVA + PAGE, 6);
  await b.copy(pci, IOVA + PAGE, IOVA + 2n * PAGE, 6);
  await b.copy(vdpa, IOVA + 2n * PAGE, IOVA + 3n * PAGE, 6);
  expect(await b.peek(va + 3 * 4096, 6)).toBe('shared');
  expect(b.broken()).toEqual([]);
});

it.each(['pci', 'vdpa'] as const)('24: %s may leave first; what stays goes on, what left is refused', async (first) => {
  const { b, ioas, va, pins, ...devices } = await shared();
  for (const device of [devices.pci, devices.vdpa]) expect(await b.attach(device, ioas)).toBeUndefined();
  const [gone, stays] = first === 'pci' ? [devices.pci, devices.vdpa] : [devices.vdpa, devices.pci];
  expect(await b.detach(gone)).toBeUndefined();
  await b.dma(gone, IOVA, 6, false);
  expect((await b.faults(gone)).map(({ reason }) => reason)).toEqual(['blocking']);
  await b.copy(stays, IOVA, IOVA + PAGE, 6);
  expect([await b.peek(va + 4096, 6), pins()]).toEqual(['shared', PAGES]);
  expect(await b.detach(stays)).toBeUndefined();
  expect([pins(), await b.errno(IOMMU_DESTROY, { id: ioas })]).toEqual([0, undefined]);
});

it('24: an unmap takes the page from both, and a flush comes before the unpin', async () => {
  const { b, pci, vdpa, ioas, pins } = await shared();
  for (const device of [pci, vdpa]) await b.attach(device, ioas);
  expect(await b.unmap(ioas, IOVA, BigInt(PAGES) * PAGE)).toBeUndefined();
  for (const device of [pci, vdpa]) await b.dma(device, IOVA, 6, false);
  for (const device of [pci, vdpa])
    expect((await b.faults(device)).map(({ reason }) => reason)).toEqual(['not mapped']);
  expect([pins(), b.broken()]).toEqual([0, []]);
});

it('24: DMA of the device has one owner, and a node that nobody bound gives nothing', async () => {
  const { b, vdpa } = await shared();
  const other = new Process('other', b.host.env.link('other'));
  await b.must(other.start());
  const [iommufd, fd] = [await b.must(other.open('/dev/iommu')), await b.must(other.open(NODE))];
  const bind = () => b.host.run(other.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd }));
  expect((await bind()).errno).toBe('EINVAL');
  expect(await b.host.run(other.pread(fd, 0, 4))).toMatchObject({ errno: 'EINVAL' });
  await b.must(b.p.close(vdpa.fd));
  expect((await bind()).errno).toBeUndefined();
  expect((await b.host.run(other.pread(fd, 0, 4))).ok).toBe(true);
  expect(await b.host.run(other.pread(fd, 1, 4))).toMatchObject({ errno: 'EINVAL' });
  expect((await b.host.run(other.ioctl(fd, VFIO_DEVICE_GET_INFO))).errno).toBe('ENOTTY');
  await b.host.run(other.exit());
  // What is left is the PCI function.
  expect(b.host.figures('groups')).toMatchObject({ claims: 1, cdevClaims: 1, ownedGroups: 1 });
  expect(b.broken()).toEqual([]);
});

it('24: it is on a bus of its own, in a group of its own', async () => {
  const b = await boot('6.12');
  expect(await b.must(b.p.listdir('/sys/bus/vdpa/devices'))).toEqual(['vdpa0', 'vdpa1']);
  const group = await b.must(b.p.readlink('/sys/bus/vdpa/devices/vdpa0/iommu_group'));
  const members = `/sys/kernel/iommu_groups/${group.replace(/.*\//, '')}/devices`;
  expect(await b.must(b.p.listdir(members))).toEqual(['vdpa0']);
  expect(await b.must(b.p.listdir('/sys/bus/vdpa/drivers/vhost_vdpa'))).toEqual(['vdpa0', 'vdpa1']);
  expect((await b.must(b.p.listdir('/dev'))).filter((name) => name.startsWith('vhost'))).toHaveLength(2);
});

it('24: all of it outlives a restart of each service', async () => {
  const { b, vdpa, pci, ioas, va } = await shared();
  for (const device of [pci, vdpa]) await b.attach(device, ioas);
  for (const service of ['device:vdpa0', 'iommu', 'iommufd', 'groups', 'pages']) b.host.host.crash(service, 5);
  await b.copy(vdpa, IOVA, IOVA + PAGE, 6);
  expect(await b.peek(va + 4096, 6)).toBe('shared');
  expect(await b.detach(vdpa)).toBeUndefined();
  expect(b.broken()).toEqual([]);
});

it.each([[['vdpa']], [['vdpa0', 'vdpa0']], [['../vdpa0']], [Array.from({ length: 65 }, (_, n) => `vdpa${n}`)]])(
  '24: a description with %j is refused',
  (vdpa_devices) => {
    const functions = [{ bdf: '0000:00:03.0' }];
    const machine = { format: 'pci-topology-fixture/1', id: 'x', functions, vdpa_devices };
    expect(() => importTopology(JSON.stringify(machine))).toThrow(/vdpa/);
  },
);

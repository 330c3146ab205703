import { fail } from '@vfiolab/uapi';
import { files, SETUP } from '../testing/machines.js';
import { groupBench } from '../testing/group-client.js';
import { VFIO_GROUP_SET_CONTAINER } from '@vfiolab/uapi';

const ownerOf = (b: ReturnType<typeof groupBench>, group: number): string =>
  b.bench.core.host!.groups.get(group)!.owner.kind;

it('a container of VFIO: held, then the DMA of the group claimed, then joined', () => {
  const b = groupBench();
  const token = b.open('/dev/vfio/2');
  b.heard();
  expect(b.set(token, 10)).toBe(0);
  expect(b.heard()).toEqual(['container.hold', 'iommu.attach', 'container.join']);
  expect(ownerOf(b, 2)).toBe('container');
  expect(b.bench.core.check()).toEqual([]);
});

it('an iommufd is only held: the DMA is claimed when a device is opened', () => {
  const b = groupBench();
  const token = b.open('/dev/vfio/3');
  b.heard();
  expect(b.set(token, 11)).toBe(0);
  expect(b.heard()).toEqual(['iommufd.compatHold']);
  expect(ownerOf(b, 3)).toBe('kernel');
});

it.each([
  ['EBADF: the fd is not open', 13, 'EBADF'],
  ['EBADF: no fd at all', -1, 'EBADF'],
  ['EBADFD: neither a container nor an iommufd', 12, 'EBADFD'],
])('%s', (_title, fd, errno) => {
  const b = groupBench();
  expect(b.set(b.open('/dev/vfio/1'), fd)).toBe(errno);
});

it('EFAULT: there is nothing at the address', () => {
  const b = groupBench();
  expect(b.ioctl(b.open('/dev/vfio/1'), VFIO_GROUP_SET_CONTAINER.nr, new Uint8Array(2))).toBe('EFAULT');
});

it.each([10, 11])('EINVAL: it has one already (%i); an fd that is none of both is not looked at any more', (fd) => {
  const b = groupBench();
  const token = b.open('/dev/vfio/1');
  b.set(token, fd);
  for (const other of [10, 11, 12]) expect(b.set(token, other)).toBe('EINVAL');
  expect(b.set(token, 13)).toBe('EBADF');
});

it('EPERM: an ordinary driver owns the group; the container is let go of (A2.3)', () => {
  const b = groupBench();
  const token = b.open('/dev/vfio/3');
  b.heard();
  expect(b.set(token, 10)).toBe('EPERM');
  expect(b.heard()).toEqual(['container.hold', 'container.drop']);
  expect(b.status(token)).toBe(0);
});

it.each([
  ['EPERM', 'the other sort of groups is in it'],
  ['EBADF', 'no such container'],
] as const)('%s: %s; nothing was claimed', (errno) => {
  const b = groupBench({ container: { hold: () => fail(errno) } });
  expect(b.set(b.open('/dev/vfio/1'), 10)).toBe(errno);
  expect(ownerOf(b, 1)).toBe('none');
});

it.each(['EINVAL', 'EPERM', 'EBUSY', 'ENOMEM'] as const)('%s of the backend: claim and hold are undone', (errno) => {
  const b = groupBench({ container: { join: () => fail(errno) } });
  const token = b.open('/dev/vfio/1');
  b.heard();
  expect(b.set(token, 10)).toBe(errno);
  expect(b.heard()).toEqual(['container.hold', 'iommu.attach', 'container.join', 'iommu.attach', 'container.drop']);
  expect([ownerOf(b, 1), b.status(token)]).toEqual(['none', 1]);
  expect(b.bench.core.check()).toEqual([]);
});

it.each(['EINVAL', 'ENOMEM', 'EBADFD'] as const)('%s of the iommufd', (errno) => {
  const b = groupBench({ iommufd: { compatHold: () => fail(errno) } });
  const token = b.open('/dev/vfio/1');
  expect(b.set(token, 11)).toBe(errno);
  expect(b.status(token)).toBe(1);
});

it('ENODEV: the group has left its IOMMU group', () => {
  const b = groupBench();
  const token = b.open('/dev/vfio/1');
  files(b.bench).write('/sys/bus/pci/drivers/vfio-pci/unbind', '0000:00:03.0');
  expect(b.set(token, 10)).toBe('ENODEV');
});

it('EPERM: a group without an IOMMU, and no CAP_SYS_RAWIO (A4.1)', () => {
  let caps = 0xff;
  const b = groupBench({ pages: { capabilities: () => caps } }, { ...SETUP, iommu: 'none' });
  const fs = files(b.bench);
  fs.write('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', '1');
  fs.write('/sys/bus/pci/drivers/vfio-pci/bind', '0000:00:03.0');
  const token = b.open('/dev/vfio/noiommu-0');
  caps = 0;
  expect(b.set(token, 10)).toBe('EPERM');
  caps = 0xff;
  b.heard();
  expect(b.set(token, 10)).toBe(0);
  expect(b.heard()).toEqual(['container.hold', 'container.join']);
});

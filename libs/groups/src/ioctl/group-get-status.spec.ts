import { VFIO_GROUP_GET_STATUS } from '@vfiolab/uapi';
import { files } from '../testing/machines.js';
import { groupBench } from '../testing/group-client.js';

const VIABLE = 1;
const CONTAINED = 3;

it.each([
  ['a group that nobody owns', '/dev/vfio/1', VIABLE],
  ['a member of which has an ordinary driver (b016)', '/dev/vfio/3', 0],
])('%s', (_title, path, flags) => {
  const b = groupBench();
  expect(b.status(b.open(path))).toBe(flags);
});

it.each([
  [10, 'of VFIO'],
  [11, 'an iommufd'],
])('in a container (%i, %s) it is viable, whoever owns it', (fd) => {
  const b = groupBench();
  const token = b.open('/dev/vfio/1');
  b.set(token, fd);
  expect(b.status(token)).toBe(CONTAINED);
});

it.each([
  ['EINVAL: argsz is too small', Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0), 'EINVAL'],
  ['EFAULT: there is nothing at the address', new Uint8Array(0), 'EFAULT'],
  ['EFAULT: half a struct', Uint8Array.of(8, 0, 0, 0), 'EFAULT'],
])('%s', (_title, bytes, errno) => {
  const b = groupBench();
  expect(b.ioctl(b.open('/dev/vfio/1'), VFIO_GROUP_GET_STATUS.nr, bytes)).toBe(errno);
});

it('ENODEV: the last device was unbound, and binding it again does not help (b055)', () => {
  const b = groupBench();
  const fs = files(b.bench);
  const token = b.open('/dev/vfio/1');
  fs.write('/sys/bus/pci/drivers/vfio-pci/unbind', '0000:00:03.0');
  expect(b.status(token)).toBe('ENODEV');
  fs.write('/sys/bus/pci/drivers/vfio-pci/bind', '0000:00:03.0');
  expect(fs.resolve('/dev/vfio/1')).toBe('groups');
  expect(b.status(token)).toBe('ENODEV');
  const fresh = b.open('/dev/vfio/1');
  expect(b.status(fresh)).toBe(VIABLE);
  for (const each of [token, fresh]) b.close(each);
  expect(b.bench.core.host!.vfioGroups.size).toBe(3);
  expect(b.bench.core.check()).toEqual([]);
});

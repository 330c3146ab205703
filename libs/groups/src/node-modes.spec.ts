import { ByteReader, ByteWriter } from '@vfiolab/core';
import { GroupsCore } from './groups-core.js';
import { files, sealedBench } from './testing/machines.js';

const CDEV = '/dev/vfio/devices/vfio0';
const GROUP = '/dev/vfio/1';
const BDF = '0000:00:03.0';
const [O_RDONLY, O_WRONLY, O_RDWR] = [0, 1, 2];

/** A host, as somebody with that user id sees it; undefined: no process. */
function host(uid: number | undefined) {
  const user = { uid };
  const bench = sealedBench({ pages: { userOf: () => user.uid } });
  return { user, bench, fs: files(bench) };
}

it.each([
  ['root', 0, 0o660, O_RDWR, 'iommufd'],
  ['another user', 1000, 0o660, O_RDWR, 'EACCES'],
  ['who is no process', undefined, 0o660, O_RDWR, 'EACCES'],
  ['another user, with a mode for all', 1000, 0o666, O_RDWR, 'iommufd'],
  ['another user who wants to write what he may read', 1000, 0o664, O_RDWR, 'EACCES'],
  ['another user who only reads', 1000, 0o664, O_RDONLY, 'iommufd'],
  ['another user who only writes', 1000, 0o662, O_WRONLY, 'iommufd'],
])('open of /dev/iommu: %s (a051)', (_who, uid, mode, flags, answer) => {
  const { user, fs } = host(0);
  expect(fs.chmod('/dev/iommu', mode)).toBeUndefined();
  user.uid = uid as number;
  expect(fs.resolve('/dev//./iommu', flags)).toBe(answer);
});

it.each([
  ['root only', 1000, CDEV, 'EPERM'],
  ['no such node, before that', 1000, '/dev/vfio/9', 'ENOENT'],
  ['no device node', 0, '/sys/bus/pci/drivers_probe', 'EOPNOTSUPP'],
])('chmod: %s', (_why, uid, path, errno) => expect(host(uid).fs.chmod(path, 0o666)).toBe(errno));

it('nothing can be changed before there is a host', () => {
  const { fs } = host(0);
  expect(fs.chmod('/dev/iommu', 0o4777)).toBeUndefined();
  expect(fs.stat('/dev/iommu')).toMatchObject({ mode: 0o4777 });
});

it('a mode goes with its node', () => {
  const { fs } = host(0);
  for (const path of [CDEV, GROUP]) fs.chmod(path, 0o666);
  fs.write('/sys/bus/pci/drivers/vfio-pci/unbind', BDF);
  expect([fs.stat(CDEV), fs.stat(GROUP)]).toEqual(['ENOENT', 'ENOENT']);
  fs.write('/sys/bus/pci/drivers/vfio-pci/bind', BDF);
  expect([fs.stat(CDEV), fs.stat(GROUP)]).toEqual(Array(2).fill(expect.objectContaining({ mode: 0o600 })));
});

it('the mode of a group node stays while another member is there', () => {
  const { fs } = host(0);
  fs.chmod('/dev/vfio/2', 0o666);
  fs.write('/sys/bus/pci/drivers/vfio-pci/unbind', '0000:00:04.0');
  expect(fs.stat('/dev/vfio/2')).toMatchObject({ mode: 0o666 });
});

it('modes are kept over a restart', () => {
  const { bench, fs } = host(0);
  const bytes = (core: GroupsCore, view: 'snapshot' | 'meaning'): string => {
    const w = new ByteWriter();
    core.encode(w, view);
    return w.take().join();
  };
  const before = bytes(bench.core, 'meaning');
  fs.chmod(CDEV, 0o640);
  const w = new ByteWriter();
  bench.core.encode(w, 'snapshot');
  const again = new GroupsCore();
  again.decode(new ByteReader(w.take()));
  expect(bytes(again, 'meaning')).toBe(bytes(bench.core, 'meaning'));
  expect(bytes(again, 'meaning')).not.toBe(before);
});

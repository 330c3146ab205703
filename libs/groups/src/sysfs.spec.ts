import { groupsApi, type ReservedRegion } from '@vfiolab/core';
import { mergeRegions } from './reserved-regions.js';
import { files, groupsBench, SETUP, sealedBench } from './testing/machines.js';

const DEV = '/sys/bus/pci/devices';

const reads: readonly (readonly [title: string, path: string, answer: string])[] = [
  ['a vendor id has four digits', `${DEV}/0000:00:03.0/vendor`, '0x1234\n'],
  ['a device id has four digits', `${DEV}/0000:00:03.0/device`, '0x11e8\n'],
  ['a class has six digits', `${DEV}/0000:00:05.0/class`, '0x010802\n'],
  ['a revision has two digits', `${DEV}/0000:00:03.0/revision`, '0x10\n'],
  ['a subsystem vendor', `${DEV}/0000:00:03.0/subsystem_vendor`, '0x1af4\n'],
  ['a subsystem device', `${DEV}/0000:00:03.0/subsystem_device`, '0x1100\n'],
  ['an unknown subsystem reads 0', `${DEV}/0000:00:06.0/subsystem_vendor`, '0x0000\n'],
  [
    'what module loaders match',
    `${DEV}/0000:00:03.0/modalias`,
    'pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00\n',
  ],
  ['the processors of its node', `${DEV}/0000:00:03.0/local_cpulist`, '0\n'],
  ['those processors as a mask', `${DEV}/0000:00:03.0/local_cpus`, '1\n'],
  ['without a node all processors are near', `${DEV}/0000:00:04.0/local_cpulist`, '0\n'],
  ['a node and its processor', '/sys/devices/system/node/node1/cpulist', '0\n'],
  ['a function by its own path', '/sys/devices/pci0000:00/0000:00:06.0/0000:01:00.0/vendor', '0x8086\n'],
  ['a NUMA node', `${DEV}/0000:00:03.0/numa_node`, '1\n'],
  ['no NUMA node reads -1', `${DEV}/0000:00:04.0/numa_node`, '-1\n'],
  ['no driver_override reads (null)', `${DEV}/0000:00:03.0/driver_override`, '(null)\n'],
  ["the type of a group's default domain, through the link", `${DEV}/0000:00:03.0/iommu_group/type`, 'DMA-FQ\n'],
  ['the same by its own path', '/sys/kernel/iommu_groups/1/type', 'DMA-FQ\n'],
  ['the number of a cdev', `${DEV}/0000:00:05.1/vfio-dev/vfio3/dev`, '253:3\n'],
  ['what udev hears of a cdev', '/sys/class/vfio-dev/vfio3/uevent', 'MAJOR=253\nMINOR=3\nDEVNAME=vfio/devices/vfio3\n'],
  ['the number of a group', '/sys/class/vfio/2/dev', '254:1\n'],
  ['what udev hears of a group', '/sys/class/vfio/2/uevent', 'MAJOR=254\nMINOR=1\nDEVNAME=vfio/2\n'],
  ['a group without a device of vfio-pci has none', '/sys/class/vfio/0/dev', 'ENOENT'],
  ['a file without read permission refuses', '/sys/bus/pci/drivers/vfio-pci/bind', 'EACCES'],
  ['a directory cannot be read', `${DEV}/0000:00:03.0`, 'EISDIR'],
  ['a device node is not read here', '/dev/iommu', 'EINVAL'],
  ['an unknown function', `${DEV}/0000:00:1f.0/vendor`, 'ENOENT'],
  ['an unknown file', `${DEV}/0000:00:03.0/flavour`, 'ENOENT'],
  ['a file as directory', `${DEV}/0000:00:03.0/vendor/x`, 'ENOTDIR'],
  ['a PCI group has no name', '/sys/kernel/iommu_groups/1/name', 'ENOENT'],
  ['a group outside the kernel', '/sys/kernel/iommu_groups/99/type', 'ENOENT'],
  ['a group number in another spelling', '/sys/kernel/iommu_groups/01/type', 'ENOENT'],
  ['a function outside IOMMU scope has no group', `${DEV}/0000:00:02.0/iommu_group/type`, 'ENOENT'],
  ['a path of the longest length', `/${'/'.repeat(4094)}`, 'EISDIR'],
  ['a longer path', `/${'/'.repeat(4095)}`, 'ENAMETOOLONG'],
  ['a name that is too long', `/sys/${'x'.repeat(256)}`, 'ENAMETOOLONG'],
  ['a relative path', 'sys/bus', 'ENOENT'],
  ['a name that every object has', '/sys/constructor', 'ENOENT'],
];

const links: readonly (readonly [title: string, path: string, answer: string])[] = [
  ['driver on the root bus', `${DEV}/0000:00:05.0/driver`, '../../../bus/pci/drivers/nvme'],
  ['driver below one bridge', `${DEV}/0000:01:00.0/driver`, '../../../../bus/pci/drivers/e1000e'],
  [
    'a port without recorded driver is bound to pcieport',
    `${DEV}/0000:00:06.0/driver`,
    '../../../bus/pci/drivers/pcieport',
  ],
  ['a conventional bridge has no driver', `${DEV}/0000:00:09.0/driver`, 'ENOENT'],
  ['iommu_group', `${DEV}/0000:00:03.0/iommu_group`, '../../../kernel/iommu_groups/1'],
  ['device in the bus', `${DEV}/0000:01:00.0`, '../../../devices/pci0000:00/0000:00:06.0/0000:01:00.0'],
  ['device in its driver', '/sys/bus/pci/drivers/nvme/0000:00:05.0', '../../../../devices/pci0000:00/0000:00:05.0'],
  [
    'device in its group',
    '/sys/kernel/iommu_groups/1/devices/0000:00:03.0',
    '../../../../devices/pci0000:00/0000:00:03.0',
  ],
  ['device in the group of another', '/sys/kernel/iommu_groups/1/devices/0000:00:05.0', 'ENOENT'],
  ['device of the other driver', '/sys/bus/pci/drivers/nvme/0000:00:03.0', 'ENOENT'],
  ['class vfio-dev', '/sys/class/vfio-dev/vfio0', '../../devices/pci0000:00/0000:00:03.0/vfio-dev/vfio0'],
  ['device of a cdev', '/sys/class/vfio-dev/vfio0/device', '../../../0000:00:03.0'],
  ['class of a cdev', `${DEV}/0000:00:05.1/vfio-dev/vfio3/subsystem`, '../../../../../class/vfio-dev'],
  ['class vfio', '/sys/class/vfio/2', '../../devices/virtual/vfio/2'],
  ['class of a group', '/sys/class/vfio/2/subsystem', '../../../../class/vfio'],
  ['a file is no link', `${DEV}/0000:00:03.0/vendor`, 'EINVAL'],
  ['a directory is no link', '/sys/bus/pci', 'EINVAL'],
];

const lists: readonly (readonly [title: string, path: string, answer: string[] | string])[] = [
  ["a group's devices", '/sys/kernel/iommu_groups/2/devices', ['0000:00:04.0', '0000:00:04.1']],
  ['the cdev of a device', `${DEV}/0000:00:05.1/vfio-dev`, ['vfio3']],
  ['no cdev without vfio-pci', `${DEV}/0000:00:05.0/vfio-dev`, 'ENOENT'],
  ['cdev nodes, in minors by address', '/dev/vfio/devices', ['vfio0', 'vfio1', 'vfio2', 'vfio3']],
  ['group nodes: groups with a member on vfio-pci', '/dev/vfio', ['1', '2', '3', 'devices', 'vfio']],
  ['drivers', '/sys/bus/pci/drivers', ['e1000e', 'nvme', 'pci-stub', 'pcieport', 'vfio-pci']],
  [
    "a driver's files and devices",
    '/sys/bus/pci/drivers/nvme',
    ['0000:00:05.0', 'bind', 'new_id', 'remove_id', 'unbind'],
  ],
  ['class vfio-dev', '/sys/class/vfio-dev', ['vfio0', 'vfio1', 'vfio2', 'vfio3']],
  ['class vfio', '/sys/class/vfio', ['1', '2', '3']],
  ['files of a cdev', '/sys/class/vfio-dev/vfio3', ['dev', 'device', 'power', 'subsystem', 'uevent']],
  ['class iommu', '/sys/class/iommu', ['dmar0']],
  ['class vfio: groups with a node', '/sys/class/vfio', ['1', '2', '3']],
  ['a class without devices here', '/sys/class/net', []],
  ['no such class', '/sys/class/dma', 'ENOENT'],
  ['a file is no directory', `${DEV}/0000:00:05.0/vendor`, 'ENOTDIR'],
];

const nodes: readonly (readonly [title: string, path: string, answer: string])[] = [
  ['/dev/iommu', '/dev/iommu', 'iommufd'],
  ['a cdev', '/dev/vfio/devices/vfio3', 'device:0000:00:05_1'],
  ['a cdev that is not bound', '/dev/vfio/devices/vfio4', 'ENOENT'],
  ['a cdev in another spelling', '/dev/vfio/devices/vfio03', 'ENOENT'],
  ['a group node', '/dev/vfio/1', 'groups'],
  ['a group without a device of vfio-pci', '/dev/vfio/0', 'ENOENT'],
  ['the container node', '/dev/vfio/vfio', 'container'],
  ['something that is no device node', '/dev/vfio', 'ENXIO'],
  ['/dev/null', '/dev/null', 'pages'],
  ['a device of later kernels', '/dev/udmabuf', 'ENOENT'],
];

const stats: readonly (readonly [path: string, answer: unknown])[] = [
  ['/dev/iommu', { kind: 'chr', mode: 0o660, major: 10, minor: 257 }],
  ['/dev/vfio/vfio', { kind: 'chr', mode: 0o666, major: 10, minor: 196 }],
  ['/dev/vfio/1', { kind: 'chr', mode: 0o600, major: 254, minor: 0 }],
  ['/dev/vfio/devices/vfio3', { kind: 'chr', mode: 0o600, major: 253, minor: 3 }],
  ['/dev/vfio', { kind: 'dir', mode: 0o755, major: 0, minor: 0 }],
  [`${DEV}/0000:00:03.0/vendor`, { kind: 'reg', mode: 0o444, major: 0, minor: 0 }],
  [`${DEV}/0000:00:03.0/driver_override`, { kind: 'reg', mode: 0o644, major: 0, minor: 0 }],
  ['/sys/bus/pci/drivers_probe', { kind: 'reg', mode: 0o200, major: 0, minor: 0 }],
  ['/dev/vfio/9', 'ENOENT'],
];

describe('sysfs and /dev', () => {
  const bench = sealedBench();
  const fs = files(bench);
  it.each(reads)('read: %s', (_title, path, answer) => expect(fs.read(path)).toBe(answer));
  it.each(links)('readlink: %s', (_title, path, answer) => expect(fs.readlink(path)).toBe(answer));
  it.each(lists)('list: %s', (_title, path, answer) => expect(fs.list(path)).toEqual(answer));
  it.each(stats)('stat: %s', (path, answer) => expect(fs.stat(path)).toEqual(answer));
  it.each(nodes)('resolve: %s', (_title, path, answer) => expect(fs.resolve(path)).toBe(answer));

  it.each([
    ['a file without write permission refuses', `${DEV}/0000:00:03.0/vendor`, 'x', 'EACCES'],
    ['a directory cannot be written', DEV, 'x', 'EISDIR'],
    ['a device node is not written here', '/dev/iommu', 'x', 'EINVAL'],
    ['nothing written is nothing done', '/sys/bus/pci/drivers_probe', '', 0],
    ['at most one page is taken', `${DEV}/0000:00:04.0/driver_override`, `\n${'x'.repeat(5000)}`, 'EINVAL'],
    ['text behind a NUL is not seen, but counted', `${DEV}/0000:00:04.0/driver_override`, '\n\0xyz', 5],
    ['bytes are counted, not characters', `${DEV}/0000:00:04.0/driver_override`, 'é\n', 3],
  ])('write: %s', (_title, path, data, answer) => expect(fs.write(path, data)).toBe(answer));

  it('nothing is there before the host is', () => {
    const empty = files(groupsBench());
    expect([empty.list('/sys'), empty.resolve('/dev/iommu'), empty.read('/sys/bus/pci')]).toEqual(
      Array(3).fill('ENOENT'),
    );
  });

  it('on POWER groups have the names of their endpoints, and IOMMUs those of host bridges (trace p001)', () => {
    const names = (iommu: string) => {
      const power = files(sealedBench({}, { ...SETUP, iommu }));
      expect(power.list('/sys/class/iommu')).toEqual(['iommu-phb0000']);
      return [0, 1, 2].map((group) => power.read(`/sys/kernel/iommu_groups/${group}/name`));
    };
    expect(names('ppc64-pseries')).toEqual(['domain0-pe0\n', 'ENOENT', 'ENOENT']);
    expect(names('ppc64-pnv').slice(1)).toEqual(['domain0-pe0\n', 'domain0-pe1fd\n']);
  });

  it('there are no groups without an IOMMU', () => {
    const none = files(sealedBench({}, { ...SETUP, iommu: 'none' }));
    expect(none.list('/sys/kernel/iommu_groups')).toEqual([]);
    expect(none.list('/dev/vfio')).toEqual(['vfio']);
    expect(none.list('/sys/class/iommu')).toEqual(['iommufd_selftest_iommu.0']);
  });
});

describe('reserved regions of a group', () => {
  const region = (start: bigint, last: bigint, type: ReservedRegion['type']): ReservedRegion => ({ start, last, type });
  const cases: readonly (readonly [string, ReservedRegion[], ReservedRegion[]])[] = [
    [
      'the same region of two members is one',
      [region(16n, 31n, 'msi'), region(16n, 31n, 'msi')],
      [region(16n, 31n, 'msi')],
    ],
    [
      'overlapping ones of one type merge',
      [region(8n, 20n, 'direct'), region(0n, 9n, 'direct')],
      [region(0n, 20n, 'direct')],
    ],
    [
      'touching ones of one type merge',
      [region(0n, 9n, 'direct'), region(10n, 12n, 'direct')],
      [region(0n, 12n, 'direct')],
    ],
    ['contained ones vanish', [region(0n, 99n, 'direct'), region(10n, 12n, 'direct')], [region(0n, 99n, 'direct')]],
    [
      'types stay apart and are in order',
      [region(0n, 9n, 'msi'), region(0n, 9n, 'direct')],
      [region(0n, 9n, 'direct'), region(0n, 9n, 'msi')],
    ],
    [
      'a gap stays',
      [region(11n, 12n, 'direct'), region(0n, 9n, 'direct')],
      [region(0n, 9n, 'direct'), region(11n, 12n, 'direct')],
    ],
  ];
  it.each(cases)('%s', (_title, regions, merged) => expect(mergeRegions(regions)).toEqual(merged));

  it('asks the IOMMU for every member and prints 16 digits and the type', () => {
    const regions = ({ bdf }: { bdf: string }): ReservedRegion[] =>
      bdf.endsWith('0') ? [region(0xfee00000n, 0xfeefffffn, 'msi')] : [region(0x8000000n, 0x80fffffn, 'sw-msi')];
    const bench = sealedBench({ iommu: { reservedRegions: regions } });
    expect(files(bench).read(`${DEV}/0000:00:04.1/iommu_group/reserved_regions`)).toBe(
      '0x0000000008000000 0x00000000080fffff msi\n0x00000000fee00000 0x00000000feefffff msi\n',
    );
    expect(bench.heard.filter(({ method }) => method === groupsApi.readlink.name)).toEqual([]);
    expect(bench.heard.map(({ args }) => (args as { bdf: string }).bdf)).toEqual(['0000:00:04.0', '0000:00:04.1']);
  });
});

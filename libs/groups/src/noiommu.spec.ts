import { CONTAINER, groupsApi } from '@vfiolab/core';
import { fail } from '@vfiolab/uapi';
import { groupBench } from './testing/group-client.js';
import { CLIENT, files, sealedBench, SETUP } from './testing/machines.js';

const BDF = '0000:00:03.0';
const NODE = '/dev/vfio/noiommu-0';
const BIND = '/sys/bus/pci/drivers/vfio-pci/bind';
const SWITCH = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';
const NONE = { ...SETUP, iommu: 'none' };

function switchedOn(services = {}) {
  const b = groupBench(services, NONE);
  const fs = files(b.bench);
  fs.write(SWITCH, 'Y');
  fs.write(BIND, BDF);
  return { b, fs };
}

describe('a device without an IOMMU (A4.1, b080)', () => {
  it('is not for vfio-pci as long as the switch is off', () => {
    const fs = files(sealedBench({}, NONE));
    expect([fs.write(BIND, BDF), fs.list('/dev/vfio'), fs.read(SWITCH)]).toEqual(['EINVAL', ['vfio'], 'N\n']);
  });

  it('has a group and its node, and no cdev node; the kernel is tainted (A4.3)', () => {
    const { b, fs } = switchedOn();
    expect(fs.list('/dev/vfio')).toEqual(['noiommu-0', 'vfio']);
    expect(fs.readlink(`/sys/bus/pci/devices/${BDF}/iommu_group`)).toBe('../../../kernel/iommu_groups/0');
    expect(fs.read('/sys/kernel/iommu_groups/0/name')).toBe('vfio-noiommu\n');
    expect(fs.list(`/sys/bus/pci/devices/${BDF}/vfio-dev`)).toEqual(['vfio0']);
    expect(b.bench.core.describe()).toContain('tainted: a device was given out without an IOMMU');
    expect(b.status(b.open(NODE))).toBe(1);
    expect(b.bench.core.check()).toEqual([]);
  });

  it('loses its group with vfio-pci; the lowest free number is taken next', () => {
    const { b, fs } = switchedOn();
    fs.write(BIND, '0000:00:04.0');
    const token = b.open(NODE);
    fs.write('/sys/bus/pci/drivers/vfio-pci/unbind', BDF);
    expect(fs.list('/sys/kernel/iommu_groups')).toEqual(['1']);
    expect(fs.readlink(`/sys/bus/pci/devices/${BDF}/iommu_group`)).toBe('ENOENT');
    fs.write(BIND, '0000:00:04.1');
    expect(fs.list('/dev/vfio')).toEqual(['noiommu-0', 'noiommu-1', 'vfio']);
    expect([b.status(token), b.status(b.open(NODE))]).toEqual(['ENODEV', 1]);
    expect(b.bench.core.check()).toEqual([]);
  });

  it('EPERM without CAP_SYS_RAWIO, when the group is opened and when its device is', () => {
    let caps = 0;
    const { b } = switchedOn({ pages: { capabilities: () => caps } });
    expect(b.open(NODE)).toBe('EPERM');
    caps = 0xff;
    expect(b.open(NODE)).toMatch(/^[^A-Z]/);
  });

  it('the switch changes nothing for a device with an IOMMU (b107)', () => {
    const b = sealedBench();
    const fs = files(b);
    fs.write(SWITCH, '1');
    fs.write('/sys/bus/pci/drivers/vfio-pci/unbind', BDF);
    fs.write(BIND, BDF);
    expect(fs.list('/dev/vfio')).toContain('1');
    expect(b.core.describe().join()).not.toContain('tainted');
  });
});

describe('module parameters', () => {
  const P = '/sys/module';
  const TYPE1 = `${P}/vfio_iommu_type1/parameters`;

  it.each([
    ['y', 1, 'Y\n'],
    ['1\n', 2, 'Y\n'],
    ['on', 2, 'Y\n'],
    ['off', 3, 'N\n'],
    ['0', 1, 'N\n'],
    ['n', 1, 'N\n'],
    ['x', 'EINVAL', 'N\n'],
    ['o', 'EINVAL', 'N\n'],
    ['', 0, 'N\n'],
  ] as const)('a boolean takes %j: %s', (data, answer, shown) => {
    const fs = files(sealedBench());
    expect([fs.write(SWITCH, data), fs.read(SWITCH)]).toEqual([answer, shown]);
  });

  it.each([
    ['3', 1, '3\n'],
    ['0x10\n', 5, '16\n'],
    ['010', 3, '8\n'],
    ['0', 1, '0\n'],
    ['4294967295', 10, '4294967295\n'],
    ['4294967296', 'ERANGE', '65535\n'],
    ['-1', 'EINVAL', '65535\n'],
    ['3 ', 'EINVAL', '65535\n'],
    ['a', 'EINVAL', '65535\n'],
  ] as const)('a number takes %j: %s', (data, answer, shown) => {
    const fs = files(sealedBench());
    expect([fs.write(`${TYPE1}/dma_entry_limit`, data), fs.read(`${TYPE1}/dma_entry_limit`)]).toEqual([answer, shown]);
  });

  it('some are for reading only, and those of type1 are not there when iommufd serves containers (b106)', () => {
    const fs = files(sealedBench());
    expect(fs.write(`${P}/vfio_pci/parameters/disable_idle_d3`, '1')).toBe('EACCES');
    expect(fs.list(P)).toEqual(['iommufd', 'vfio', 'vfio_iommu_type1', 'vfio_pci']);
    const compat = files(sealedBench({}, { ...SETUP, vfioContainer: 'iommufd' }));
    expect(compat.list(P)).toEqual(['iommufd', 'vfio', 'vfio_pci']);
    expect(compat.write(`${TYPE1}/dma_entry_limit`, '3')).toBe('ENOENT');
    expect(compat.write(`${P}/iommufd/parameters/allow_unsafe_interrupts`, '1')).toBe(1);
  });

  it('there is no switch for doing without an IOMMU where there are no groups, up to 7.2', () => {
    const parameters = (profile: string) =>
      files(sealedBench({}, { ...SETUP, profile, vfioContainer: 'none' })).list(P);
    expect(parameters('7.2')).toEqual(['iommufd', 'vfio_pci']);
    expect(parameters('7.3')).toEqual(['iommufd', 'vfio', 'vfio_pci']);
  });

  it('a cdev without a node has no number (A4.3)', () => {
    const fs = files(sealedBench({}, { ...SETUP, iommu: 'none' }));
    fs.write(SWITCH, '1');
    fs.write(BIND, BDF);
    expect([fs.read('/sys/class/vfio-dev/vfio0/dev'), fs.read('/sys/class/vfio-dev/vfio0/uevent')]).toEqual([
      'ENOENT',
      '',
    ]);
    expect(fs.read('/sys/class/vfio/noiommu-0/dev')).toBe('254:0\n');
  });

  it('containers are told of theirs before the write answers', () => {
    const b = sealedBench();
    const fs = files(b);
    fs.write(`${TYPE1}/dma_entry_limit`, '3');
    fs.write(`${P}/iommufd/parameters/allow_unsafe_interrupts`, '1');
    expect(b.heard.filter(({ to }) => to === CONTAINER)).toEqual([
      { to: CONTAINER, method: 'container.parameter', args: { name: 'dma_entry_limit', value: 3 } },
    ]);
  });

  it('only root writes them', () => {
    const fs = files(sealedBench({ pages: { userOf: () => 1000 } }));
    expect([fs.write(SWITCH, '1'), fs.read(SWITCH)]).toEqual(['EACCES', 'N\n']);
  });
});

it('EPERM of an iommufd that has an IOAS, asked when the device is opened (A4.2)', () => {
  const { b } = switchedOn({ iommufd: { compatNoiommu: () => fail('EPERM') } });
  const token = b.open(NODE);
  b.set(token, 11);
  const use = { bdf: BDF, client: CLIENT };
  expect(b.bench.get('device:0000:00:03_0', groupsApi.groupUse, use)).toEqual(fail('EPERM'));
});

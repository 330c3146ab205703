import { groupsApi, IOMMU } from '@vfiolab/core';
import { GroupsCore } from './groups-core.js';
import { HOLD } from '../../core/src/testing/bench.js';
import { CLIENT, files, SMALL_MACHINE } from './testing/machines.js';
import { IGB, NVME, SRIOV_MACHINE, sriovBench } from './testing/sriov-machine.js';

const NVME_VFS = ['0000:01:00.1', '0000:01:00.2'];
const IGB_VFS = ['0000:01:11.0', '0000:01:11.2'];
const [TG3, ODD, FAR, PLAIN] = ['0000:01:02.0', '0000:01:03.0', '0000:01:04.0', '0000:01:05.0'] as const;

describe('sriov_numvfs', () => {
  it.each([
    ['not a number', IGB, 'x', 'EINVAL'],
    ['no 16 bits', IGB, '65536', 'EINVAL'],
    ['more than the PF has', IGB, '5', 'ERANGE'],
    ['as many as it has', IGB, '4', 1],
    ['hexadecimal, with a newline', IGB, '0x2\n', 4],
    ['as many as there are', TG3, '0', 1],
    ['a driver that leaves SR-IOV alone', TG3, '1', 'ENOENT'],
    ['a capability that contradicts itself', ODD, '1', 'EIO'],
    ['a bus that the port does not reach', FAR, '1', 'ENOMEM'],
    ['no PF', PLAIN, '1', 'ENOENT'],
  ])('%s', (_rule, bdf, data, answer) => {
    const { bench, numVfs, vfs } = sriovBench();
    expect(numVfs(bdf, data)).toBe(answer);
    expect(vfs().length).toBe(typeof answer === 'number' ? Number(data) : 0);
    expect(bench.core.check()).toEqual([]);
  });

  it('has no driver: ENOENT; VFs that are on must go first: EBUSY', () => {
    const { unbind, numVfs, read } = sriovBench();
    expect([numVfs(IGB, 2), numVfs(IGB, 3), numVfs(IGB, 2), read(IGB, 'sriov_numvfs')]).toEqual([1, 'EBUSY', 1, '2\n']);
    unbind(NVME);
    expect(numVfs(NVME, 1)).toBe('ENOENT');
  });

  it('with vfio-pci: only when its parameter allows it', () => {
    const { unbind, bind, numVfs, fs } = sriovBench();
    unbind(NVME);
    bind(NVME, 'vfio-pci');
    expect(numVfs(NVME, 1)).toBe('ENOENT');
    fs.write('/sys/module/vfio_pci/parameters/enable_sriov', 'Y');
    expect(numVfs(NVME, 1)).toBe(1);
  });

  it('waits with its answer while VFs are being switched', () => {
    const { bench, numVfs, bind, fs } = sriovBench({ device: { remove: () => HOLD } });
    numVfs(IGB, 1);
    fs.write(`/sys/bus/pci/devices/${IGB_VFS[0]}/driver/unbind`, IGB_VFS[0]!);
    bind(IGB_VFS[0]!, 'vfio-pci');
    const path = `/sys/bus/pci/devices/${IGB}/sriov_numvfs`;
    const off = bench.ask(CLIENT, groupsApi.sysfsWrite, { path, data: '0' });
    const read = bench.ask(CLIENT, groupsApi.sysfsRead, { path });
    expect([off.done, read.done]).toEqual([false, false]);
    bench.answer('device.remove', undefined);
    expect([off.value, read.value]).toMatchObject([{ value: 1 }, { value: '0\n' }]);
  });
});

describe('VFs', () => {
  it('are functions of their own, with groups and drivers, and go without a trace', () => {
    const { bench, numVfs, vfs, link, read, fs } = sriovBench();
    const asked = () => bench.heard.splice(0).flatMap(({ to, method, args }) => (to === IOMMU ? [[method, args]] : []));
    const before = [bench.bytes('meaning'), fs.list('/sys/kernel/iommu_groups')];
    expect([numVfs(IGB, 2), vfs()]).toEqual([1, IGB_VFS]);
    const groups = IGB_VFS.map((bdf) => link(bdf, 'iommu_group'));
    expect(new Set([link(IGB, 'iommu_group'), ...groups]).size).toBe(3);
    expect(asked()).toEqual([
      ['iommu.setup', { kind: 'intel-vtd', functions: IGB_VFS.map((bdf, i) => ({ bdf, group: Number(groups[i]) })) }],
    ]);
    expect(IGB_VFS.map((bdf) => [link(bdf, 'driver'), link(bdf, 'physfn')])).toEqual(Array(2).fill(['igbvf', IGB]));
    expect([link(IGB, 'virtfn1'), read(IGB_VFS[1]!, 'device')]).toEqual([IGB_VFS[1], '0x10ca\n']);
    expect([read(IGB, 'sriov_offset'), read(IGB, 'sriov_stride'), read(IGB, 'sriov_vf_device')]).toEqual([
      '128\n',
      '2\n',
      '10ca\n',
    ]);
    expect([numVfs(IGB, 0), vfs()]).toEqual([1, []]);
    expect(asked()).toEqual(IGB_VFS.map((bdf) => ['iommu.remove', { bdf }]));
    expect([bench.bytes('meaning'), fs.list('/sys/kernel/iommu_groups')]).toEqual(before);
    expect([read(IGB_VFS[0]!, 'device'), link(IGB, 'virtfn0')]).toEqual(['ENOENT', 'ENOENT']);
    expect([fs.write('/sys/bus/pci/drivers_probe', IGB_VFS[0]!), bench.core.check()]).toEqual(['ENODEV', []]);
  });

  it.each([
    ['6.12', 'ENOENT'],
    ['7.2', 'nvme'],
  ])('of an NVMe function have no resources yet, which its driver notices at once or late (%s)', (profile, driver) => {
    const { bench, numVfs, link } = sriovBench({}, { profile });
    numVfs(NVME, 2);
    expect(NVME_VFS.map((bdf) => link(bdf, 'driver'))).toEqual([driver, driver]);
    expect(bench.core.check()).toEqual([]);
  });

  it('of an NVMe function whose model is described have some, so the driver has them', () => {
    const machine = SRIOV_MACHINE.replace('"driver":"nvme"', '$&,"model":"nvme"');
    const { numVfs, link } = sriovBench({}, { profile: '6.12' }, machine);
    numVfs(NVME, 2);
    expect(NVME_VFS.map((bdf) => link(bdf, 'driver'))).toEqual(['nvme', 'nvme']);
  });

  it('of a vfio-pci PF are vfio-pci’s', () => {
    const { numVfs, toVfio, link, read } = sriovBench();
    toVfio(NVME);
    expect(numVfs(NVME, 1)).toBe(1);
    expect([link(NVME_VFS[0]!, 'driver'), read(NVME_VFS[0]!, 'driver_override')]).toEqual(['vfio-pci', 'vfio-pci\n']);
  });

  it('are offered to no driver when their PF says so, but to one that is named', () => {
    const { bench, fs, numVfs, link, read, bind } = sriovBench();
    const path = `/sys/bus/pci/devices/${IGB}/sriov_drivers_autoprobe`;
    expect([fs.write(path, 'x'), fs.write(path, 'n'), read(IGB, 'sriov_drivers_autoprobe')]).toEqual([
      'EINVAL',
      1,
      '0\n',
    ]);
    numVfs(IGB, 1);
    expect(fs.write('/sys/bus/pci/drivers/igbvf/bind', IGB_VFS[0]!)).toBe('ENODEV');
    expect([link(IGB_VFS[0]!, 'driver'), bench.core.check()]).toEqual(['ENOENT', []]);
    bind(IGB_VFS[0]!, 'vfio-pci');
    expect(link(IGB_VFS[0]!, 'driver')).toBe('vfio-pci');
  });

  it.each([
    ['stay without nvme, and keep vfio-pci from their PF', NVME, NVME_VFS, 'EBUSY'],
    ['go with igb', IGB, [], 12],
  ])('%s', (_rule, pf, left, answer) => {
    const { numVfs, unbind, vfs, bind } = sriovBench();
    numVfs(pf, 2);
    expect([unbind(pf), vfs()]).toEqual([12, left]);
    expect(bind(pf, 'vfio-pci')).toBe(answer);
  });

  it('go with vfio-pci', () => {
    const { bench, numVfs, toVfio, unbind, vfs } = sriovBench();
    toVfio(NVME);
    numVfs(NVME, 4);
    expect([vfs().length, unbind(NVME), vfs(), bench.core.check()]).toEqual([4, 12, [], []]);
  });

  it('go for good: who waited to bind one finds nothing', () => {
    const { bench, numVfs, bind } = sriovBench({ device: { remove: () => HOLD } });
    numVfs(IGB, 1);
    files(bench).write(`/sys/bus/pci/devices/${IGB_VFS[0]}/driver/unbind`, IGB_VFS[0]!);
    bind(IGB_VFS[0]!, 'vfio-pci');
    const write = (path: string, data: string) => bench.ask(CLIENT, groupsApi.sysfsWrite, { path, data });
    const off = write(`/sys/bus/pci/devices/${IGB}/sriov_numvfs`, '0');
    const late = write('/sys/bus/pci/drivers/vfio-pci/bind', IGB_VFS[0]!);
    bench.answer('device.remove', undefined);
    expect([off.value, late.value]).toEqual([
      { ok: true, value: 1 },
      { ok: false, errno: 'ENODEV' },
    ]);
  });

  it('are read back from a snapshot, and so is that there are none', () => {
    const { bench, numVfs, toVfio } = sriovBench();
    for (const count of [2, 0]) {
      numVfs(IGB, count);
      const again = bench.reread(new GroupsCore());
      expect(again.after).toEqual(again.before);
    }
    toVfio(NVME);
    numVfs(NVME, 3);
    const fresh = new GroupsCore();
    const { before, after } = bench.reread(fresh);
    expect(after).toEqual(before);
    expect([fresh.check(), fresh.describe()]).toEqual([[], bench.core.describe()]);
  });

  it('that the machine was recorded with go too, and do not come back with a snapshot', () => {
    const [pf, vf] = ['0000:00:07.0', '0000:00:07.1'];
    const { bench, vfs, bind, numVfs } = sriovBench({}, {}, SMALL_MACHINE);
    expect([vfs(), bind(pf, 'vfio-pci'), bind(pf, 'pci-stub')]).toEqual([[vf], 'EBUSY', pf.length]);
    expect([numVfs(pf, 0), vfs()]).toEqual([1, []]);
    const again = bench.reread(new GroupsCore());
    expect(again.after).toEqual(again.before);
  });

  it('are counted: I47', () => {
    const { bench, numVfs } = sriovBench();
    numVfs(IGB, 1);
    bench.core.host!.devices.get(IGB)!.vfs!.count = 3;
    expect(bench.core.check()).toEqual([`I47: ${IGB} has 3 VFs enabled, and 1 are there`]);
  });
});

describe('random switching and binding', () => {
  it.each(Array.from({ length: 20 }, (_, i) => i + 1))('seed %i leaves whole states that read back', (seed) => {
    const b = sriovBench();
    let state = seed;
    const roll = (n: number): number => (state = (state * 48271) % 0x7fffffff) % n;
    const any = (): string => [...b.bench.core.host!.devices.keys()][roll(b.bench.core.host!.devices.size)]!;
    const acts = [
      () => b.numVfs([NVME, IGB][roll(2)]!, roll(5)),
      () => b.unbind(any()),
      () => b.bind(any(), ['vfio-pci', 'nvme', 'igb', 'igbvf', 'pci-stub'][roll(5)]!),
      () => b.toVfio([NVME, IGB][roll(2)]!),
      () => b.fs.write(`/sys/bus/pci/devices/${any()}/remove`, '1'),
      () => b.fs.write('/sys/bus/pci/rescan', '1'),
    ];
    let most = 0;
    for (let i = 0; i < 60; i++) {
      acts[roll(acts.length)]!();
      if (b.bench.core.host!.devices.size === 0) b.fs.write('/sys/bus/pci/rescan', '1');
      expect(b.bench.core.check()).toEqual([]);
      most = Math.max(most, b.vfs().length);
    }
    const { before, after } = b.bench.reread(new GroupsCore());
    expect(after).toEqual(before);
    b.fs.write('/sys/bus/pci/rescan', '1');
    for (const pf of [NVME, IGB]) {
      b.unbind(pf);
      b.bind(pf, 'pci-stub');
      b.numVfs(pf, 0);
    }
    expect([b.vfs(), most > 0, b.bench.core.host!.groups.size]).toEqual([[], true, 7]);
  });
});

import { deviceApi, groupsApi, IOMMU } from '@vfiolab/core';
import { HOLD } from '../../core/src/testing/bench.js';
import { GroupsCore } from './groups-core.js';
import { CLIENT, SMALL_MACHINE } from './testing/machines.js';
import { IGB, sriovBench } from './testing/sriov-machine.js';

const [ALONE, PORT, CARD, PF] = ['0000:00:03.0', '0000:00:06.0', '0000:01:00.0', '0000:00:07.0'] as const;
const small = (...[services, setup]: Partial<Parameters<typeof sriovBench>>) => {
  const b = sriovBench(services, setup, SMALL_MACHINE);
  return {
    ...b,
    remove: (bdf: string, data = '1') => b.fs.write(`/sys/bus/pci/devices/${bdf}/remove`, data),
    rescan: (data = '1', at = '') => b.fs.write(`/sys/bus/pci${at && `/devices/${at}`}/rescan`, data),
    here: () => [...b.bench.core.host!.devices.keys()],
    rereads: () => {
      const { before, after } = b.bench.reread(new GroupsCore());
      expect(after).toEqual(before);
      expect(b.bench.core.check()).toEqual([]);
    },
  };
};

describe('remove', () => {
  it('takes the function, its group and its nodes; a rescan brings it back as after boot (trace c009)', () => {
    const { remove, rescan, here, link, read, fs, bench, rereads } = small();
    const before = [here(), fs.list('/dev/vfio'), fs.list('/sys/kernel/iommu_groups')];
    const group = link(ALONE, 'iommu_group');
    fs.write(`/sys/bus/pci/devices/${ALONE}/driver_override`, 'vfio-pci');
    bench.heard.length = 0;
    expect(remove(ALONE)).toBe(1);
    expect(here()).not.toContain(ALONE);
    expect(fs.list('/dev/vfio')).not.toContain(group);
    expect(fs.list('/sys/kernel/iommu_groups')).not.toContain(group);
    expect(bench.heard.filter(({ to }) => to === IOMMU)).toMatchObject([
      { method: 'iommu.remove', args: { bdf: ALONE } },
    ]);
    expect([read(ALONE, 'vendor'), remove(ALONE)]).toEqual(['ENOENT', 'ENOENT']);
    rereads();
    expect(rescan()).toBe(1);
    expect([here(), fs.list('/dev/vfio'), fs.list('/sys/kernel/iommu_groups')]).toEqual(before);
    expect([link(ALONE, 'iommu_group'), link(ALONE, 'driver')]).toEqual([group, 'vfio-pci']);
    expect(read(ALONE, 'driver_override')).toBe('(null)\n');
    rereads();
  });

  it.each([
    ['0', 1],
    ['x', 'EINVAL'],
  ])('%j does nothing, and so does a rescan of it', (data, answer) => {
    const { remove, rescan, here } = small();
    const before = here();
    expect([remove(ALONE, data), rescan(data), here()]).toEqual([answer, answer, before]);
  });

  it('takes what is below a bridge along; its bus is scanned by the bridge’s neighbours, not by others', () => {
    const { remove, rescan, here, rereads } = small();
    const before = here();
    remove(PORT);
    expect(here()).toEqual(before.filter((bdf) => bdf !== PORT && bdf !== CARD));
    rereads();
    rescan('1', '0000:02:01.0');
    expect(here()).not.toContain(PORT);
    rescan('1', ALONE);
    expect(here()).toEqual(before);
    rereads();
  });

  it('of a PF takes its VFs along, which do not come back', () => {
    const { remove, rescan, vfs, read, rereads } = small();
    expect(vfs()).toEqual(['0000:00:07.1']);
    remove(PF);
    expect(vfs()).toEqual([]);
    rereads();
    rescan();
    expect([vfs(), read(PF, 'sriov_numvfs')]).toEqual([[], '0\n']);
    rereads();
  });

  it('of a VF is not for anybody: it goes with its PF, and has neither file', () => {
    const b = sriovBench();
    b.numVfs(IGB, 2);
    const [first, second] = b.vfs();
    const files = ['remove', 'rescan'].map((name) => b.fs.write(`/sys/bus/pci/devices/${first}/${name}`, '1'));
    expect(files).toEqual(['ENOENT', 'ENOENT']);
    expect([b.vfs(), b.bench.core.check()]).toEqual([[first, second], []]);
  });

  it('waits until nobody uses the device any more', () => {
    const { bench, here } = small({ device: { remove: () => HOLD } });
    const path = `/sys/bus/pci/devices/${ALONE}/remove`;
    const removed = bench.ask(CLIENT, groupsApi.sysfsWrite, { path, data: '1' });
    expect([removed.done, here().includes(ALONE)]).toEqual([false, true]);
    bench.answer(deviceApi.remove.name, undefined);
    expect([removed.done, here().includes(ALONE)]).toEqual([true, false]);
    expect(bench.core.check()).toEqual([]);
  });

  it('a machine may be left without functions', () => {
    const { remove, rescan, here, rereads } = small();
    const before = here();
    for (const bdf of before.reverse()) remove(bdf);
    expect(here()).toEqual([]);
    rereads();
    rescan();
    expect(here()).toEqual([...before].reverse().filter((bdf) => bdf !== '0000:00:07.1'));
    rereads();
  });
});

describe('kernels that bring functions to their IOMMU when a driver meets them (traces c009, c010)', () => {
  const [FIRST, TWIN, BRIDGE] = ['0000:02:01.0', '0000:02:02.0', '0000:00:09.0'];
  const arm = (profile: string) => {
    const b = small({}, { profile, iommu: 'arm-smmu-v3' });
    const probe = (bdf: string) => {
      b.fs.write(`/sys/bus/pci/devices/${bdf}/driver_override`, 'vfio-pci');
      return b.fs.write('/sys/bus/pci/drivers_probe', bdf);
    };
    return {
      ...b,
      probe,
      group: (bdf: string) => b.link(bdf, 'iommu_group'),
      driver: (bdf: string) => b.link(bdf, 'driver'),
    };
  };

  it('6.12: a function that no driver wants has no group, and gets the lowest free number from the first that tries', () => {
    const { group, fs, bench, driver, unbind, rereads } = arm('6.12');
    const [lone, next] = ['0000:00:00.0', String(bench.core.host!.groups.size)];
    expect(group(lone)).toBe('ENOENT');
    bench.heard.length = 0;
    fs.write(`/sys/bus/pci/devices/${lone}/driver_override`, 'pci-stub');
    expect([fs.write('/sys/bus/pci/drivers_probe', lone), group(lone), driver(lone)]).toEqual([12, next, 'pci-stub']);
    expect(bench.heard.find(({ method }) => method === 'iommu.setup')?.args).toMatchObject({
      functions: [{ bdf: lone, group: Number(next) }],
    });
    unbind(lone);
    expect([group(lone), driver(lone)]).toEqual([next, 'ENOENT']);
    rereads();
  });

  it.each(['6.12', '7.2'])('%s: the stream of one that was removed is free for its twin, who keeps it', (profile) => {
    const { group, probe, driver, remove, rescan, rereads, unbind } = arm(profile);
    probe(FIRST);
    expect([probe(TWIN), group(TWIN), driver(TWIN)]).toEqual([12, 'ENOENT', 'ENOENT']);
    unbind(FIRST);
    expect([probe(TWIN), group(TWIN)]).toEqual([12, 'ENOENT']);
    remove(FIRST);
    expect([probe(TWIN), group(TWIN), driver(TWIN)]).toEqual([12, group(BRIDGE), 'vfio-pci']);
    rereads();
    rescan();
    expect([group(FIRST), probe(FIRST), group(FIRST), driver(FIRST)]).toEqual(['ENOENT', 12, 'ENOENT', 'ENOENT']);
    rereads();
  });

  it('7.2: every function has its group from the start', () => {
    const { group } = arm('7.2');
    expect([group('0000:00:00.0'), group(FIRST)]).toEqual(['0', group(BRIDGE)]);
  });

  it('a recorded order of meetings numbers the groups', () => {
    const machine = JSON.stringify({ ...JSON.parse(SMALL_MACHINE), probe_order: [CARD, ALONE] });
    const { link } = sriovBench({}, { iommu: 'arm-smmu-v3' }, machine);
    expect([CARD, ALONE].map((bdf) => link(bdf, 'iommu_group'))).toEqual(['0', '1']);
  });
});

it('the lowest free number is given to who comes back first', () => {
  const { remove, rescan, link } = small();
  const [first, second] = [ALONE, '0000:00:04.0'].map((bdf) => link(bdf, 'iommu_group'));
  remove('0000:00:04.0');
  remove('0000:00:04.1');
  remove(ALONE);
  rescan('1', '0000:00:05.0');
  expect([link(ALONE, 'iommu_group'), link('0000:00:04.1', 'iommu_group')]).toEqual([first, second]);
});

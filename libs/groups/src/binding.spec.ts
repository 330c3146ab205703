import { groupsApi, IOMMUFD } from '@vfiolab/core';
import { fail } from '@vfiolab/uapi';
import { LIMITS } from './limits.js';
import { HOLD } from '../../core/src/testing/bench.js';
import { callsTo, CLIENT, files, sealedBench } from './testing/machines.js';

const PCI = '/sys/bus/pci';
const dev = (bdf: string, file: string): string => `${PCI}/devices/0000:${bdf}/${file}`;
const drv = (name: string, file: string): string => `${PCI}/drivers/${name}/${file}`;
const VFIO_LINK = '../../../bus/pci/drivers/vfio-pci';

type Step = readonly ['write', string, string, number | string] | readonly ['read' | 'readlink', string, string];
const play = (bench: ReturnType<typeof sealedBench>, steps: readonly Step[]): void => {
  const fs = files(bench);
  steps.forEach((step, i) => {
    const got = step[0] === 'write' ? fs.write(step[1], step[2]) : fs[step[0]](step[1]);
    expect([i, step[1], got]).toEqual([i, step[1], step[step.length - 1]]);
  });
  expect(bench.core.check()).toEqual([]);
};

const programs: Record<string, Step[]> = {
  'driver_override, new_id and the errors of bind and unbind (trace b057)': [
    ['write', drv('vfio-pci', 'bind'), '0000:00:03.0', 'EBUSY'],
    ['write', drv('vfio-pci', 'bind'), '0000:00:77.0', 'ENODEV'],
    ['write', drv('vfio-pci', 'unbind'), '0000:01:00.0', 'ENODEV'],
    ['write', drv('e1000e', 'bind'), '0000:00:03.0', 'ENODEV'],
    ['write', drv('vfio-pci', 'unbind'), '0000:00:03.0', 12],
    ['write', drv('vfio-pci', 'unbind'), '0000:00:03.0', 'ENODEV'],
    ['write', dev('00:03.0', 'driver_override'), '\n', 1],
    ['read', dev('00:03.0', 'driver_override'), '(null)\n'],
    ['write', drv('vfio-pci', 'bind'), '0000:00:03.0', 12],
    ['write', `${PCI}/drivers_probe`, '0000:00:03.0', 12],
    ['readlink', dev('00:03.0', 'driver'), VFIO_LINK],
    ['write', dev('00:03.0', 'driver_override'), 'vfio-pci', 8],
    ['read', dev('00:03.0', 'driver_override'), 'vfio-pci\n'],
    ['write', `${PCI}/drivers_probe`, '0000:00:03.0', 12],
    ['readlink', dev('00:03.0', 'driver'), VFIO_LINK],
    ['write', dev('00:03.0', 'driver_override'), 'e1000e', 6],
    ['readlink', dev('00:03.0', 'driver'), VFIO_LINK],
    ['write', drv('vfio-pci', 'unbind'), '0000:00:03.0', 12],
    ['write', drv('vfio-pci', 'bind'), '0000:00:03.0', 'ENODEV'],
    ['write', dev('00:03.0', 'driver_override'), '\n', 1],
    ['write', drv('vfio-pci', 'new_id'), '1234 11e8', 'EEXIST'],
    ['readlink', dev('00:03.0', 'driver'), 'ENOENT'],
    ['write', drv('vfio-pci', 'remove_id'), '1234 11e8', 9],
    ['write', drv('vfio-pci', 'remove_id'), '1234 11e8', 'ENODEV'],
    ['readlink', dev('00:03.0', 'driver'), 'ENOENT'],
    ['write', `${PCI}/drivers_probe`, 'zzz', 'ENODEV'],
  ],
  'a network card moves to vfio-pci by driver_override (trace b053)': [
    ['write', dev('01:00.0', 'driver/unbind'), '0000:01:00.0', 12],
    ['write', dev('01:00.0', 'driver_override'), 'vfio-pci\n', 9],
    ['write', `${PCI}/drivers_probe`, '0000:01:00.0', 12],
    ['readlink', dev('01:00.0', 'driver'), '../../../../bus/pci/drivers/vfio-pci'],
    ['write', dev('01:00.0', 'driver/unbind'), '0000:01:00.0', 12],
    ['write', dev('01:00.0', 'driver/unbind'), '0000:01:00.0', 'ENOENT'],
  ],
  'new_id offers the driver every unbound device that matches; devices with a driver stay': [
    ['write', drv('pci-stub', 'new_id'), '1234 11e8\n', 10],
    ['readlink', dev('02:01.0', 'driver'), '../../../../bus/pci/drivers/pci-stub'],
    ['readlink', dev('02:02.0', 'driver'), '../../../../bus/pci/drivers/pci-stub'],
    ['readlink', dev('00:03.0', 'driver'), VFIO_LINK],
    ['write', drv('pci-stub', 'new_id'), '1234', 'EINVAL'],
    ['write', drv('pci-stub', 'new_id'), '1234 11e8 ffffffff ffffffff 0 0 5', 'EINVAL'],
    ['write', drv('pci-stub', 'new_id'), '1234 11e8 ffffffff ffffffff 0 0 0', 33],
    ['write', drv('e1000e', 'new_id'), '0x8086 0x10d3', 'EEXIST'],
  ],
  'a driver_override decides alone, even against the id table': [
    ['write', dev('00:05.0', 'driver/unbind'), '0000:00:05.0', 12],
    ['write', dev('00:05.0', 'driver_override'), 'none', 4],
    ['write', drv('nvme', 'bind'), '0000:00:05.0', 'ENODEV'],
    ['write', `${PCI}/drivers_probe`, '0000:00:05.0', 12],
    ['readlink', dev('00:05.0', 'driver'), 'ENOENT'],
  ],
  'vfio-pci refuses a bridge: EINVAL by bind, no error and no driver by drivers_probe': [
    ['write', dev('00:06.0', 'driver/unbind'), '0000:00:06.0', 12],
    ['write', dev('00:06.0', 'driver_override'), 'vfio-pci', 8],
    ['write', drv('vfio-pci', 'bind'), '0000:00:06.0', 'EINVAL'],
    ['write', `${PCI}/drivers_probe`, '0000:00:06.0', 12],
    ['readlink', dev('00:06.0', 'driver'), 'ENOENT'],
  ],
  'pcieport declines a bridge that is no PCI Express port': [
    ['write', drv('pcieport', 'bind'), '0000:00:09.0', 'ENODEV'],
    ['write', drv('pcieport', 'unbind'), '0000:00:06.0', 12],
    ['write', drv('pcieport', 'bind'), '0000:00:06.0', 12],
  ],
  'vfio-pci refuses a PF whose VFs are enabled (A3.8) and a function without a group': [
    ['write', dev('00:07.0', 'driver_override'), 'vfio-pci', 8],
    ['write', drv('vfio-pci', 'bind'), '0000:00:07.0', 'EBUSY'],
    ['write', dev('00:02.0', 'driver_override'), 'vfio-pci', 8],
    ['write', drv('vfio-pci', 'bind'), '0000:00:02.0', 'EINVAL'],
  ],
};

describe('binding drivers through sysfs', () => {
  it.each(Object.entries(programs))('%s', (_title, steps) => play(sealedBench(), steps));

  it('a kernel driver may not have the DMA of a group that a context owns: EINVAL by drivers_probe, EBUSY by bind (b015)', () => {
    const bench = sealedBench();
    const claim = { bdf: '0000:00:05.1', context: 1 };
    expect(bench.get(IOMMUFD, groupsApi.claimDma, claim)).toEqual(fail('EPERM'));
    play(bench, [['write', dev('00:05.0', 'driver/unbind'), '0000:00:05.0', 12]]);
    expect(bench.get(IOMMUFD, groupsApi.claimDma, claim).ok).toBe(true);
    play(bench, [
      ['write', `${PCI}/drivers_probe`, '0000:00:05.0', 'EINVAL'],
      ['write', drv('nvme', 'bind'), '0000:00:05.0', 'EBUSY'],
      ['readlink', dev('00:05.0', 'driver'), 'ENOENT'],
    ]);
    bench.get(IOMMUFD, groupsApi.releaseDma, claim);
    play(bench, [
      ['write', `${PCI}/drivers_probe`, '0000:00:05.0', 12],
      ['readlink', dev('00:05.0', 'driver'), '../../../bus/pci/drivers/nvme'],
    ]);
    expect(bench.get(IOMMUFD, groupsApi.claimDma, claim)).toEqual(fail('EPERM'));
  });

  it('an unbind waits until the users have closed; nodes are gone at once, other reads go on, other binds queue (b056)', () => {
    const bench = sealedBench({ device: { remove: () => HOLD } });
    const fs = files(bench);
    const unbind = { path: drv('vfio-pci', 'unbind'), data: '0000:00:03.0' };
    const first = bench.ask(CLIENT, groupsApi.sysfsWrite, unbind);
    const second = bench.ask('client:other', groupsApi.sysfsWrite, unbind);
    const rebind = bench.ask('client:third', groupsApi.sysfsWrite, { ...unbind, path: drv('vfio-pci', 'bind') });
    expect([first.done, second.done, rebind.done]).toEqual([false, false, false]);
    expect(fs.readlink(dev('00:03.0', 'driver'))).toBe('ENOENT');
    expect(fs.read(dev('00:03.0', 'vendor'))).toBe('0x1234\n');
    expect(fs.list(dev('00:03.0', 'vfio-dev'))).toBe('ENOENT');
    expect(fs.resolve('/dev/vfio/devices/vfio0')).toBe('ENOENT');
    expect(fs.list('/dev/vfio')).toContain('1');
    expect(fs.write(`${PCI}/drivers_probe`, '0000:00:03.0')).toBe(12);
    // BIND through a file that was open before still succeeds, and a dead client must still be told to this device.
    expect(bench.get('device:0000:00:03_0', groupsApi.cdevClaim, { bdf: '0000:00:03.0', vm: 0 }).ok).toBe(true);
    expect(bench.get(IOMMUFD, groupsApi.claimDma, { bdf: '0000:00:03.0', context: 1 }).ok).toBe(true);
    expect(bench.get('lab', groupsApi.vfioDevices, undefined)).toContain('0000:00:03.0');
    bench.get(IOMMUFD, groupsApi.releaseDma, { bdf: '0000:00:03.0', context: 1 });
    bench.get('device:0000:00:03_0', groupsApi.cdevRelease, { bdf: '0000:00:03.0' });
    bench.answer('device.remove', undefined);
    expect([first.value, second.value, rebind.value]).toEqual(Array(3).fill({ ok: true, value: 12 }));
    expect(fs.resolve('/dev/vfio/devices/vfio0')).toBe('device:0000:00:03_0');
    expect(bench.core.check()).toEqual([]);
  });

  it('a minor is the lowest free one, and free again only when the remove has ended', () => {
    const bench = sealedBench({ device: { remove: () => HOLD } });
    const fs = files(bench);
    fs.write(dev('02:01.0', 'driver_override'), 'vfio-pci');
    fs.write(dev('02:02.0', 'driver_override'), 'vfio-pci');
    const unbind = bench.ask(CLIENT, groupsApi.sysfsWrite, { path: drv('vfio-pci', 'unbind'), data: '0000:00:04.0' });
    expect(fs.write(drv('vfio-pci', 'bind'), '0000:02:01.0')).toBe(12);
    bench.answer('device.remove', undefined);
    expect(unbind.done).toBe(true);
    expect(fs.write(drv('vfio-pci', 'bind'), '0000:02:02.0')).toBe(12);
    expect(fs.list(dev('02:01.0', 'vfio-dev'))).toEqual(['vfio4']);
    expect(fs.list(dev('02:02.0', 'vfio-dev'))).toEqual(['vfio1']);
  });

  it("a refusal by the device's actor leaves the device without driver and node", () => {
    const bench = sealedBench({ device: { probe: () => fail('EIO') } });
    const fs = files(bench);
    fs.write(dev('02:01.0', 'driver_override'), 'vfio-pci');
    expect(fs.write(drv('vfio-pci', 'bind'), '0000:02:01.0')).toBe('EIO');
    expect(fs.readlink(dev('02:01.0', 'driver'))).toBe('ENOENT');
    expect(fs.list('/dev/vfio/devices')).toBe('ENOENT');
    expect(bench.core.check()).toEqual([]);
  });

  it('the cdev node appears only when the device has answered its probe', () => {
    const bench = sealedBench({
      device: { probe: ({ bdf }: { bdf: string }) => (bdf === '0000:01:00.0' ? HOLD : { ok: true }) },
    });
    const fs = files(bench);
    fs.write(dev('01:00.0', 'driver/unbind'), '0000:01:00.0');
    fs.write(dev('01:00.0', 'driver_override'), 'vfio-pci');
    const bound = bench.ask(CLIENT, groupsApi.sysfsWrite, { path: drv('vfio-pci', 'bind'), data: '0000:01:00.0' });
    expect(fs.resolve('/dev/vfio/devices/vfio4')).toBe('ENOENT');
    bench.answer('device.probe', { ok: true });
    expect(bound.value).toEqual({ ok: true, value: 12 });
    expect(fs.resolve('/dev/vfio/devices/vfio4')).toBe('device:0000:01:00_0');
  });

  it('dynamic ids and overrides are bounded', () => {
    const bench = sealedBench();
    const fs = files(bench);
    const room = LIMITS.dynamicIds - bench.core.host!.drivers.get('vfio-pci')!.dynamicIds.length;
    for (let i = 0; i < room; i++) fs.write(drv('vfio-pci', 'new_id'), `abcd ${i.toString(16)}`);
    expect(fs.write(drv('vfio-pci', 'new_id'), 'abcd ffff')).toBe('ENOMEM');
    expect(bench.core.host!.drivers.get('vfio-pci')!.dynamicIds.length).toBe(LIMITS.dynamicIds);
    expect(fs.write(dev('00:03.0', 'driver_override'), 'x'.repeat(4095))).toBe('EINVAL');
    expect(fs.write(dev('00:03.0', 'driver_override'), 'x'.repeat(4094))).toBe(4094);
  });

  it('tells the device what it is', () => {
    const bench = sealedBench();
    const fs = files(bench);
    fs.write(dev('01:00.0', 'driver/unbind'), '0000:01:00.0');
    fs.write(dev('01:00.0', 'driver_override'), 'vfio-pci');
    fs.write(drv('vfio-pci', 'bind'), '0000:01:00.0');
    expect(callsTo(bench)).toEqual(['device.probe 0000:01:00.0']);
    expect(bench.heard.at(-1)!.args).toEqual({
      bdf: '0000:01:00.0',
      minor: 4,
      vendor: 0x8086,
      device: 0x10d3,
      classCode: 0x020000,
      pcie: true,
      model: '',
      config: new Uint8Array(0),
      bars: [
        { index: 0, size: 131072, io: false, wide: true, prefetchable: true },
        { index: 2, size: 32, io: true, wide: false, prefetchable: false },
      ],
      profile: '6.12',
      busReset: true,
      sriov: false,
      msixGrows: true,
      exportsBars: true,
      msiAddress: 0xfee00000n,
      messages: 'handle',
      powerFixed: false,
      vf: false,
      noiommu: false,
      atomicOps: 0,
      vga: false,
      igd: undefined,
    });
  });
});

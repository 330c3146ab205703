/**
 * Capability 95: SR-IOV of a PF that a user drives: VFs come as functions of their own, for vfio-pci only, and go with the PF
 * (semantics A3.8, I47).
 */
import { PF, SriovHost, VF } from './support/sriov.js';

const VFS = [VF, '0000:01:10.2', '0000:01:10.4'];
const REST = ['0000:00:01.0', PF];

it('95: VFs appear with groups of their own, captured by vfio-pci, and go without a trace', async () => {
  const host = await SriovHost.boot('6.12');
  await host.toVfio(PF);
  expect(await host.numVfs(3)).toBe('ENOENT');
  await host.write('/sys/module/vfio_pci/parameters/enable_sriov', '1');
  const before = host.host.meaning('iommu');
  expect([await host.numVfs(3), await host.functions()]).toEqual([1, [...REST, ...VFS]]);
  const groups = await Promise.all([PF, ...VFS].map((bdf) => host.link(bdf, 'iommu_group')));
  expect(new Set(groups).size).toBe(4);
  for (const bdf of VFS)
    expect([await host.link(bdf, 'driver'), await host.read(bdf, 'driver_override')]).toEqual([
      'vfio-pci',
      'vfio-pci\n',
    ]);
  await host.write(`/sys/bus/pci/devices/${PF}/driver/unbind`, PF);
  expect([await host.functions(), await host.link(PF, 'driver')]).toEqual([REST, 'ENOENT']);
  expect(host.host.meaning('iommu')).toEqual(before);
  expect(host.host.broken()).toEqual([]);
});

it('95: a VF has its PF’s ids and class, no BAR registers and no INTx', async () => {
  const host = await SriovHost.boot('6.12');
  await host.numVfs(1);
  expect([await host.link(VF, 'driver'), await host.link(VF, 'physfn')]).toEqual(['igbvf', PF]);
  await host.toVfio(VF);
  const vf = await host.opener('vf', VF);
  expect(await vf.byGroup(undefined, true)).toBe('fd');
  const header = await vf.header(64);
  expect(header.slice(0, 12)).toBe('8680ca100200');
  expect([header.slice(18, 24), header.slice(32, 80), header.slice(122, 124)]).toEqual([
    '000002',
    `0c${'0'.repeat(46)}`,
    '00',
  ]);
  expect(await host.numVfs(2)).toBe('EBUSY');
  await vf.exit();
  expect(await host.numVfs(0)).toBe(1);
  expect(await host.functions()).toEqual(REST);
});

it('95: switching them off waits for who has one open', async () => {
  const host = await SriovHost.boot('6.12');
  await host.numVfs(1);
  await host.toVfio(VF);
  const vf = await host.opener('vf', VF);
  await vf.byGroup(undefined, true);
  let done = false;
  const off = host.root.sysfsWrite(`/sys/bus/pci/devices/${PF}/sriov_numvfs`, '0').then((r) => ((done = true), r));
  await host.host.run(host.root.link.ports.sleep(500));
  expect(done).toBe(false);
  await vf.close();
  expect(await host.host.run(off)).toEqual({ ok: true, value: 1 });
  await vf.exit();
  expect(host.host.broken()).toEqual([]);
  expect(host.host.figures(`device:${VF.replace('.', '_')}`)).toEqual({
    files: 0,
    madeFiles: 0,
    bound: 0,
    heldEventfds: 0,
  });
});

it('95: a groups service that crashes has its VFs again', async () => {
  const host = await SriovHost.boot('6.12');
  await host.userPf(2);
  const before = host.host.meaning('groups');
  host.host.host.crash('groups', 50);
  expect(await host.functions()).toEqual([...REST, ...VFS.slice(0, 2)]);
  expect(host.host.meaning('groups')).toEqual(before);
  expect(await host.numVfs(0)).toBe(1);
  expect(host.host.broken()).toEqual([]);
});

/** Faults of devices in a host at rest: what is lasting outlives a restart of every service. */
import { FaultLab, CARD, ENGINE, RICH } from '../../../../../test/capabilities/support/fault-lab.js';
import { lostByRestart } from '../restart.js';

it('nothing of a fault is lost by a restart', async () => {
  const lab = await FaultLab.boot({ iommu: 'intel-vtd-scalable', card: 'gpu reset=10 stuck-every=3' });
  const p = await lab.host.program('vmm');
  for (const bdf of [ENGINE!, CARD!, RICH!]) await p.device(bdf);
  for (const [bdf, kind, more] of [
    [ENGINE, 'slow-link', { delay: 5 }],
    [ENGINE, 'failing-reset', { count: 7 }],
    [ENGINE, 'aer-fatal', {}],
    [ENGINE, 'aer-correctable', {}],
    [CARD, 'stuck-reset', { ms: 500, count: 2 }],
    [RICH, 'ats-timeout', {}],
    [CARD, 'link-down', {}],
  ] as const)
    expect([kind, await lab.fault(bdf!, kind, more)]).toEqual([kind, '']);
  for (const bdf of [ENGINE!, CARD!, RICH!])
    expect(await p.attempt(p.process.listdir(`/sys/bus/pci/devices/${bdf}`))).toBeDefined();
  const { host } = lab.host.host;
  const quiet = host.addresses().filter((address) => host.actor(address)!.machine.idle);
  expect(quiet).toEqual(expect.arrayContaining(['iommu', `device:${ENGINE!.replace('.', '_')}`]));
  for (const address of quiet) expect(lostByRestart(address, host.actor(address)!.machine.core)).toEqual([]);
  expect(
    host
      .actor(`device:${ENGINE!.replace('.', '_')}`)!
      .machine.core.describe()
      .join('\n'),
  ).toMatch(/faults: 7 resets fail, reads take 5 ms, 1 errors corrected/);
});

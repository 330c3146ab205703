import { jest } from '@jest/globals';
import type { Address, Core } from '@vfiolab/core';
import { MigratableEngine } from '../../devices/src/migratable-engine.js';
import { IommuCore } from '@vfiolab/iommu';
import { IommufdCore } from '@vfiolab/iommufd';
import { disagreements, lostByMigration, makeCore, SERVICES } from './index.js';

const DEVICE = 'device:0000:00:03_0';
type Claims = ReturnType<IommufdCore['claims']>;

/** A host at rest, of which one service says something else than it should. */
function said(claims: Partial<Claims>, standing: readonly { bdf: string; request: number }[] = []): string[] {
  const cores = new Map<Address, Core>(SERVICES.map((each) => [each, makeCore(each)!]));
  cores.set(DEVICE, makeCore(DEVICE)!);
  const [iommufd, iommu] = [cores.get('iommufd') as IommufdCore, cores.get('iommu') as IommuCore];
  const own = iommufd.claims();
  iommufd.claims = () => ({ ...own, ...claims });
  iommu.pageRequests = () => [...standing];
  return disagreements((address) => cores.get(address));
}

it('I45: a device that loses something on its way to another host is found', async () => {
  const { FaultLab, ENGINE } = await import('../../../test/capabilities/support/fault-lab.js');
  const lab = await FaultLab.boot({ engine: 'migratable-engine' });
  const device = await (await lab.host.program('vmm')).device(ENGINE!);
  await device.write(0x80, 0x1234n, 8);
  const { core } = lab.host.host.host.actor(`device:${ENGINE!.replace('.', '_')}`)!.machine;
  expect(lostByMigration(core)).toEqual([]);
  const load = jest.spyOn(MigratableEngine.prototype, 'load').mockReturnValue(true);
  expect(lostByMigration(core)).toEqual([expect.stringMatching(/^I45: a migratable-engine/)]);
  load.mockRestore();
});

const request = (n: number) => ({ bdf: '0000:00:03.0', request: n });

it.each<[string, Partial<Claims>, ReturnType<typeof request>[], string[]]>([
  ['nothing', {}, [], []],
  ['a request that waits on both sides', { requests: [request(1)] }, [request(1)], []],
  [
    'registers of a function that does not answer',
    { lenders: [DEVICE] },
    [],
    ['I39: registers of 0000:00:03.0 are mapped for DMA, and do not answer'],
  ],
  [
    'a request that nobody made',
    { requests: [request(1)] },
    [],
    ['I49: nobody waits for page request 0000:00:03.0 #1'],
  ],
  ['a request that nobody has', {}, [request(2)], ['I49: nobody will answer page request 0000:00:03.0 #2']],
  [
    'one that is in two queues',
    { requests: [request(3), request(3)] },
    [request(3)],
    ['I50: page request 0000:00:03.0 #3 is queued twice'],
  ],
])('%s', (_what, claims, standing, broken) => expect(said(claims, standing)).toEqual(broken));

/**
 * Do devices and the other services agree about memory that is lent out, and about pages that are asked for?
 *
 * Rule: asked when no operation is in flight anywhere; it looks at states and asks nobody.
 */
import { type Core, deviceOf } from '@vfiolab/core';
import { DeviceCore, type DeviceNow } from '@vfiolab/vfio';
import { type CoreOf, type Said, saidBy } from './said.js';

/** A function of a vfio driver; undefined: there is none. */
export function deviceAt(coreOf: CoreOf, address: string): DeviceNow | undefined {
  const core = coreOf(address);
  return core instanceof DeviceCore ? core.now() : undefined;
}

/** What a device would lose on its way to another host, in words. */
export const lostByMigration = (core: Core): string[] => (core instanceof DeviceCore ? core.lostByMigration() : []);

export function wrongDevices(coreOf: CoreOf): string[] {
  const said = saidBy(coreOf);
  return said ? [...wrongLenders(said, coreOf), ...wrongRequests(said)] : [];
}

/** I39: registers that do not answer are shown to nobody. */
function wrongLenders({ iommufd }: Said, coreOf: CoreOf): string[] {
  return iommufd.lenders
    .filter((address) => deviceAt(coreOf, address)?.lends !== true)
    .map((address) => `I39: registers of ${deviceOf(address)} are mapped for DMA, and do not answer`);
}

/** I49, I50: a request stands at the IOMMU as long as it is in one queue, and only there. */
function wrongRequests({ iommufd, iommu }: Said): string[] {
  const names = (all: readonly { readonly bdf: string; readonly request: number }[]): string[] =>
    all.map(({ bdf, request }) => `${bdf} #${request}`);
  const [queued, standing] = [names(iommufd.requests), names(iommu.pageRequests())];
  return [
    ...queued
      .filter((name, i) => queued.indexOf(name) !== i)
      .map((name) => `I50: page request ${name} is queued twice`),
    ...queued.filter((name) => !standing.includes(name)).map((name) => `I49: nobody waits for page request ${name}`),
    ...standing.filter((name) => !queued.includes(name)).map((name) => `I49: nobody will answer page request ${name}`),
  ];
}

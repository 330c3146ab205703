/**
 * What the IOMMU has to know of the machine besides its groups: its units, and what functions bring.
 *
 * Rule: a function is named only when it brings something, or is behind another unit than the first, so a host of plain ones
 * costs nothing.
 */
import type { ArgsOf, Endpoint, iommuApi } from '@vfiolab/core';
import { translationCaps, type PciFunction, type Topology } from '@vfiolab/pci';
import type { Host } from './host.js';

/** Profile, units and endpoints, in address order. */
export function configurationOf({ setup, topology }: Host): ArgsOf<typeof iommuApi.configure> {
  const units = topology.iommuUnits.map(({ functions: _, ...unit }) => unit);
  return { profile: setup.profile, pageShift: setup.pageShift, units, endpoints: endpointsOf(topology, () => true) };
}

/** Of those functions, the ones that bring something. */
export const endpointsOf = (topology: Topology, of: (f: PciFunction) => boolean): Endpoint[] =>
  topology.functions
    .filter(of)
    .map((f) => endpointOf(topology, f))
    .filter(bringsSomething);

const endpointOf = (topology: Topology, f: PciFunction): Endpoint => ({
  bdf: f.bdf,
  unit: topology.iommuUnitOf(f),
  ...translationCaps(f),
});

const bringsSomething = ({ unit, ats, pri, pasidBits }: Endpoint): boolean => unit > 0 || ats || pri || pasidBits > 0;

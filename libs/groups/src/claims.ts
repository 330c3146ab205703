/**
 * Who owns groups and has devices open, as this service has it; for comparing with what owners and devices say (I14-I16, I56).
 *
 * Rule: it only reads, and is asked when no operation is in flight.
 */
import { type DmaOwner, hasIommu, type Host, passables } from './host.js';

export interface GroupsClaims {
  /** Groups behind an IOMMU. `count`: claims of the owner. */
  readonly groups: readonly { readonly id: number; readonly owner: DmaOwner; readonly count: number }[];
  /** Groups that were put into containers. */
  readonly contained: readonly { readonly group: number; readonly noiommu: boolean; readonly container: number }[];
  /** Devices with a vfio driver. `cdevClaims`: cdevs that were granted a BIND; `inUse`: opens of it through its group. */
  readonly devices: readonly { readonly name: string; readonly cdevClaims: number; readonly inUse: number }[];
}

export function claimsOf(host: Host): GroupsClaims {
  return {
    groups: [...host.groups.values()].filter(hasIommu).map(({ id, owner, count }) => ({ id, owner, count })),
    contained: [...host.vfioGroups.values()].flatMap(({ iommuGroup, backing }) =>
      backing.kind === 'container'
        ? [{ group: iommuGroup.id, noiommu: iommuGroup.noiommu, container: backing.container }]
        : [],
    ),
    devices: [...passables(host)].flatMap(({ name, vfio, cdevClaims }) =>
      vfio ? [{ name, cdevClaims, inUse: vfio.uses.length }] : [],
    ),
  };
}

/**
 * Directories of IOMMU groups, below /sys/kernel/iommu_groups.
 *
 * Rule: what a group is called, and whether at all, follows from who made it.
 */
import { call, IOMMU, iommuApi, type Op, type ReservedRegion } from '@vfiolab/core';
import { endpointNumber } from '@vfiolab/pci';
import { hasIommu, type Host, type IommuGroup } from './host.js';
import { type DirNode, fixedDir, listDir, type Node, text } from './nodes.js';
import { formatRegions, mergeRegions } from './reserved-regions.js';

/** `member`: the link to one of its devices. PCI groups have no `name` file: only those of POWER, and those that vfio makes, mediated devices' too, whose domain is none. */
export const groupFiles = (host: Host, group: IommuGroup, member: (name: string) => Node | undefined): DirNode =>
  fixedDir({
    devices: () => listDir(() => [...group.members], member),
    name: () => groupName(host, group),
    reserved_regions: () => ({ kind: 'attribute', show: () => showRegions(group) }),
    type: () => text(() => (hasIommu(group) ? host.iommu.defaultDomain : 'unknown')),
  });

function groupName({ iommu, topology, devices }: Host, group: IommuGroup): Node | undefined {
  if (!hasIommu(group)) return text(() => 'vfio-noiommu');
  const first = devices.get(group.members[0]!)?.facts;
  const { endpoints } = iommu;
  if (!endpoints || !first) return undefined;
  const number = endpointNumber(topology, endpoints, first);
  return text(() => `domain${first.domain.toString(16)}-pe${number.toString(16)}`);
}

function* showRegions(group: IommuGroup): Op<string> {
  const regions: ReservedRegion[] = [];
  for (const bdf of group.members) regions.push(...(yield* call(IOMMU, iommuApi.reservedRegions, { bdf })));
  return formatRegions(mergeRegions(regions));
}

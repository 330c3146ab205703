/**
 * Do owners of groups, and devices, agree with what the groups service says of them, and the IOMMU with both? (I14-I16, I27,
 * I56)
 *
 * Rule: asked when no operation is in flight anywhere, of a host on which everything was done by system calls; it looks at
 * states and asks nobody.
 */
import { BLOCKING, deviceAddress, KERNEL } from '@vfiolab/core';
import type { GroupsClaims } from '@vfiolab/groups';
import { DeviceCore } from '@vfiolab/vfio';
import { type CoreOf, type Said, saidBy } from './said.js';

/** What is not so of owners, in words. `coreOf`: the running core of an address. */
export function wrongOwners(coreOf: CoreOf): string[] {
  const said = saidBy(coreOf);
  if (!said?.groups) return [];
  const { groups } = said;
  return [
    ...groups.groups.flatMap((group) => wrongOwner(group, said)),
    ...unowned(groups, said),
    ...wrongContainers(groups, said),
    ...groups.devices.flatMap((device) => wrongOpens(device, coreOf)),
    ...nobodys(said),
  ];
}

/** I12, I14: the owner says so too, and as often. I56, I07: DMA goes where the owner sends it, or nowhere. */
function wrongOwner({ id, owner, count }: GroupsClaims['groups'][number], said: Said): string[] {
  const { iommufd, containers, iommu } = said;
  const broken: string[] = [];
  let domain = owner.kind === 'none' || owner.kind === 'kernel' ? KERNEL : BLOCKING;
  if (owner.kind === 'context') {
    const claim = iommufd.groups.find((g) => g.group === id && g.context === owner.context);
    if (claim?.devices !== count)
      broken.push(
        `I14: group ${id} has ${count} claims of context ${owner.context}, which has ${claim?.devices ?? 0} devices of it`,
      );
    domain = claim?.domain ?? BLOCKING;
  } else if (owner.kind === 'container') {
    const claim = containers.groups.find((g) => g.group === id && g.container === owner.container);
    if (!claim) broken.push(`I12: group ${id} is owned by container ${owner.container}, which does not have it`);
    domain = claim?.domain ?? BLOCKING;
  }
  const attached = iommu.attachment(id);
  if (attached !== undefined && attached !== domain)
    broken.push(
      `I56: group ${id} is owned by ${owner.kind}, which has it in ${domain}; the IOMMU has it in ${attached}`,
    );
  return broken;
}

/** I14: a context has devices of a group only while it owns it. */
function unowned(groups: GroupsClaims, { iommufd }: Said): string[] {
  return iommufd.groups.flatMap(({ context, group, devices }) => {
    const found = groups.groups.find(({ id }) => id === group);
    if (!found || devices === 0) return [];
    const { owner } = found;
    if (owner.kind === 'context' && owner.context === context) return [];
    return [`I14: context ${context} has ${devices} devices of group ${group}, whose owner is ${owner.kind}`];
  });
}

const keyOf = ({ group, noiommu, container }: { group: number; noiommu: boolean; container: number }): string =>
  `${noiommu ? 'noiommu-' : ''}${group} in container ${container}`;

/** I15: a group is in the container that it was put into, and in no other. */
function wrongContainers(groups: GroupsClaims, { containers }: Said): string[] {
  const put = groups.contained.map(keyOf);
  const there = containers.groups.map(keyOf);
  return [
    ...put.filter((each) => !there.includes(each)).map((each) => `I15: group ${each}, and the container does not know`),
    ...there.filter((each) => !put.includes(each)).map((each) => `I15: group ${each}, and nobody put it there`),
  ];
}

/** I16: the groups service knows how the device is open. */
function wrongOpens({ name, cdevClaims, inUse }: GroupsClaims['devices'][number], coreOf: CoreOf): string[] {
  const core = coreOf(deviceAddress(name));
  if (!(core instanceof DeviceCore)) return [];
  const opens = core.opens();
  if (!opens) return [`I16: ${name} is bound to a vfio driver, and its service knows of none`];
  const broken: string[] = [];
  if (cdevClaims !== (opens.bound ? 1 : 0))
    broken.push(`I16: ${name} has ${cdevClaims} cdev claims, and is ${opens.bound ? '' : 'not '}bound`);
  if (inUse !== (opens.shared ? 1 : 0))
    broken.push(`I16: ${name} is ${opens.shared ? '' : 'not '}open through its group, which counts ${inUse}`);
  return broken;
}

/** I27: a domain, and a store, is somebody's. */
function nobodys({ iommufd, containers, iommu, pages }: Said): string[] {
  const domains = new Set([...iommufd.hwpts, ...containers.domains.map(({ domain }) => domain)]);
  const stores = new Set([...iommufd.stores, ...containers.stores]);
  const left = iommu.domainIds().filter((id) => !domains.has(id));
  const kept = [...pages.stores.all()].filter(({ id }) => !stores.has(id));
  return [...left.map((id) => `I27: nobody has domain ${id}`), ...kept.map(({ id }) => `I27: nobody has store ${id}`)];
}

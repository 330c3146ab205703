/**
 * The state looked at from outside: broken invariants, and lines for people.
 *
 * Rule: it only reads. It is asked when no operation is in flight, so a DMA that is still counted has been lost.
 */
import { BLOCKING, KERNEL } from '@vfiolab/core';
import type { Domain, Domains } from './domain.js';
import { IOVA_LIMIT } from './page-table.js';
import { attachmentName, type Group, MAX_FAULTS, type Unit } from './unit.js';

/** Numbers are those of the project's invariants. */
export function checkUnit(unit: Unit, domains: Domains): string[] {
  const users = new Map<number, number>();
  for (const { attached } of unit.groups.values()) users.set(attached, (users.get(attached) ?? 0) + 1);
  for (const id of unit.pasidDomains()) users.set(id, (users.get(id) ?? 0) + 1);
  return [
    ...unit.sortedGroups().flatMap((g) => checkGroup(g, unit, domains)),
    ...unit
      .sortedFunctions()
      .flatMap(({ bdf, group, faults, requests, pasids }) => [
        ...(group.members.includes(bdf) && unit.groups.get(group.id) === group
          ? []
          : [`I08: ${bdf} is not in its group ${group.id}`]),
        ...([...requests.values()].every(({ pasid }) => pasid === 0 || pasids.has(pasid))
          ? []
          : [`I49: ${bdf} waits for a page of a PASID that is not attached`]),
        ...(requests.size > 0 && group.attached <= BLOCKING && pasids.size === 0
          ? [`I49: ${bdf} waits for pages and is attached to nothing`]
          : []),
        ...(faults.length > MAX_FAULTS ? [`${bdf} keeps ${faults.length} faults`] : []),
      ]),
    ...domains.sorted().flatMap((d) => checkDomain(d, users.get(d.id) ?? 0, domains)),
    ...domains.drainingIds().map((id) => `I04: domain ${id} is freed and never drained`),
  ];
}

function checkGroup({ id, members, attached }: Group, unit: Unit, domains: Domains): string[] {
  const out: string[] = [];
  if (attached > BLOCKING && !domains.get(attached))
    out.push(`I01: group ${id} is attached to domain ${attached}, which is freed`);
  for (const bdf of members)
    if (unit.functions.get(bdf)?.group.id !== id) out.push(`I08: group ${id} names ${bdf}, which is in another`);
  return out;
}

function checkDomain(
  { id, table, attached, inFlight, endPage, nested, format }: Domain,
  users: number,
  all: Domains,
): string[] {
  const out = table.check(format.takesNoPermission).map((problem) => `I03: domain ${id}: ${problem}`);
  if (users !== attached) out.push(`domain ${id} counts ${attached} groups, ${users} are attached`);
  if (inFlight.size > 0) out.push(`I05: domain ${id} waits for ${inFlight.size} DMAs that nobody runs`);
  if (nested && !all.get(nested.parent)) out.push(`I30: nested domain ${id} has lost its parent ${nested.parent}`);
  if (!table.isFree(endPage, IOVA_LIMIT - endPage)) out.push(`I03: domain ${id} maps beyond its aperture`);
  return out;
}

/** What is left of users: all 0 when every group is the kernel's again. Pages are granules. */
export function figuresOf(unit: Unit, domains: Domains): Record<string, number> {
  const all = domains.sorted();
  return {
    domains: all.length,
    mappedPages: all.reduce((sum, { table }) => sum + table.mapped, 0),
    pageRequests: unit.sortedFunctions().reduce((sum, { requests }) => sum + requests.size, 0),
    parked: unit.sortedFunctions().filter(({ parked }) => parked).length,
    ownedGroups: unit.sortedGroups().filter((g) => g.attached !== KERNEL).length,
  };
}

export function describeUnit(unit: Unit, domains: Domains): string[] {
  return [
    `iommu ${unit.kind || 'not set up'}: ${unit.functions.size} functions in ${unit.groups.size} groups`,
    ...unit
      .sortedGroups()
      .map((g) => `group ${g.id}: ${attachmentName(g.attached)}${g.frozen ? ', frozen' : ''}: ${g.members.join(' ')}`),
    ...domains.sorted().map(describeDomain),
    ...[...unit.unprotected].map(([bdf, count]) => `${bdf}: ${count} DMAs without an IOMMU, unprotected`),
    ...unit
      .sortedFunctions()
      .filter((f) => f.faults.length > 0)
      .map(({ bdf, faults }) => {
        const { iova, write, reason } = faults[faults.length - 1]!;
        return `${bdf}: ${faults.length} faults, last: ${write ? 'write' : 'read'} at 0x${iova.toString(16)}: ${reason}`;
      }),
  ];
}

const describeDomain = ({ id, table, attached, format }: Domain): string =>
  `domain ${id}: ${table.mapped * 2 ** format.granule} bytes mapped, ${table.tables} tables, ${attached} groups attached`;

/**
 * Invariants of a context, checked from both sides (numbers I14, I27, I33-I36; those of an IOAS are in check-ioas.ts).
 *
 * Rule: asked when no operation is in flight, so nothing may be half made or half gone.
 */
import {
  type BoundDevice,
  type Context,
  isAccess,
  isDevice,
  isFaultQueue,
  isHwpt,
  isHwQueue,
  isIoas,
  isMockObject,
  isNested,
  isVdevice,
  isVeventQueue,
  isViommu,
} from './context.js';
import { checkIoas } from './check-ioas.js';
import type { IommufdObject } from './objects.js';
import type { Viommu } from './viommu.js';

export function checkContext(c: Context): string[] {
  const objects = c.objects.all();
  return objects
    .flatMap((o) => [...checkUsers(c, o), ...checkReferences(c, o), ...(isIoas(o) ? checkIoas(c, o) : [])])
    .concat(objects.filter(isHwpt).flatMap((h) => checkAuto(c, h.id, h.auto)))
    .concat(objects.filter(isVeventQueue).flatMap((q) => q.check()))
    .concat(checkTable(c))
    .map((broken) => `context ${c.id}: ${broken}`);
}

/** I33: one reference of the table, and one of each long-term holder. */
function checkUsers(c: Context, o: IommufdObject): string[] {
  const expected = 1 + holders(c, o);
  return o.users === expected ? [] : [`I33: ${o.type} ${o.id} counts ${o.users} users, ${expected} hold it`];
}

function holders(c: Context, o: IommufdObject): number {
  const all = c.objects.all();
  const nested = (parent: IommufdObject): number =>
    all.filter((h) => (isNested(h) && !h.viommu && h.parent === parent) || (isViommu(h) && h.hwpt === parent)).length;
  if (isIoas(o)) return all.filter((h) => (isHwpt(h) || isAccess(h)) && h.ioas === o).length;
  if (isHwpt(o) || isNested(o)) return attachedTo(c, o.id).length + pasidsOn(c, o.id) + nested(o);
  if (isFaultQueue(o))
    return (o.fileOpen ? 1 : 0) + all.filter((h) => (isHwpt(h) || isNested(h)) && h.fault === o).length;
  if (isViommu(o)) return all.filter((h) => standsOn(h, o)).length + (o.window?.mappings ?? 0);
  if (isHwQueue(o)) return all.filter((h) => isHwQueue(h) && h.before === o.id).length;
  if (isVeventQueue(o)) return o.fileOpen ? 1 : 0;
  if (isAccess(o)) return 1;
  return isDevice(o) ? 1 + (o.attached ? 1 : 0) + o.igroup.pasids.filter((p) => p.device === o).length : 0;
}

/** No chain of references is longer: a vDEVICE's leads to its device, a HWPT, a vIOMMU, its parent, an IOAS. */
const MAX_DEPTH = 16;

const standsOn = (o: IommufdObject, viommu: Viommu): boolean =>
  (isNested(o) || isVdevice(o) || isVeventQueue(o) || isHwQueue(o)) && o.viommu === viommu;

const pasidsOn = (c: Context, hwpt: number): number =>
  [...c.igroups.values()].flatMap((g) => g.pasids.filter((p) => p.hwpt.id === hwpt)).length;

const attachedTo = (c: Context, hwpt: number): BoundDevice[] =>
  [...c.igroups.values()].flatMap((g) => (g.hwpt?.id === hwpt ? g.attached : []));

function checkAuto(c: Context, id: number, auto: boolean): string[] {
  return auto && attachedTo(c, id).length === 0 ? [`I36: auto HWPT ${id} has no device`] : [];
}

/** I34: an id names one object, dead ids name none, and nothing was begun and never published. I27: who is gone is gone. */
function checkTable(c: Context): string[] {
  const broken: string[] = [];
  for (const id of c.objects.tombstones)
    if (c.objects.get(id)) broken.push(`I34: id ${id} is dead and names a ${c.objects.get(id)!.type}`);
  for (const id of c.objects.unpublished) broken.push(`I34: id ${id} was reserved and never published`);
  if (c.compatIoas && c.objects.get(c.compatIoas.id) !== c.compatIoas)
    broken.push(`I34: the compatibility IOAS ${c.compatIoas.id} is destroyed`);
  if (c.abandoned) broken.push('I27: nobody can reach it any more');
  return broken;
}

/**
 * I35: what an object refers to has not been destroyed. I33: references lead to what was there before, so that no cycle can
 * come about.
 */
function checkReferences(c: Context, o: IommufdObject): string[] {
  return references(o).flatMap((to) => {
    if (c.objects.get(to.id) !== to)
      return [`I35: ${o.type} ${o.id} refers to ${to.type} ${to.id}, which is destroyed`];
    return reaches(to, o) ? [`I33: ${o.type} ${o.id} refers to itself by way of ${to.type} ${to.id}`] : [];
  });
}

/** What the object cannot do without. */
function references(o: IommufdObject): IommufdObject[] {
  if (isHwpt(o)) return [o.ioas, ...(o.fault ? [o.fault] : [])];
  if (isNested(o)) return [o.parent, ...(o.viommu ? [o.viommu] : []), ...(o.fault ? [o.fault] : [])];
  if (isViommu(o)) return [o.hwpt];
  if (isVdevice(o)) return [o.viommu, o.device];
  if (isVeventQueue(o)) return [o.viommu];
  // The queue before it is counted by its id: see `holders`.
  if (isHwQueue(o)) return [o.viommu, o.access];
  if (isAccess(o)) return o.ioas ? [o.ioas] : [];
  if (isMockObject(o)) return [o.device];
  return isDevice(o) ? hwptsOf(o) : [];
}

const hwptsOf = (device: BoundDevice): IommufdObject[] => [
  ...(device.attached ? [device.igroup.hwpt!] : []),
  ...device.igroup.pasids.filter((p) => p.device === device).map(({ hwpt }) => hwpt),
];

const reaches = (from: IommufdObject, to: IommufdObject, depth = 0): boolean =>
  from === to || depth > MAX_DEPTH || references(from).some((next) => reaches(next, to, depth + 1));

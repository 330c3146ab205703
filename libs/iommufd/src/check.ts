/** Invariants of a context, checked from both sides (spec numbers I28, I30, I32, I33, I36, I14). */
import {
  type BoundDevice,
  type Context,
  isAccess,
  isDevice,
  isFaultQueue,
  isHwpt,
  isHwQueue,
  isIoas,
  isNested,
  isVdevice,
  isVeventQueue,
  isViommu,
} from './context.js';
import { areaLength, type Ioas, pageOffset } from './ioas.js';
import type { IommufdObject } from './objects.js';
import type { Viommu } from './viommu.js';
import { overlaps } from './spans.js';

export function checkContext(c: Context): string[] {
  const objects = c.objects.all();
  return objects
    .flatMap((o) => [...checkUsers(c, o), ...(isIoas(o) ? checkIoas(o) : [])])
    .concat(objects.filter(isHwpt).flatMap((h) => checkAuto(c, h.id, h.auto)))
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

const standsOn = (o: IommufdObject, viommu: Viommu): boolean =>
  (isNested(o) || isVdevice(o) || isVeventQueue(o) || isHwQueue(o)) && o.viommu === viommu;

const pasidsOn = (c: Context, hwpt: number): number =>
  [...c.igroups.values()].flatMap((g) => g.pasids.filter((p) => p.hwpt.id === hwpt)).length;

const attachedTo = (c: Context, hwpt: number): BoundDevice[] =>
  [...c.igroups.values()].flatMap((g) => (g.hwpt?.id === hwpt ? g.attached : []));

function checkAuto(c: Context, id: number, auto: boolean): string[] {
  return auto && attachedTo(c, id).length === 0 ? [`I36: auto HWPT ${id} has no device`] : [];
}

function checkIoas(ioas: Ioas): string[] {
  const broken: string[] = [];
  const pinned = ioas.accesses.flatMap((access) => access.items.flatMap((item) => item.slices));
  const at = (v: bigint): string => `IOAS ${ioas.id}, IOVA 0x${v.toString(16)}`;
  if (ioas.alignment !== ioas.wantedAlignment()) broken.push(`I30: IOAS ${ioas.id} has alignment ${ioas.alignment}`);
  for (const a of ioas.areas) {
    if (ioas.reserved.some((r) => overlaps(r, a))) broken.push(`I28: ${at(a.start)} is mapped and reserved`);
    if ((a.start | areaLength(a) | pageOffset(a)) & (ioas.alignment - 1n))
      broken.push(`I30: ${at(a.start)} is misaligned`);
    const byAccesses = pinned.filter((slice) => slice.area === a).length;
    if (a.accesses !== byAccesses)
      broken.push(`I20: ${at(a.start)} counts ${a.accesses} slices of accesses, they have ${byAccesses}`);
    if (a.state === 'live' && !a.store!.revoked && a.covers < Math.min(1, ioas.hwpts.length))
      broken.push(`I03: ${at(a.start)} is in no domain`);
    if (ioas.hwpts.length === 0 && a.covers > 0) broken.push(`I20: ${at(a.start)} is pinned without a domain`);
  }
  for (const a of ioas.allowed)
    if (ioas.reserved.some((r) => overlaps(r, a))) broken.push(`I28: ${at(a.start)} is allowed and reserved`);
  return broken;
}

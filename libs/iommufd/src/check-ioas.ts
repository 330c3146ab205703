/**
 * Invariants of an IOAS: I03, I20, I28-I32.
 *
 * Rule: every sentence is found by looking at the areas, domains and devices anew; nothing here asks what it judges.
 */
import { type BoundDevice, type Context, isDevice } from './context.js';
import { type Area, areaLength, type Ioas, smallestPage } from './ioas.js';
import { type IovaSpan, overlaps, U64_MAX } from './spans.js';

export function checkIoas(c: Context, ioas: Ioas): string[] {
  const areas = [...ioas.areas];
  const slices = slicesByArea(ioas);
  return [
    ...areas.flatMap((area, i) => checkArea(ioas, area, areas[i - 1], slices.get(area) ?? 0)),
    ...checkReserved(c, ioas),
    ...checkAlignment(ioas),
    ...checkRanges(ioas),
  ];
}

const at = (ioas: Ioas, v: bigint): string => `IOAS ${ioas.id}, IOVA 0x${v.toString(16)}`;

/** What accesses have pinned, by their own account. */
function slicesByArea(ioas: Ioas): Map<Area, number> {
  const slices = new Map<Area, number>();
  for (const { items } of ioas.accesses)
    for (const { area } of items.flatMap((item) => item.slices)) slices.set(area, (slices.get(area) ?? 0) + 1);
  return slices;
}

function checkArea(ioas: Ioas, a: Area, before: Area | undefined, slices: number): string[] {
  const broken: string[] = [];
  const where = at(ioas, a.start);
  if (a.last < a.start || (before && a.start <= before.last)) broken.push(`I28: ${where} is mapped twice`);
  if (ioas.reserved.some((r) => overlaps(r, a))) broken.push(`I28: ${where} is mapped and reserved`);
  if ((a.start | areaLength(a) | a.source) & (ioas.alignment - 1n)) broken.push(`I30: ${where} is misaligned`);
  for (const { id, domain } of ioas.hwpts)
    if (a.start < domain.first || a.last > domain.last) broken.push(`I32: ${where} is outside of HWPT ${id}`);
  if (a.accesses !== slices) broken.push(`I20: ${where} counts ${a.accesses} slices of accesses, they have ${slices}`);
  if (a.state === 'live' && !a.store!.revoked && a.covers < Math.min(1, ioas.hwpts.length))
    broken.push(`I03: ${where} is in no domain`);
  if (ioas.hwpts.length === 0 && a.covers > 0) broken.push(`I20: ${where} is pinned without a domain`);
  return broken;
}

/** I29: whoever reserved a range is still there. I28: nothing is allowed and reserved. */
function checkReserved(c: Context, ioas: Ioas): string[] {
  const devices = c.objects.all().filter(isDevice);
  const owners = new Set(['test', ...ioas.hwpts.map(({ id }) => `hwpt:${id}`)]);
  for (const device of devices) if (isOn(ioas, device)) owners.add(device.bdf);
  const broken = ioas.reserved
    .filter(({ owner }) => !owners.has(owner))
    .map(({ start, owner }) => `I29: ${at(ioas, start)} is reserved by ${owner}, which is gone`);
  for (const a of ioas.allowed)
    if (ioas.reserved.some((r) => overlaps(r, a))) broken.push(`I28: ${at(ioas, a.start)} is allowed and reserved`);
  return broken;
}

const isOn = (ioas: Ioas, { attached, igroup }: BoundDevice): boolean => attached && igroup.hwpt!.paging.ioas === ioas;

/** I30: as large as the largest that a domain, an access or small pages want, and never more than a page. */
function checkAlignment(ioas: Ioas): string[] {
  const wanted = [
    1n,
    ...ioas.hwpts.map(smallestPage),
    ...ioas.accesses.map(({ pins }) => (pins ? ioas.page : 1n)),
    ...(ioas.hugePages ? [] : [ioas.page]),
  ].reduce((a, b) => (a > b ? a : b));
  if (ioas.alignment !== wanted) return [`I30: IOAS ${ioas.id} has alignment ${ioas.alignment}, not ${wanted}`];
  return ioas.alignment > ioas.page ? [`I30: IOAS ${ioas.id} has alignment ${ioas.alignment}, over a page`] : [];
}

/** I31: what the user is told to be free, and what MAP refuses because it is reserved, are all there is, and apart. */
function checkRanges(ioas: Ioas): string[] {
  const free = ioas.ranges();
  const broken = free
    .filter((f) => ioas.reserved.some((r) => overlaps(f, r)))
    .map(({ start }) => `I31: ${at(ioas, start)} is told to be free and is reserved`);
  if (covered([...free, ...ioas.reserved]) !== U64_MAX + 1n)
    broken.push(`I31: IOAS ${ioas.id} has IOVAs that are neither free nor reserved`);
  return broken;
}

/** IOVAs in at least one of the spans. */
function covered(spans: readonly IovaSpan[]): bigint {
  let [sum, end] = [0n, 0n];
  for (const { start, last } of [...spans].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    const from = start > end ? start : end;
    if (last < from) continue;
    sum += last + 1n - from;
    end = last + 1n;
  }
  return sum;
}

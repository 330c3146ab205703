/** A backend of DMA windows for people, and what must always hold of it. Each sentence begins with the invariant's number. */
import type { JoinedGroup } from '../backend.js';
import { windowStart } from './platform.js';
import type { KernelBugs, Spapr } from './spapr.js';

const hex = (n: bigint): string => `0x${n.toString(16)}`;

function bugLines({ pastTheEnd, lostCharge, lostRegistrations }: KernelBugs): string[] {
  const lines = [
    pastTheEnd > 0 &&
      `kernel bug: ${pastTheEnd} TCEs were written behind the end of a window; the lab wrote none of them`,
    lostCharge > 0 && `kernel bug: ${lostCharge} frames are charged for tables that were refused`,
    lostRegistrations > 0 &&
      `kernel bug: ${lostRegistrations} registrations were dropped while mapped, and stay charged`,
  ];
  return lines.filter((line) => line !== false);
}

export function describeSpapr({ v2, enabled, owner, pending, windows, registered, domain, bugs }: Spapr): string[] {
  const state = `${enabled ? 'enabled' : 'not enabled'}, ${owner === undefined ? 'of nobody yet' : `of ${owner}`}`;
  return [
    `SPAPR TCE ${v2 ? 'v2' : 'v1'}: ${state}, domain ${domain ?? 'none'}, ${registered.length} registrations`,
    ...(pending ? ['default window still to be made'] : []),
    ...windows.flatMap((window, slot) => {
      if (!window) return [];
      const { place, table } = window;
      const head = `window ${slot} at ${hex(windowStart(place))}: ${place.entries} pages of 2^${place.pageShift} bytes`;
      return [head, ...[...table].map(({ entry, count, source }) => `  TCE ${entry} + ${count}, source ${source}`)];
    }),
    ...bugLines(bugs),
  ];
}

export function checkSpapr(spapr: Spapr, groups: readonly JoinedGroup[]): string[] {
  const { windows, v2, stores, host, registered } = spapr;
  const broken: string[] = [];
  const left = new Map<number, number>();
  for (const window of windows) {
    if (!window) continue;
    const { place, table } = window;
    let end = place.first;
    for (const { entry, count, source } of table) {
      if (entry < end) broken.push(`I28: TCE ${entry} is mapped twice`);
      end = entry + count;
      left.set(source, (left.get(source) ?? 0) + count * table.scale);
    }
    if (end > place.first + place.entries) broken.push(`I32: TCE ${end - 1} is outside of its window`);
  }
  if (!v2)
    for (const id of new Set([...left.keys(), ...stores.keys()]))
      if (left.get(id) !== stores.get(id))
        broken.push(`I20: store ${id} pins ${stores.get(id)} frames, ${left.get(id)} are in TCEs`);
  const ids = new Set([...host.registrations].map(({ id }) => id));
  if (registered.some((id) => !ids.has(id)) || (v2 && [...left.keys()].some((id) => !ids.has(id))))
    broken.push('I20: a registration that is in use is gone');
  const mine = spapr.groups.map((g) => g.group).sort((a, b) => a - b);
  const joined = groups.map((g) => g.group).sort((a, b) => a - b);
  if (mine.join() !== joined.join())
    broken.push(`I56: groups ${joined.join()} are in the container, ${mine.join()} in its backend`);
  return broken;
}

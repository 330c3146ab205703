/**
 * Reserved regions of a group: the union over its members, as /sys/kernel/iommu_groups/N/reserved_regions prints them.
 *
 * Rule: sorted by start, then type; regions of one type that touch or overlap are one line. (A1.11, [iommu.c])
 */
import type { ReservedRegion } from '@vfiolab/core';

/** The kernel's order of the types at one start, and its names: both kinds of MSI window print alike. */
const TYPES: Readonly<Record<ReservedRegion['type'], { readonly order: number; readonly text: string }>> = {
  direct: { order: 0, text: 'direct' },
  'direct-relaxable': { order: 1, text: 'direct-relaxable' },
  reserved: { order: 2, text: 'reserved' },
  msi: { order: 3, text: 'msi' },
  'sw-msi': { order: 4, text: 'msi' },
};

const before = (a: ReservedRegion, b: ReservedRegion): number =>
  a.start < b.start ? -1 : a.start > b.start ? 1 : TYPES[a.type].order - TYPES[b.type].order;

export function mergeRegions(regions: readonly ReservedRegion[]): ReservedRegion[] {
  const merged: ReservedRegion[] = [];
  for (const region of [...regions].sort(before)) {
    const at = merged.findLastIndex((each) => each.type === region.type);
    const last = merged[at];
    if (!last || region.start > last.last + 1n) merged.push(region);
    else if (region.last > last.last) merged[at] = { ...last, last: region.last };
  }
  return merged;
}

const address = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;

export const formatRegions = (regions: readonly ReservedRegion[]): string =>
  regions.map(({ start, last, type }) => `${address(start)} ${address(last)} ${TYPES[type].text}\n`).join('');

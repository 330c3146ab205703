/**
 * Does every entry of a domain lead to memory that is pinned? (I02, I04)
 *
 * Rule: this holds at every moment, also while operations are under way: memory is pinned before an entry leads to it, and
 * unpinned after.
 */
import { IOMMU, PAGES } from '@vfiolab/core';
import { IommuCore } from '@vfiolab/iommu';
import { PagesCore } from '@vfiolab/pages';
import type { CoreOf } from './said.js';

const FRAME = 4096;

/** Entries that lead to what is not pinned, in words. Registers and memory of devices, beyond the host's own, are not pinned. */
export function unpinnedEntries(coreOf: CoreOf): string[] {
  const [pages, iommu] = [coreOf(PAGES), coreOf(IOMMU)];
  if (!(pages instanceof PagesCore && iommu instanceof IommuCore)) return [];
  const { frames } = pages;
  const broken: string[] = [];
  for (const { domain, address, length } of iommu.reachable())
    if (address + length <= frames.total * FRAME && !frames.pinned(address, length))
      broken.push(`I02: domain ${domain} reaches ${length} bytes at ${address}, which are not all pinned`);
  return broken;
}

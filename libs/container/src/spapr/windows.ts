/**
 * Windows made and removed, and their TCEs cleared.
 *
 * Rule: a window's table is charged before the platform is asked; when it then refuses, the charge is lost, as in the kernel
 * (SURPRISES 63).
 */
import { call, IOMMU, iommuApi, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { charge, letGo, uncharge } from './memory.js';
import { offersPages, type WindowRequest, windowStart } from './platform.js';
import type { DmaWindow, Spapr } from './spapr.js';
import { TceTable } from './tce-table.js';

const FRAME_SHIFT = 12;

/** The window of a bus address, by its slot; the lowest slot first. */
export function slotAt({ windows }: Spapr, address: bigint): number {
  return windows.findIndex((window) => {
    if (!window) return false;
    const { pageShift, first, entries } = window.place;
    const entry = Number(address >> BigInt(pageShift));
    return entry >= first && entry < first + entries;
  });
}

/** ENOSPC: no slot; EINVAL: page size, table; ENOMEM: its charge; EPERM: it cannot be shared; else what the platform says. */
export function* createWindow(spapr: Spapr, request: WindowRequest): Op<Result<bigint>> {
  const { platform, windows, host, groups, bugs } = spapr;
  const slot = windows.findIndex((window) => !window);
  if (slot < 0) return fail('ENOSPC');
  if (!offersPages(platform, request.pageShift)) return fail('EINVAL');
  const bytes = platform.tableBytes(request, host.pageShift);
  if (bytes === 0n) return fail('EINVAL');
  const charged = yield* charge(spapr, bytes);
  if (!charged.ok) return charged;
  const frames = charged.value;
  const others = windows.flatMap((window) => (window ? [window.place] : []));
  const first = groups[0]!.group;
  const failed = host.failedGroups.has(first);
  const placed = platform.place(request, { slot, pageShift: host.pageShift, others, failed });
  if (!placed.ok) {
    if (placed.errno === 'ENODEV') host.failedGroups.add(first);
    bugs.lostCharge += frames;
    return placed;
  }
  if (groups.length > 1 && !platform.sharesWindows) {
    yield* uncharge(spapr, frames);
    return fail('EPERM');
  }
  const { pageShift } = placed.value;
  windows[slot] = {
    id: spapr.nextWindow++,
    place: placed.value,
    frames,
    table: new TceTable(2 ** (pageShift - FRAME_SHIFT)),
  };
  return ok(windowStart(placed.value));
}

/** The default window, when it has not been made: pages of 4 KiB, one level. As `createWindow`; ENODEV: no group. */
export function* createDefaultWindow(spapr: Spapr): Op<Result<void>> {
  if (!spapr.pending) return ok(undefined);
  if (spapr.groups.length === 0) return fail('ENODEV');
  const request = { pageShift: FRAME_SHIFT, size: BigInt(spapr.platform.size), levels: 1 };
  const made = yield* createWindow(spapr, request);
  if (!made.ok) return made;
  spapr.pending = false;
  return ok(undefined);
}

/** Clears entries [first, end) of a window: no DMA uses them when this ends. */
export function* clear(spapr: Spapr, { table }: DmaWindow, first: number, end: number): Op<void> {
  const taken = table.take(first, end);
  if (taken.length === 0) return;
  const { scale } = table;
  const spans = taken.map(({ entry, count }) => ({ iova: entry * scale, count: count * scale }));
  yield* call(IOMMU, iommuApi.unmap, { domains: [spapr.domain!], spans });
  yield* letGo(spapr, taken, scale);
}

export const clearEverything = (spapr: Spapr, window: DmaWindow): Op<void> =>
  clear(spapr, window, window.place.first, window.place.first + window.place.entries);

/** Clears the window of a slot and takes it away, with its charge. */
export function* freeWindow(spapr: Spapr, slot: number): Op<void> {
  const window = spapr.windows[slot];
  if (!window) return;
  yield* clearEverything(spapr, window);
  spapr.windows[slot] = undefined;
  yield* uncharge(spapr, window.frames);
}

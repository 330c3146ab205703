/**
 * The state of a backend of DMA windows as bytes.
 *
 * Rule: the view `meaning` leaves out numbers that other services chose.
 */
import type { ByteReader, ByteWriter, View } from '@vfiolab/core';
import type { DmaWindow, Spapr } from './spapr.js';
import { type TcePiece, TceTable } from './tce-table.js';

export function encodeSpapr(w: ByteWriter, spapr: Spapr, view: View): void {
  const { enabled, owner, mm, locked, pending, windows, groups, domain, registered, stores, bugs } = spapr;
  w.bool(enabled);
  w.str(owner ?? '');
  w.num(locked);
  w.bool(pending);
  w.list(windows, (window) => encodeWindow(w, window, view));
  w.list(groups, ({ group, members, noiommu }) => {
    w.u32(group);
    w.list(members, (bdf) => w.str(bdf));
    w.bool(noiommu);
  });
  w.num(bugs.pastTheEnd);
  w.num(bugs.lostCharge);
  w.num(bugs.lostRegistrations);
  w.u32(registered.length);
  if (view === 'meaning') return;
  w.num(spapr.nextWindow);
  w.list(registered, (id) => w.num(id));
  w.num(mm);
  w.num(domain ?? -1);
  w.list([...stores], ([store, frames]) => (w.num(store), w.num(frames)));
}

function encodeWindow(w: ByteWriter, window: DmaWindow | undefined, view: View): void {
  w.bool(window !== undefined);
  if (!window) return;
  const { id, place, frames, table } = window;
  if (view === 'snapshot') w.num(id);
  w.u32(place.pageShift);
  w.num(place.first);
  w.num(place.entries);
  w.num(frames);
  w.num(table.scale);
  w.list([...table], ({ entry, count, prot, source, at }) => {
    w.num(entry);
    w.num(count);
    w.u8(prot);
    w.num(at);
    if (view === 'snapshot') w.num(source);
  });
}

/** Reads into a new backend of the same version. */
export function decodeSpapr(r: ByteReader, spapr: Spapr): Spapr {
  spapr.enabled = r.bool();
  spapr.owner = r.str() || undefined;
  spapr.locked = r.num();
  spapr.pending = r.bool();
  r.list(() => decodeWindow(r)).forEach((window, slot) => (spapr.windows[slot] = window));
  spapr.groups = r.list(() => ({ group: r.u32(), members: r.list(() => r.str()), noiommu: r.bool(), emulated: false }));
  spapr.bugs.pastTheEnd = r.num();
  spapr.bugs.lostCharge = r.num();
  spapr.bugs.lostRegistrations = r.num();
  r.u32();
  spapr.nextWindow = r.num();
  spapr.registered = r.list(() => r.num());
  spapr.mm = r.num();
  const domain = r.num();
  spapr.domain = domain < 0 ? undefined : domain;
  for (const [store, frames] of r.list((): [number, number] => [r.num(), r.num()])) spapr.stores.set(store, frames);
  return spapr;
}

function decodeWindow(r: ByteReader): DmaWindow | undefined {
  if (!r.bool()) return undefined;
  const id = r.num();
  const place = { pageShift: r.u32(), first: r.num(), entries: r.num() };
  const [frames, scale] = [r.num(), r.num()];
  const table = new TceTable(scale);
  r.list(() => table.put(decodePiece(r)));
  return { id, place, frames, table };
}

function decodePiece(r: ByteReader): TcePiece {
  const [entry, count, prot, at] = [r.num(), r.num(), r.u8(), r.num()];
  return { entry, count, prot, at, source: r.num() };
}

/**
 * Memory behind TCEs: what pins it and who is charged.
 *
 * Rule: charges are the backend's own (`chargeLocked`), in pages of the kernel; pins are not charged. TCEs are cleared and
 * flushed before what pins their memory goes (I05).
 */
import { call, type Op, PAGES, pagesApi, type Run } from '@vfiolab/core';
import { ok, type Result } from '@vfiolab/uapi';
import type { Registration } from './registrations.js';
import type { Spapr } from './spapr.js';
import type { TcePiece } from './tce-table.js';

const FRAME_SHIFT = 12;

/** Frames of 4 KiB in a page of the kernel. */
export const framesPerPage = ({ host }: Spapr): number => 2 ** (host.pageShift - FRAME_SHIFT);

/** Charges whole pages of the kernel to the owner. Answers the frames. ENOMEM: RLIMIT_MEMLOCK. */
export function* charge(spapr: Spapr, bytes: bigint): Op<Result<number>> {
  const frames = Number(bytes >> BigInt(spapr.host.pageShift)) * framesPerPage(spapr);
  const charged = yield* call(PAGES, pagesApi.chargeLocked, { client: spapr.owner!, frames });
  if (!charged.ok) return charged;
  spapr.mm = charged.value.mm;
  return ok(frames);
}

export function* uncharge({ mm }: Spapr, frames: number): Op<void> {
  if (frames > 0) yield* call(PAGES, pagesApi.unchargeLocked, { mm, frames });
}

/** The runs of frames [at, at + count) of a registration. */
export function framesOf({ runs }: Registration, at: number, count: number): Run[] {
  const out: Run[] = [];
  for (const run of runs) {
    if (count === 0) break;
    if (at >= run.count) {
      at -= run.count;
      continue;
    }
    const n = Math.min(run.count - at, count);
    out.push({ frame: run.frame + at, count: n });
    count -= n;
    at = 0;
  }
  return out;
}

/** TCEs are gone: v2 counts them out of their registrations, v1 unpins. `scale`: frames in a TCE. */
export function* letGo(spapr: Spapr, pieces: readonly TcePiece[], scale: number): Op<void> {
  if (spapr.v2) {
    for (const { source, count } of pieces) spapr.host.registrations.existing(source).mapped -= count;
    return;
  }
  const stores = pieces.map(({ source, at, count }) => {
    const left = spapr.stores.get(source)! - count * scale;
    if (left > 0) spapr.stores.set(source, left);
    else spapr.stores.delete(source);
    return { store: source, ranges: [{ first: at, count: count * scale }], release: left === 0 };
  });
  if (stores.length > 0) yield* call(PAGES, pagesApi.unpinMany, { stores });
}

/**
 * A container gives a registration up. The last user of one that is mapped cannot: it keeps what it counted, and nobody will
 * ever let go of it.
 */
export function* dropRegistration(spapr: Spapr, registration: Registration): Op<void> {
  if (registration.used === 1 && registration.mapped > 0) {
    spapr.bugs.lostRegistrations++;
    return;
  }
  registration.used--;
  if (registration.used > 0) return;
  spapr.host.registrations.remove(registration);
  yield* forget(registration);
}

/** Unpins a registration that is in no list any more, and takes its charge back. */
export function* forget({ store, mm, bytes }: Registration): Op<void> {
  const frames = Number(bytes >> BigInt(FRAME_SHIFT));
  yield* call(PAGES, pagesApi.unpin, { store, ranges: [{ first: 0, count: frames }], release: true });
  yield* call(PAGES, pagesApi.unchargeLocked, { mm, frames });
}

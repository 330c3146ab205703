/**
 * Areas into domains and out again.
 *
 * Words: *filling* pins an area's memory and writes it into domains; *emptying* clears the PTEs, waits for the flush and
 * only then gives up the pins (invariant I05).
 * Rule: a fill that fails leaves no PTE and no pin of its own.
 */
import { fail, ok, PAGE_SIZE, type Result } from '@vfiolab/uapi';
import { call, IOMMU, iommuApi, type Op, PAGES, pagesApi, type Unpinning, type Pinned, type Run } from '@vfiolab/core';
import { type Area, areaLength, pageOffset, type Store } from './ioas.js';
import type { PagingHwpt } from './hwpt.js';

const PAGE = BigInt(PAGE_SIZE);
const PAGE_SHIFT = 12;

/** The slots of the store that an area shows. */
export function slots(area: Area): { first: number; count: number } {
  const first = area.startByte / PAGE;
  const last = (area.startByte + areaLength(area) - 1n) / PAGE;
  return { first: Number(first), count: Number(last - first + 1n) };
}

/** Domains by granule: those of one granule are written with one message. */
function byGranule(hwpts: readonly PagingHwpt[]): Iterable<readonly [number, number[]]> {
  const [only] = hwpts;
  if (only && hwpts.length === 1) return [[only.domain.granule, [only.domain.domain]]];
  const out = new Map<number, number[]>();
  for (const { domain } of hwpts) {
    const same = out.get(domain.granule);
    if (same) same.push(domain.domain);
    else out.set(domain.granule, [domain.domain]);
  }
  return out;
}

interface Piece {
  readonly iova: number;
  readonly runs: Run[];
}

/** Runs of whole 4 KiB slots, cut to the bytes of the area and counted in granules. */
function toGranules(area: Area, granule: number, firstSlot: number, runs: Run[]): Piece {
  const shift = BigInt(granule);
  // Whole slots in a domain of whole slots: nothing to cut and nothing to count anew.
  if (granule === PAGE_SHIFT) {
    const startByte = BigInt(firstSlot) * PAGE - area.startByte;
    return { iova: Number((area.start + startByte) >> shift), runs };
  }
  const { first } = slots(area);
  const headBytes = firstSlot === first ? pageOffset(area) : 0n;
  const startByte = firstSlot === first ? 0n : BigInt(firstSlot) * PAGE - area.startByte;
  const perPage = PAGE_SIZE >> granule;
  const out = runs.map((r) => ({ frame: r.frame * perPage, count: r.count * perPage }));
  const head = Number(headBytes >> shift);
  let left = Number((areaLength(area) - startByte) >> shift);
  if (out[0] && head > 0) out[0] = { frame: out[0].frame + head, count: out[0].count - head };
  const cut: Run[] = [];
  for (const r of out) {
    const count = Math.min(r.count, left);
    if (count > 0) cut.push({ frame: r.frame, count });
    left -= count;
  }
  return { iova: Number((area.start + startByte) >> shift), runs: cut };
}

/**
 * Writes one batch of pinned runs into the domains of an IOAS, page by page where it has no huge pages (semantics B6.1).
 * ENOMEM: the IOMMU has no room for the table pages.
 */
function* writeRuns(area: Area, hwpts: readonly PagingHwpt[], firstSlot: number, runs: Run[]): Op<Result<void>> {
  const small = !hwpts[0]!.ioas.hugePages;
  for (const [granule, domains] of byGranule(hwpts)) {
    const { iova, runs: counted } = toGranules(area, granule, firstSlot, runs);
    const done = yield* call(IOMMU, iommuApi.map, { domains, iova, runs: counted, prot: area.prot, small });
    if (!done.ok) return done;
  }
  return ok(undefined);
}

/** Memory of slots [first, end), or of the first of them: pinned once more, or a dma-buf's own. EFAULT, EINVAL, ENOMEM. */
function* pinSlots({ id, va, dmabuf }: Store, first: number, end: number): Op<Result<Pinned>> {
  const count = end - first;
  if (dmabuf) return ok({ runs: dmabuf.runs(Number(va / PAGE) + first, count), next: end });
  return yield* call(PAGES, pagesApi.pin, { store: id, first, count });
}

/**
 * Fills an area into domains that do not have it yet; of a revoked dma-buf there is nothing to fill (semantics B8.3).
 * `begun`: slots that the store's creation pinned already.
 * EFAULT, EINVAL, ENOMEM; EOPNOTSUPP: a dma-buf of the self-test and a device that is real, or the other way round.
 */
export function* fillArea(area: Area, store: Store, hwpts: readonly PagingHwpt[], begun?: Pinned): Op<Result<void>> {
  if (hwpts.length === 0 || store.revoked) return ok(undefined);
  const { dmabuf } = store;
  if (dmabuf && hwpts.some(({ mock }) => mock !== dmabuf.mock)) return fail('EOPNOTSUPP');
  const { first, count } = slots(area);
  const end = first + count;
  let at = first;
  let pinned: Pinned | undefined = begun;
  while (at < end) {
    if (!pinned) {
      const more = yield* pinSlots(store, at, end);
      if (!more.ok) {
        yield* undoFill(area, store, hwpts, first, at);
        return more;
      }
      pinned = more.value;
    }
    const written = yield* writeRuns(area, hwpts, at, pinned.runs);
    if (!written.ok) {
      yield* undoFill(area, store, hwpts, first, pinned.next);
      return fail(written.errno);
    }
    at = pinned.next;
    pinned = undefined;
  }
  area.covers++;
  return ok(undefined);
}

function* undoFill(area: Area, store: Store, hwpts: readonly PagingHwpt[], first: number, end: number): Op<void> {
  if (end === first) return;
  yield* clear([area], hwpts);
  if (store.dmabuf) return;
  yield* call(PAGES, pagesApi.unpin, { store: store.id, ranges: [{ first, count: end - first }], release: false });
}

/** Spans in one message at most. */
const MAX_SPANS = 16384;

/** Clears the PTEs of areas in domains; answers when no DMA uses them any more. */
export function* clear(areas: readonly Area[], hwpts: readonly PagingHwpt[]): Op<void> {
  for (const [granule, domains] of byGranule(hwpts)) {
    const shift = BigInt(granule);
    const spans = areas.map((a) => ({ iova: Number(a.start >> shift), count: Number(areaLength(a) >> shift) }));
    for (let i = 0; i < spans.length; i += MAX_SPANS)
      yield* call(IOMMU, iommuApi.unmap, { domains, spans: spans.slice(i, i + MAX_SPANS) });
  }
}

/** Areas whose pins are given up with one message. */
export const UNPIN_BATCH = 4096;

/** Gives up every pin of an area, whose store stays. */
export function* unpinArea(area: Area, store: Store): Op<void> {
  const wanted = unpinningOf(area, store, false);
  if (wanted) yield* call(PAGES, pagesApi.unpin, wanted);
}

/** What the pages service is to give up for an area that has `keep` covers at most from now on; undefined: nothing. */
export function unpinningOf(area: Area, store: Store, release: boolean, keep = 0): Unpinning | undefined {
  const range = slots(area);
  const ranges = Array.from({ length: Math.max(0, area.covers - keep) }, () => range);
  area.covers -= ranges.length;
  if (store.dmabuf) return undefined;
  return ranges.length > 0 || release ? { store: store.id, ranges, release } : undefined;
}

/** Gives up all covers of the areas but `keep`. */
export function* trimCovers(areas: readonly Area[], keep: number): Op<void> {
  for (let i = 0; i < areas.length; i += UNPIN_BATCH) {
    const stores = areas
      .slice(i, i + UNPIN_BATCH)
      .map((area) => unpinningOf(area, area.store!, false, keep))
      .filter((wanted) => wanted !== undefined);
    if (stores.length > 0) yield* call(PAGES, pagesApi.unpinMany, { stores });
  }
}

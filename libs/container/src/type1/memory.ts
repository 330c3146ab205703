/**
 * Memory into the domains and out again.
 *
 * Rule: what fails leaves no PTE, no pin and no charge (B2.6); on the way out PTEs go from every domain and the flush is
 * done, then the pins go, then the answer (invariant I05).
 */
import { type Fail, ok, type Result } from '@vfiolab/uapi';
import { call, IOMMU, iommuApi, type Op, PAGES, pagesApi, PROT_WRITE, RLIMIT_LOCKED } from '@vfiolab/core';
import { type Mapping, PAGE_SHIFT } from './mappings.js';
import type { Type1 } from './type1.js';

export interface Wanted {
  readonly client: string;
  readonly va: bigint;
  readonly first: number;
  readonly count: number;
  readonly prot: number;
}

/** Pins and charges memory of a process and writes it into every domain. EFAULT, ENOMEM; ESRCH: the client is no process. */
export function* pinAndMap(type1: Type1, { client, va, first, count, prot }: Wanted): Op<Result<Mapping>> {
  const made = yield* call(PAGES, pagesApi.storeCreate, {
    client,
    va,
    length: BigInt(count) << PAGE_SHIFT,
    writable: (prot & PROT_WRITE) !== 0,
    rlimitMode: RLIMIT_LOCKED,
    pin: true,
  });
  if (!made.ok) return made;
  const { store } = made.value;
  let { runs, next } = made.value.pinned;
  for (let at = 0; ;) {
    const written = yield* call(IOMMU, iommuApi.map, {
      domains: type1.domainIds,
      iova: first + at,
      runs,
      prot,
      small: false,
    });
    if (!written.ok) return yield* takeBack(type1, store, first, at, next, written);
    at = next;
    if (at === count) return ok({ first, count, prot, store, vaddrInvalid: false });
    const more = yield* call(PAGES, pagesApi.pin, { store, first: at, count: count - at });
    if (!more.ok) return yield* takeBack(type1, store, first, at, at, more);
    ({ runs, next } = more.value);
  }
}

/** `mapped` pages are in the domains, `pinned` slots are pinned. */
function* takeBack(
  { domainIds: domains }: Type1,
  store: number,
  first: number,
  mapped: number,
  pinned: number,
  why: Fail,
): Op<Result<never>> {
  if (mapped > 0) yield* call(IOMMU, iommuApi.unmap, { domains, spans: [{ iova: first, count: mapped }] });
  yield* call(PAGES, pagesApi.unpin, { store, ranges: [{ first: 0, count: pinned }], release: true });
  return why;
}

/** Mappings whose PTEs are cleared, or whose pins are given up, with one message. */
const BATCH = 4096;

/** Takes mappings out of every domain, gives their memory back, and forgets them. Never fails. */
export function* unmapAndUnpin(type1: Type1, gone: readonly Mapping[]): Op<void> {
  for (let i = 0; i < gone.length; i += BATCH) {
    const spans = gone.slice(i, i + BATCH).map(({ first, count }) => ({ iova: first, count }));
    yield* call(IOMMU, iommuApi.unmap, { domains: type1.domainIds, spans });
  }
  for (let i = 0; i < gone.length; i += BATCH) {
    const stores = gone
      .slice(i, i + BATCH)
      .map(({ store, count }) => ({ store, ranges: [{ first: 0, count }], release: true }));
    yield* call(PAGES, pagesApi.unpinMany, { stores });
  }
  for (const { vaddrInvalid } of gone) if (vaddrInvalid) type1.invalid--;
  type1.mappings.remove(gone);
}

/**
 * Gives a new domain everything that the container maps; the frames are those of a domain that has it. Nothing is pinned
 * again. ENOMEM: the new domain is empty again.
 */
export function* replay(type1: Type1, domain: number): Op<Result<void>> {
  const source = type1.domains[0]?.info.domain;
  const done: Mapping[] = [];
  for (const mapping of type1.mappings) {
    const copied = source === undefined ? ok(undefined) : yield* copy(mapping, source, domain);
    done.push(mapping);
    if (copied.ok) continue;
    const spans = done.map(({ first, count }) => ({ iova: first, count }));
    for (let i = 0; i < spans.length; i += BATCH)
      yield* call(IOMMU, iommuApi.unmap, { domains: [domain], spans: spans.slice(i, i + BATCH) });
    return copied;
  }
  return ok(undefined);
}

function* copy({ first, count, prot }: Mapping, source: number, domain: number): Op<Result<void>> {
  for (let at = 0; at < count;) {
    const runs = yield* call(IOMMU, iommuApi.lookup, { domain: source, iova: first + at, count: count - at });
    if (runs.length === 0) throw new Error(`page ${first + at} of a mapping is not in domain ${source} (I03)`);
    const written = yield* call(IOMMU, iommuApi.map, { domains: [domain], iova: first + at, runs, prot, small: false });
    if (!written.ok) return written;
    at += runs.reduce((sum, r) => sum + r.count, 0);
  }
  return ok(undefined);
}

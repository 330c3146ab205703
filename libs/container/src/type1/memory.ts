/**
 * Memory into the domains and out again.
 *
 * Rule: what fails leaves no PTE, no pin and no charge (B2.6); on the way out PTEs go from every domain and the flush is
 * done, then the pins go, then the answer (invariant I05).
 */
import { type Fail, ok, type Result } from '@vfiolab/uapi';
import { call, IOMMU, iommuApi, type Op, PAGES, pagesApi, PROT_WRITE, RLIMIT_LOCKED } from '@vfiolab/core';
import { type Mapping, PAGE_SHIFT, untouched } from './mappings.js';
import type { Type1 } from './type1.js';

export interface Wanted {
  readonly client: string;
  readonly va: bigint;
  readonly first: number;
  readonly count: number;
  readonly prot: number;
}

/**
 * Pins and charges memory of a process and writes it into every domain; without a domain it is only noted. EFAULT, ENOMEM; ESRCH: the
 * client is no process.
 */
export function* pinAndMap(type1: Type1, { client, va, first, count, prot }: Wanted): Op<Result<Mapping>> {
  const made = yield* call(PAGES, pagesApi.storeCreate, {
    client,
    va,
    length: BigInt(count) << PAGE_SHIFT,
    writable: (prot & PROT_WRITE) !== 0,
    rlimitMode: RLIMIT_LOCKED,
    pin: type1.domains.length > 0,
  });
  if (!made.ok) return made;
  const { store } = made.value;
  const noted = { first, count, prot, client, vaddrInvalid: false, ...untouched() };
  if (type1.domains.length === 0) return ok({ ...noted, store, pinned: false });
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
    if (at === count) return ok({ ...noted, store, pinned: true });
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
  yield* takeOut(type1, gone, true);
  for (const { vaddrInvalid } of gone) if (vaddrInvalid) type1.invalid--;
  type1.mappings.remove(gone);
}

/** The last domain goes, and mediated devices stay: mappings stay, and their memory is not pinned any more. Never fails. */
export function* unpinAll(type1: Type1): Op<void> {
  const all = [...type1.mappings];
  yield* takeOut(type1, all, false);
  for (const mapping of all) mapping.pinned = false;
}

/** Out of the domains, then the pins; `release`: the memory is forgotten too. */
function* takeOut(type1: Type1, gone: readonly Mapping[], release: boolean): Op<void> {
  for (let i = 0; i < gone.length && type1.domains.length > 0; i += BATCH)
    yield* call(IOMMU, iommuApi.unmap, { domains: type1.domainIds, spans: spansOf(gone.slice(i, i + BATCH)) });
  for (let i = 0; i < gone.length; i += BATCH) {
    const stores = gone
      .slice(i, i + BATCH)
      .map(({ store, count, pinned }) => ({ store, ranges: pinned ? [{ first: 0, count }] : [], release }));
    yield* call(PAGES, pagesApi.unpinMany, { stores });
  }
}

const spansOf = (mappings: readonly Mapping[]): { iova: number; count: number }[] =>
  mappings.map(({ first, count }) => ({ iova: first, count }));

/**
 * Gives a new domain everything that the container maps. The frames are those of a domain that has it; what no domain has
 * (only mediated devices were in the container) is pinned and charged now. EFAULT, ENOMEM: the new domain is empty again.
 */
export function* replay(type1: Type1, domain: number): Op<Result<void>> {
  const source = type1.domains[0]?.info.domain;
  const done: Mapping[] = [];
  for (const mapping of type1.mappings) {
    const copied = source === undefined ? yield* pinInto(mapping, domain) : yield* copy(mapping, source, domain);
    if (copied.ok) {
      done.push(mapping);
      continue;
    }
    const part = source === undefined ? [] : [mapping];
    yield* emptyDomain(domain, [...done, ...part]);
    if (source === undefined) for (const { store, count } of done) yield* unpinSlots(store, count);
    return copied;
  }
  for (const mapping of done) mapping.pinned = true;
  return ok(undefined);
}

function* emptyDomain(domain: number, mappings: readonly Mapping[]): Op<void> {
  for (let i = 0; i < mappings.length; i += BATCH)
    yield* call(IOMMU, iommuApi.unmap, { domains: [domain], spans: spansOf(mappings.slice(i, i + BATCH)) });
}

function* unpinSlots(store: number, count: number): Op<void> {
  yield* call(PAGES, pagesApi.unpin, { store, ranges: [{ first: 0, count }], release: false });
}

/** Pins a mapping into the one domain there is. EFAULT, ENOMEM: nothing of it is left there. */
function* pinInto({ first, count, prot, store }: Mapping, domain: number): Op<Result<void>> {
  for (let at = 0; at < count;) {
    const pinned = yield* call(PAGES, pagesApi.pin, { store, first: at, count: count - at });
    const { runs, next } = pinned.ok ? pinned.value : { runs: [], next: at };
    const written = pinned.ok
      ? yield* call(IOMMU, iommuApi.map, { domains: [domain], iova: first + at, runs, prot, small: false })
      : pinned;
    if (!written.ok) {
      if (at > 0) yield* call(IOMMU, iommuApi.unmap, { domains: [domain], spans: [{ iova: first, count: at }] });
      if (next > 0) yield* unpinSlots(store, next);
      return written;
    }
    at = next;
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

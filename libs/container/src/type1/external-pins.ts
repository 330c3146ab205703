/**
 * Memory that drivers of mediated devices take through the container. [vfio_iommu_type1.c; semantics A5.3]
 *
 * Words: a page is *pinned* by drivers as often as they have asked for it; its mapping's `pins` count that by page. A *listener* is
 * a device whose driver is told before memory goes that it may have pinned.
 * Rule: a mapping with pins is not unmapped before every listener was told, with the lock given up meanwhile, since they unpin then.
 * Pages that a driver pinned or wrote are dirty where no domain shows them.
 */
import {
  type Address,
  call,
  deviceAddress,
  deviceApi,
  lockWrite,
  type Op,
  PAGES,
  pagesApi,
  PROT_READ,
  PROT_WRITE,
  unlock,
} from '@vfiolab/core';
import { type Errno, fail, ok, type Result } from '@vfiolab/uapi';
import { endOf, type Mapping, PAGE_SHIFT } from './mappings.js';
import type { Type1 } from './type1.js';

/** Pages of one request. */
const MAX_PAGES = 512;

/** A page of a mapping, counted from the mapping's first. */
interface Page {
  readonly mapping: Mapping;
  readonly at: number;
}

/**
 * Pins [first, first + count). E2BIG; EACCES: v1; EINVAL: the device does not listen, or a page is not mapped; EPERM: nor for
 * this; EFAULT, ENOMEM: the pin, or its charge. On failure nothing has changed.
 */
export function* pinPages(type1: Type1, first: number, count: number, prot: number): Op<Result<void>> {
  if (count > MAX_PAGES) return fail('E2BIG');
  if (!type1.v2) return fail('EACCES');
  yield* lockWrite(type1.lock);
  if (type1.listeners.length === 0) return fail('EINVAL');
  const { pages, refused } = pagesOf(type1, first, count, prot);
  const taken: Page[] = [];
  for (const run of runsOf(pages)) {
    const pinned = yield* pinRun(run);
    if (!pinned.ok) {
      yield* letGo(taken);
      return pinned;
    }
    taken.push(...run);
  }
  if (refused === undefined) {
    if (type1.tracking) for (const { mapping, at } of pages) if (mapping.pins.get(at) === 1) mapping.dirty.add(at);
    return ok(undefined);
  }
  yield* letGo(taken);
  return fail(refused);
}

/** Pages up to the first that is refused. */
function pagesOf(
  { mappings }: Type1,
  first: number,
  count: number,
  prot: number,
): { pages: Page[]; refused: Errno | undefined } {
  const pages: Page[] = [];
  for (let page = first; page < first + count; page++) {
    const mapping = mappings.at(page);
    if (!mapping) return { pages, refused: 'EINVAL' };
    if ((mapping.prot & prot) !== prot) return { pages, refused: 'EPERM' };
    pages.push({ mapping, at: page - mapping.first });
  }
  return { pages, refused: undefined };
}

/** Pages in a row of one mapping that are all pinned by drivers, or all not. */
function runsOf(pages: readonly Page[]): Page[][] {
  const runs: Page[][] = [];
  for (const page of pages) {
    const run = runs.at(-1);
    const before = run?.at(-1);
    const goes =
      before?.mapping === page.mapping && before.mapping.pins.has(before.at) === page.mapping.pins.has(page.at);
    if (run && goes) run.push(page);
    else runs.push([page]);
  }
  return runs;
}

/** What is pinned by a driver already is only counted. EFAULT, ENOMEM: nothing of the run is pinned. */
function* pinRun(run: readonly Page[]): Op<Result<void>> {
  const { mapping, at: first } = run[0]!;
  for (let done = 0; !mapping.pins.has(first) && done < run.length;) {
    const wanted = { store: mapping.store, first: first + done, count: run.length - done };
    const pinned = yield* call(PAGES, pagesApi.pin, wanted);
    if (!pinned.ok) {
      yield* unpin(mapping.store, [{ first, count: done }]);
      return pinned;
    }
    done = pinned.value.next - first;
  }
  for (const { at } of run) mapping.pins.set(at, (mapping.pins.get(at) ?? 0) + 1);
  return ok(undefined);
}

/** Pages that nobody has pinned, or that are not mapped any more, are nothing. */
export function* unpinPages(type1: Type1, first: number, count: number): Op<void> {
  yield* lockWrite(type1.lock);
  const pages: Page[] = [];
  for (const mapping of type1.mappings.overlapping(first, first + count)) {
    const end = Math.min(first + count, endOf(mapping));
    for (let page = Math.max(first, mapping.first); page < end; page++)
      if (mapping.pins.has(page - mapping.first)) pages.push({ mapping, at: page - mapping.first });
  }
  yield* letGo(pages);
}

function* letGo(pages: readonly Page[]): Op<void> {
  const gone = new Map<number, { first: number; count: number }[]>();
  for (const { mapping, at } of pages) {
    const left = mapping.pins.get(at)! - 1;
    if (left > 0) {
      mapping.pins.set(at, left);
      continue;
    }
    mapping.pins.delete(at);
    gone.set(mapping.store, [...(gone.get(mapping.store) ?? []), { first: at, count: 1 }]);
  }
  for (const [store, ranges] of gone) yield* unpin(store, ranges);
}

function* unpin(store: number, ranges: { first: number; count: number }[]): Op<void> {
  const some = ranges.filter(({ count }) => count > 0);
  if (some.length > 0) yield* call(PAGES, pagesApi.unpin, { store, ranges: some, release: false });
}

/** Every listener is told that the mapping goes. The caller has the lock, and has it again afterwards. */
export function* tellListeners(type1: Type1, mapping: Mapping): Op<void> {
  const { first } = mapping;
  const last = endOf(mapping) - 1;
  const listeners = [...type1.listeners];
  yield* unlock(type1.lock);
  for (const name of listeners) yield* call(deviceAddress(name), deviceApi.dmaUnmap, { first, last });
  yield* lockWrite(type1.lock);
}

interface Copy {
  readonly client: Address;
  readonly iova: bigint;
  readonly write: boolean;
  /** What is written, or where what is read goes. */
  readonly bytes: Uint8Array;
}

/**
 * Copies to or from memory behind an IOVA, mapping by mapping, by the caller's own addresses. EINVAL: not mapped; EPERM: not for
 * this; EFAULT: the memory, or that of another process. What was copied before stays.
 */
export function* copyMemory(type1: Type1, { client, iova, write, bytes }: Copy): Op<Result<void>> {
  yield* lockWrite(type1.lock);
  for (let done = 0; done < bytes.length;) {
    const at = iova + BigInt(done);
    const mapping = type1.mappings.at(Number(at >> PAGE_SHIFT));
    if (!mapping) return fail('EINVAL');
    if ((write && !(mapping.prot & PROT_WRITE)) || !(mapping.prot & PROT_READ)) return fail('EPERM');
    if (mapping.client !== client) return fail('EFAULT');
    const inside = at - (BigInt(mapping.first) << PAGE_SHIFT);
    const left = (BigInt(mapping.count) << PAGE_SHIFT) - inside;
    const length = Math.min(bytes.length - done, Number(left < BigInt(bytes.length) ? left : bytes.length));
    const piece = bytes.subarray(done, done + length);
    const where = { store: mapping.store, at: inside, client, slow: false };
    if (write) {
      const written = yield* call(PAGES, pagesApi.storeWrite, { ...where, data: piece });
      if (!written.ok) return fail('EFAULT');
      if (type1.tracking) markDirty(mapping, inside, length);
    } else {
      const read = yield* call(PAGES, pagesApi.storeRead, { ...where, length });
      if (!read.ok) return fail('EFAULT');
      piece.set(read.value);
    }
    done += length;
  }
  return ok(undefined);
}

function markDirty({ dirty }: Mapping, inside: bigint, length: number): void {
  const last = Number((inside + BigInt(length) - 1n) >> PAGE_SHIFT);
  for (let page = Number(inside >> PAGE_SHIFT); page <= last; page++) dirty.add(page);
}

/** A report of dirty pages begins anew: what drivers have pinned stays dirty. */
export function restartDirty({ pins, dirty }: Mapping): void {
  dirty.clear();
  for (const at of pins.keys()) dirty.add(at);
}

/**
 * An IO address space: areas, reserved and allowed ranges, and the rules for placing things.
 *
 * Words: an *area* maps a range of IOVA to a slice of a *store* (what one MAP pinned, kept by the pages service); the
 * *alignment* is what IOVA, length and page offset must be multiples of.
 * Rule: nothing here waits. An area is put in before its memory is pinned (`building`), so that nobody else takes its
 * place, and taken out only after its memory is unmapped and unpinned (`unmapping`).
 */
import { type Errno, fail, ok, PAGE_SIZE, type Result } from '@vfiolab/uapi';
import { Lock } from '@vfiolab/core';
import type { Access } from './access.js';
import type { PagingHwpt } from './hwpt.js';
import type { IommufdObject } from './objects.js';
import type { PeerMemory } from './peer-memory.js';
import type { Dmabuf } from './selftest/dmabuf.js';
import { holes, type IovaSpan, overlaps, SpanSet, U64_MAX } from './spans.js';

const PAGE = BigInt(PAGE_SIZE);
/** Transparent huge pages by the kernel's page: automatic placement keeps a source's alignment up to here. */
const hugePageOf = (page: bigint): bigint => (page === PAGE ? 2n * 1024n * 1024n : 512n * 1024n * 1024n);

/** What one MAP put into the pages service, or took of a dma-buf; shared by COPY. */
export interface Store {
  /** Number at the pages service, or in the dma-buf. */
  readonly id: number;
  readonly client: string;
  readonly va: bigint;
  readonly writable: boolean;
  /** Areas that show it. */
  areas: number;
  /** Requests under way that give up pins of it without releasing it. */
  unpinning: number;
  /** Whose memory it is when that is not the pages service's to pin. */
  readonly dmabuf: Dmabuf | PeerMemory | undefined;
  /** The dma-buf took its memory back: it is in no domain, and never will be. */
  revoked: boolean;
}

export type AreaState = 'building' | 'live' | 'unmapping';

export interface Area extends IovaSpan {
  /** Set when the area is live; an area that is being built has none yet. */
  store: Store | undefined;
  /** Address of its first byte where the memory comes from: user memory, or a file. */
  readonly source: bigint;
  /** Offset of the first byte in the store. */
  readonly startByte: bigint;
  readonly prot: number;
  state: AreaState;
  /** How often its slots were covered, by the pages service if they are its: once a domain. */
  covers: number;
  /** Slices of it that accesses have pinned. */
  accesses: number;
  /** Slices of it that hardware queues have pinned: it cannot be unmapped. */
  locks: number;
  /** An unmap has asked accesses to let go of it: they pin nothing there any more. */
  closedToAccesses: boolean;
}

export interface Reserved extends IovaSpan {
  /** A device's BDF, `hwpt:<id>` for a domain's aperture, or `test` for the self-test's. */
  readonly owner: string;
}

export const areaLength = (a: IovaSpan): bigint => a.last - a.start + 1n;
/** Where byte `startByte` of a store comes from. */
export const sourceOf = ({ va }: Store, startByte: bigint): bigint => va - (va % PAGE) + startByte;
export const pageOffset = (a: Area): bigint => a.startByte % PAGE;

export class Ioas implements IommufdObject {
  readonly type = 'ioas';
  id = 0;
  users = 1;
  readonly shortTerm = new Lock();
  /** Held for reading while areas change, for writing while domains come and go. */
  readonly domainsLock = new Lock();
  /** Held while a HWPT is chosen or made for a device. */
  readonly mutex = new Lock();
  readonly areas = new SpanSet<Area>();
  reserved: Reserved[] = [];
  allowed: IovaSpan[] = [];
  hwpts: PagingHwpt[] = [];
  accesses: Access[] = [];
  alignment = 1n;
  hugePages = true;

  /** `page`: the kernel's, in bytes. */
  constructor(readonly page = PAGE) {}

  /** Checks a fixed place. EINVAL, EOVERFLOW, EEXIST in the kernel's order. */
  private checkIova(start: bigint, length: bigint): Errno | undefined {
    if (start & (this.alignment - 1n)) return 'EINVAL';
    const last = start + length - 1n;
    if (last > U64_MAX) return 'EOVERFLOW';
    const span = { start, last };
    if (this.reserved.some((r) => overlaps(r, span))) return 'EINVAL';
    return this.areas.first(span) ? 'EEXIST' : undefined;
  }

  /** First fit that keeps the source address's alignment up to a huge page and its offset in the page (semantics B5.5). */
  private findIova(source: bigint, length: bigint): Result<bigint> {
    if (length === 0n || length >= U64_MAX / 2n) return fail('EOVERFLOW');
    let alignment = roundUpPow2(length);
    if (source !== 0n) alignment = min(alignment, source & -source);
    alignment = min(alignment, hugePageOf(this.page));
    if (alignment < this.alignment) return fail('EINVAL');
    const allowed = this.allowed.length > 0 ? this.allowed : [{ start: this.page, last: U64_MAX - this.page }];
    for (const window of [...allowed].sort(byStart)) {
      const within = { start: max(window.start, this.page), last: min(window.last, U64_MAX - this.page) };
      const start = this.firstFit(within, length, alignment, source % this.page);
      if (start !== undefined) return ok(start);
    }
    return fail('ENOSPC');
  }

  private firstFit(within: IovaSpan, length: bigint, alignment: bigint, offset: bigint): bigint | undefined {
    if (fit(within, length, alignment, offset) === undefined) return undefined;
    const used = [...this.reserved.filter((r) => overlaps(r, within)), ...this.areas.within(within)];
    for (const hole of holes(used, within)) {
      const start = fit(hole, length, alignment, offset);
      if (start !== undefined) return start;
    }
    return undefined;
  }

  /**
   * Chooses the place for `length` bytes: `fixed`, or automatically after the address `source`.
   * EINVAL, EOVERFLOW, EEXIST, ENOSPC.
   */
  place(length: bigint, fixed: bigint | undefined, source: bigint): Result<bigint> {
    if (length & (this.alignment - 1n) || length === 0n) return fail('EINVAL');
    if (fixed === undefined) return this.findIova(source, length);
    const refused = this.checkIova(fixed, length);
    return refused ? fail(refused) : ok(fixed);
  }

  /** Puts an area in, not yet visible to unmap. EINVAL: its offset in the page does not fit the alignment. */
  insert(area: Area): Result<Area> {
    if (area.source & (this.alignment - 1n)) return fail('EINVAL');
    this.areas.insert(area);
    return ok(area);
  }

  /** EADDRINUSE: an area or an allowed range is in the way. */
  reserve(range: Reserved): Result<void> {
    if (this.areas.first(range) || this.allowed.some((a) => overlaps(a, range))) return fail('EADDRINUSE');
    this.reserved.push(range);
    return ok(undefined);
  }

  unreserve(owner: string): void {
    this.reserved = this.reserved.filter((r) => r.owner !== owner);
  }

  /** Where a map may go now: everything that is not reserved. */
  ranges(): IovaSpan[] {
    return holes(this.reserved, { start: 0n, last: U64_MAX });
  }

  /** Replaces the allowed list. EADDRINUSE: a range of it is reserved, and the old list stays. */
  allow(list: IovaSpan[]): Result<void> {
    if (list.some((a) => this.reserved.some((r) => overlaps(a, r)))) return fail('EADDRINUSE');
    this.allowed = list;
    return ok(undefined);
  }

  /** Alignment as the domains, accesses and options want it now. */
  wantedAlignment(extra?: PagingHwpt): bigint {
    const hwpts = extra ? [...this.hwpts, extra] : this.hwpts;
    const byDomains = hwpts.reduce((a, h) => max(a, smallestPage(h)), this.hugePages ? 1n : this.page);
    return this.accesses.some(({ pins }) => pins) ? max(byDomains, this.page) : byDomains;
  }

  /** EADDRINUSE when an area is not a multiple of the new, larger alignment. */
  checkAlignment(alignment: bigint): Result<void> {
    if (alignment <= this.alignment) return ok(undefined);
    const mask = alignment - 1n;
    for (const a of this.areas) if ((a.start | areaLength(a) | a.source) & mask) return fail('EADDRINUSE');
    return ok(undefined);
  }
}

/** What a domain's kernel asks of IOVAs. */
export const smallestPage = ({ domain: { pageSizes } }: PagingHwpt): bigint => pageSizes & -pageSizes;

export const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
export const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const byStart = (a: IovaSpan, b: IovaSpan): number => (a.start < b.start ? -1 : 1);

function roundUpPow2(n: bigint): bigint {
  let p = 1n;
  while (p < n) p <<= 1n;
  return p;
}

/** First aligned start in the hole that leaves room, as the kernel computes it. */
function fit(hole: IovaSpan, length: bigint, alignment: bigint, offset: bigint): bigint | undefined {
  const start = ((hole.start + alignment - 1n) & ~(alignment - 1n)) | offset;
  if (start > U64_MAX || start >= hole.last || hole.last - start < length - 1n) return undefined;
  return start;
}

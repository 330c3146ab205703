/**
 * All stores of the host: made, pinned, unpinned, released.
 *
 * Rule: a pin is decided before it is made. Protection is asked first (EFAULT), then the limit and the memory (ENOMEM),
 * in the order in which the kernel's answers win: it charges after pinning (semantics B3.3). So a refusal has nothing to
 * undo (B2.6, I25).
 */
import {
  MAX_RUNS,
  RLIMIT_LOCKED,
  RLIMIT_MM,
  type ByteReader,
  type ByteWriter,
  type Pinned,
  type View,
} from '@vfiolab/core';
import { type Errno, fail, ok, type Result } from '@vfiolab/uapi';
import { type Accounting, isLocked, type Payer, payerFor, RLIMIT_NONE } from './accounting.js';
import type { Span } from './extents.js';
import type { Frames } from './frames.js';
import type { MemoryFile } from './memory-file.js';
import type { Process, Processes } from './processes.js';
import { type FileSource, Store } from './store.js';

/** Stores of one host; one more is ENOMEM. */
export const MAX_STORES = 1 << 18;

const PAGE_SHIFT = 12n;
const PAGE_MASK = 0xfffn;

export interface StoreRequest {
  /** Byte of the process's memory, or of the file. */
  readonly va: bigint;
  /** Bytes, at least 1. */
  readonly length: bigint;
  readonly writable: boolean;
  /** RLIMIT_USER, RLIMIT_MM or RLIMIT_LOCKED. */
  readonly rlimitMode: number;
  readonly pin: boolean;
}

export class Stores {
  private readonly stores = new Map<number, Store>();
  private nextId = 1;

  constructor(
    private readonly frames: Frames,
    private readonly processes: Processes,
    private readonly accounting: Accounting,
  ) {}

  /**
   * A store over the pages that [va, va + length) touches. Without `pin` no memory is looked at (B2.5, trace a012). With
   * it all slots are covered, as far as one answer reaches; a refused pin leaves no store. `file`: the pages are those of
   * a file, which the process pays for (B8.1).
   */
  create(process: Process, request: StoreRequest, file?: FileSource): Result<{ store: number; pinned: Pinned }> {
    if (this.stores.size >= MAX_STORES) return fail('ENOMEM');
    const page = request.va >> PAGE_SHIFT;
    const slots = ((request.va + request.length + PAGE_MASK) >> PAGE_SHIFT) - page;
    const payer = payerFor(process, request.rlimitMode);
    const store = new Store(this.nextId, payer, Number(page), Number(slots), request.writable, file);
    const pinned = request.pin ? this.pinStore(store, 0, store.slots) : ok({ runs: [], next: 0 });
    if (!pinned.ok) {
      file?.memory?.letGo();
      return pinned;
    }
    this.nextId++;
    this.put(store);
    return ok({ store: store.id, pinned: pinned.value });
  }

  private put(store: Store): void {
    this.stores.set(store.id, store);
    store.payer.process.stores++;
  }

  /** Covers [first, first + count) once more. EFAULT (of a file EINVAL): a page that is not held cannot be pinned; ENOMEM. */
  pin(id: number, first: number, count: number): Result<Pinned> {
    const store = this.existing(id);
    assertInside(store, first, count);
    return this.pinStore(store, first, first + count);
  }

  private pinStore(store: Store, first: number, end: number): Result<Pinned> {
    const missing = store.unpinnedPages(first, end);
    const refused = this.refusal(store, missing);
    if (refused) return fail(refused);
    if (!store.source.populate(missing)) return fail('ENOMEM');
    const plan = store.plan(first, end, MAX_RUNS);
    this.accounting.charge(store.payer, store.carryOut(plan, first, this.frames));
    return ok({ runs: plan.runs, next: plan.next });
  }

  /**
   * Why these pages cannot be pinned and charged. iommufd charges when all are pinned, so memory that is not there wins; a
   * container charges each page as it pins it, so what comes first wins.
   */
  private refusal({ payer, writable, source }: Store, missing: readonly Span[]): Errno | undefined {
    const pinnable = (spans: readonly Span[]) =>
      spans.every((s) => source.pinnable(s.first, s.end, writable, isLocked(payer.mode)));
    const pages = missing.reduce((sum, { first, end }) => sum + end - first - source.free(first, end), 0);
    const room = this.accounting.room(payer);
    const allThere = pinnable(missing);
    // What others pinned already is not charged, so nobody asks how the limit stands now.
    if (allThere) return pages === 0 || pages <= room ? undefined : 'ENOMEM';
    const limitFirst = isLocked(payer.mode) && room < pages && pinnable(firstPages(missing, Math.max(room, 0) + 1));
    return limitFirst ? 'ENOMEM' : source.refusal;
  }

  unpin(id: number, ranges: readonly { first: number; count: number }[], release: boolean): void {
    const store = this.existing(id);
    for (const { first, count } of ranges) {
      assertInside(store, first, count);
      this.accounting.charge(store.payer, -store.uncoverRange(first, first + count, this.frames));
    }
    if (release) this.release(store);
  }

  private release(store: Store): void {
    const { pages } = store.held;
    if (pages > 0) throw new Error(`store ${store.id} is released with ${pages} pinned slots (I24)`);
    this.stores.delete(store.id);
    store.file?.memory?.letGo();
    this.processes.storeGone(store.payer.process);
  }

  /**
   * Another process pays for these stores from now on, all of them or none (B3.5). The new charge is made before the old
   * one is given back, as the kernel does, so a user who pays both needs room for both. Stores that are charged to nobody
   * stay where they are counted. EINVAL: one is not over a file; ENOMEM: the limit.
   */
  changeProcess(process: Process, ids: readonly number[]): Result<void> {
    const stores = [...new Set(ids)].map((id) => this.existing(id));
    if (stores.some(({ file }) => file === undefined)) return fail('EINVAL');
    const moving = stores.filter(({ payer }) => payer.mode !== RLIMIT_NONE && !this.paidBy(payer, process));
    const charged: [Payer, number][] = [];
    for (const { payer, pinned } of moving) {
      const next = { process, mode: payer.mode, uid: process.uid };
      if (!this.accounting.admits(next, pinned)) return this.takeBack(charged);
      this.accounting.charge(next, pinned);
      charged.push([next, pinned]);
    }
    moving.forEach((store, i) => this.handOver(store, charged[i]![0]));
    return ok(undefined);
  }

  /**
   * The memory of a container's store is at another address now, maybe of another process, which then pays with its own
   * capability and limit (semantics B3.7). ENOMEM: the limit.
   */
  move(process: Process, id: number, va: bigint): Result<void> {
    const store = this.existing(id);
    if (store.payer.process !== process) {
      const next = payerFor(process, RLIMIT_LOCKED);
      if (!this.accounting.admits(next, store.pinned)) return fail('ENOMEM');
      this.accounting.charge(next, store.pinned);
      this.handOver(store, next);
    }
    store.page = Number(va >> PAGE_SHIFT);
    return ok(undefined);
  }

  private paidBy({ process, mode, uid }: Payer, by: Process): boolean {
    return process === by && (mode === RLIMIT_MM || uid === by.uid);
  }

  private takeBack(charged: readonly [Payer, number][]): Result<void> {
    for (const [payer, pages] of charged) this.accounting.charge(payer, -pages);
    return fail('ENOMEM');
  }

  private handOver(store: Store, payer: Payer): void {
    const before = store.payer;
    this.accounting.charge(before, -store.pinned);
    store.payer = payer;
    payer.process.stores++;
    this.processes.storeGone(before.process);
  }

  /** A store that a caller inside the host named: one that does not exist is a bug. */
  existing(id: number): Store {
    const store = this.stores.get(id);
    if (!store) throw new Error(`store ${id} does not exist`);
    return store;
  }

  get(id: number): Store | undefined {
    return this.stores.get(id);
  }

  all(): IterableIterator<Store> {
    return this.stores.values();
  }

  encode(w: ByteWriter, view: View): void {
    const rows = [...this.stores.values()];
    if (view === 'meaning') rows.sort(byMeaning);
    else w.num(this.nextId);
    w.list(rows, (store) => store.encode(w, view, this.frames));
  }

  decode(r: ByteReader, fileOf: (id: number) => MemoryFile): void {
    this.nextId = r.num();
    for (const store of r.list(() => Store.decode(r, this.processes, fileOf))) {
      this.put(store);
      this.accounting.restore(store.payer, store.pinned);
    }
  }
}

/** The first `count` pages of the spans. */
function firstPages(spans: readonly Span[], count: number): Span[] {
  const out: Span[] = [];
  for (const { first, end } of spans) {
    if (count <= 0) break;
    out.push({ first, end: Math.min(end, first + count) });
    count -= end - first;
  }
  return out;
}

function assertInside(store: Store, first: number, count: number): void {
  if (count > 0 && first + count <= store.slots) return;
  throw new Error(`slots ${first} + ${count} are not in store ${store.id} of ${store.slots}`);
}

/** By what a client knows of a store; ids come last, and only decide between stores that began alike. */
function byMeaning(a: Store, b: Store): number {
  const clientA = a.payer.process.client;
  const clientB = b.payer.process.client;
  if (clientA !== clientB) return clientA < clientB ? -1 : 1;
  return a.payer.process.mm - b.payer.process.mm || a.page - b.page || a.slots - b.slots || a.id - b.id;
}

/**
 * A store: the memory behind one IOMMU_IOAS_MAP or MAP_FILE (the kernel's iopt_pages).
 *
 * Words: a *slot* is one page of the store, counted from 0; its *cover* is how many areas-in-a-domain and accesses use it.
 * Rule: a slot holds a pinned frame exactly while its cover is above zero, and one pin however high it is (I20, I26).
 * Nothing here is as long as the store: 2^64 bytes cost what their extents cost.
 */
import type { ByteReader, ByteWriter, Run, View } from '@vfiolab/core';
import type { Payer } from './accounting.js';
import { isDeviceFrame } from './device-windows.js';
import { Extents, type Span } from './extents.js';
import type { Frames } from './frames.js';
import { type Piece, RunMap } from './run-map.js';
import type { MemoryFile } from './memory-file.js';
import { NO_PAGES, type PageSource } from './page-source.js';
import type { Processes } from './processes.js';

/** What MAP_FILE named; `memory` undefined: a file of another kind, which has no pages to pin. */
export interface FileSource {
  readonly memory: MemoryFile | undefined;
}

/** What a new cover brings: the frames of slots [first, next), and the slots that it will pin. */
export interface CoverPlan {
  readonly runs: Run[];
  next: number;
  readonly fresh: Piece[];
}

export class Store {
  cover = new Extents();
  /** Slot -> frame, for covered slots. It stays when the process maps something else there (feature 58). */
  held = new RunMap();

  constructor(
    readonly id: number,
    /** Who pays, and, without `file`, whose memory it is. */
    public payer: Payer,
    /** Page number of slot 0 in the process or in the file: below 2^52. */
    public page: number,
    readonly slots: number,
    readonly writable: boolean,
    readonly file?: FileSource,
  ) {
    file?.memory?.use();
  }

  /** Where pages that are not held come from. */
  get source(): PageSource {
    return this.file ? (this.file.memory ?? NO_PAGES) : this.payer.process.space;
  }

  /** Held slots that are device memory: neither pinned nor charged. */
  private deviceSlots = 0;

  /** Slots that are pinned now. */
  get pinned(): number {
    return this.held.pages - this.deviceSlots;
  }

  /** The frames that it pins. */
  *pinnedFrames(): IterableIterator<Piece> {
    for (const piece of this.held.all()) if (!isDeviceFrame(piece.frame)) yield piece;
  }

  /** Slots of the range that nobody covers, as pages of the source. */
  unpinnedPages(first: number, end: number): Span[] {
    return this.cover.zeros(first, end).map((span) => ({ first: span.first + this.page, end: span.end + this.page }));
  }

  /**
   * What a cover of slots [first, end) would answer, their uncovered pages being populated: frames from the store where it
   * holds them, else from the source. Ascending; stops before run `maxRuns` + 1 would begin.
   */
  plan(first: number, end: number, maxRuns: number): CoverPlan {
    const plan: CoverPlan = { runs: [], next: first, fresh: [] };
    for (const { first: at, end: to, count } of this.cover.pieces(first, end))
      for (const piece of count > 0 ? this.held.pieces(at, to) : this.sourcePieces(at, to)) {
        if (!appendRun(plan.runs, piece, maxRuns)) return plan;
        if (count === 0) plan.fresh.push(piece);
        plan.next += piece.count;
      }
    return plan;
  }

  /** The frames of slots [first, end), uncovered ones being populated: held ones as they are held. Ascending. */
  pieces(first: number, end: number): Piece[] {
    return this.cover
      .pieces(first, end)
      .flatMap(({ first: at, end: to, count }) => (count > 0 ? this.held.pieces(at, to) : this.sourcePieces(at, to)));
  }

  /** What the source has in the pages of these slots now. */
  sourcePieces(first: number, end: number): Piece[] {
    const pieces = this.source.pieces(first + this.page, end + this.page);
    return pieces.map(({ page, frame, count }) => ({ page: page - this.page, frame, count }));
  }

  /** Covers [first, plan.next) once more, holding what was not held. Answers how many slots were newly pinned. */
  carryOut({ next, fresh }: CoverPlan, first: number, frames: Frames): number {
    const before = this.pinned;
    for (const piece of fresh) {
      this.held.put(piece.page, piece.frame, piece.count);
      if (isDeviceFrame(piece.frame)) this.deviceSlots += piece.count;
      else frames.pin(piece);
    }
    this.cover.add(first, next, 1);
    return this.pinned - before;
  }

  /** Takes one cover away. Answers how many slots were unpinned by that. */
  uncoverRange(first: number, end: number, frames: Frames): number {
    const before = this.pinned;
    this.cover.add(first, end, -1);
    for (const span of this.cover.zeros(first, end))
      for (const piece of this.held.remove(span.first, span.end))
        if (isDeviceFrame(piece.frame)) this.deviceSlots -= piece.count;
        else frames.unpin(piece);
    return before - this.pinned;
  }

  encode(w: ByteWriter, view: View, frames: Frames): void {
    const { process, mode, uid } = this.payer;
    if (view === 'snapshot') w.num(this.id);
    w.num(view === 'snapshot' ? process.mm : process.pid);
    w.u8(mode);
    w.u32(uid);
    w.num(this.page);
    w.num(this.slots);
    w.bool(this.writable);
    this.encodeSource(w, view);
    this.cover.encode(w);
    if (view === 'snapshot') this.held.encode(w);
    else this.encodeOrphans(w, frames);
  }

  private encodeSource(w: ByteWriter, view: View): void {
    const memory = this.file?.memory;
    w.u8(this.file ? (memory ? MEMORY : NO_MEMORY) : PROCESS);
    if (!memory) return;
    if (view === 'snapshot') return w.num(memory.id);
    w.str(memory.name.maker);
    w.num(memory.name.serial);
  }

  /** Slots whose frame no process and no file has any more, and what is in them: nobody else tells. */
  private encodeOrphans(w: ByteWriter, frames: Frames): void {
    const orphans = [...this.pinnedFrames()].flatMap(({ page, frame, count }) =>
      frames.mapped
        .zeros(frame, frame + count)
        .map((z) => ({ first: z.first, end: z.end, slot: page + z.first - frame })),
    );
    w.list(orphans, ({ first, end, slot }) => {
      w.num(slot);
      w.num(end - first);
      w.list([...frames.bytes.nonZero(first, end)], ({ frame, bytes }) => {
        w.num(frame - first);
        w.raw(bytes);
      });
    });
  }

  static decode(r: ByteReader, processes: Processes, fileOf: (id: number) => MemoryFile): Store {
    const id = r.num();
    const process = processes.byMm(r.num())!;
    const payer = { process, mode: r.u8(), uid: r.u32() };
    const [page, slots, writable, source] = [r.num(), r.num(), r.bool(), r.u8()];
    const memory = source === MEMORY ? fileOf(r.num()) : undefined;
    const store = new Store(id, payer, page, slots, writable, source === PROCESS ? undefined : { memory });
    store.cover = Extents.decode(r);
    store.held = RunMap.decode(r);
    for (const { frame, count } of store.held.all()) if (isDeviceFrame(frame)) store.deviceSlots += count;
    return store;
  }
}

/** Kinds of sources in the encoding. */
const PROCESS = 0;
const MEMORY = 1;
const NO_MEMORY = 2;

/** Joins the piece to the last run when it continues it. False: the list is full. */
function appendRun(runs: Run[], { frame, count }: Run, maxRuns: number): boolean {
  const last = runs[runs.length - 1];
  if (last && last.frame + last.count === frame)
    runs[runs.length - 1] = { frame: last.frame, count: last.count + count };
  else if (runs.length === maxRuns) return false;
  else runs.push({ frame, count });
  return true;
}

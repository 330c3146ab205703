/**
 * Frames that belong to somebody: a process's private pages, or the pages of a file in memory (the kernel's page cache).
 *
 * Words: to *fill* is to give pages without a frame a zeroed one.
 * Rule: every frame in the map is counted as mapped exactly once, from `fill` to `drop`.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import type { Span } from './extents.js';
import type { Frames } from './frames.js';
import { type Piece, RunMap } from './run-map.js';

export class PageMap {
  private runs = new RunMap();

  constructor(private readonly frames: Frames) {}

  /** Pages that have a frame. */
  get pages(): number {
    return this.runs.pages;
  }

  pieces(first: number, end: number): Piece[] {
    return this.runs.pieces(first, end);
  }

  holes(first: number, end: number): Span[] {
    return this.runs.holes(first, end);
  }

  all(): IterableIterator<Piece> {
    return this.runs.all();
  }

  /**
   * Frames for the holes of [first, end), a range of whole blocks of `block` pages. Answers what was placed, or undefined,
   * with nothing changed, when the host has no such frames left.
   */
  fill(first: number, end: number, block: number): Piece[] | undefined {
    const placed: Piece[] = [];
    for (const hole of this.holes(first, end)) {
      const runs = this.frames.allocate(hole.end - hole.first, block);
      if (runs === undefined) {
        this.takeBack(placed);
        return undefined;
      }
      let page = hole.first;
      for (const { frame, count } of runs) {
        this.runs.put(page, frame, count);
        placed.push({ page, frame, count });
        page += count;
      }
    }
    return placed;
  }

  /** Undoes a fill. */
  takeBack(placed: readonly Piece[]): void {
    for (const { page, count } of placed) this.drop(page, page + count);
  }

  /** The pages of [first, end) lose their frames; pinned ones live on with their pins. */
  drop(first: number, end: number): void {
    for (const run of this.runs.remove(first, end)) this.frames.unmap(run);
  }

  clear(): void {
    for (const run of this.runs.all()) this.frames.unmap(run);
    this.runs = new RunMap();
  }

  /** Page number and bytes of every page that does not read as zero, ascending. */
  encodeContents(w: ByteWriter): void {
    const written = [...this.runs.all()].flatMap(({ page, frame, count }) =>
      Array.from(this.frames.bytes.nonZero(frame, frame + count), (f) => ({
        page: page + f.frame - frame,
        bytes: f.bytes,
      })),
    );
    w.list(written, ({ page, bytes }) => {
      w.num(page);
      w.raw(bytes);
    });
  }

  encode(w: ByteWriter): void {
    this.runs.encode(w);
  }

  /** The frames are counted as mapped when all maps of the host are known: see Frames.adopt. */
  decode(r: ByteReader): void {
    this.runs = RunMap.decode(r);
  }
}

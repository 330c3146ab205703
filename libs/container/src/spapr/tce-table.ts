/**
 * The TCEs of one window, as pieces: entries in a row over memory in a row.
 *
 * Words: a piece's *source* is what pins its memory (a registration, or a store), `at` the frame of it, counted from 0, where
 * the piece begins. An entry covers `scale` frames of 4 KiB.
 * Rule: pieces are sorted and disjoint; taking a range cuts the pieces at its ends.
 */
export interface TcePiece {
  readonly entry: number;
  readonly count: number;
  readonly prot: number;
  readonly source: number;
  readonly at: number;
}

export class TceTable {
  private pieces: TcePiece[] = [];

  constructor(
    /** Frames of 4 KiB in one entry. */
    readonly scale: number,
  ) {}

  get size(): number {
    return this.pieces.length;
  }

  [Symbol.iterator](): Iterator<TcePiece> {
    return this.pieces[Symbol.iterator]();
  }

  /** Index of the first piece that ends behind this entry. */
  private indexAt(entry: number): number {
    let [low, high] = [0, this.pieces.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { entry: first, count } = this.pieces[middle]!;
      if (first + count > entry) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private part(piece: TcePiece, first: number, end: number): TcePiece {
    return { ...piece, entry: first, count: end - first, at: piece.at + (first - piece.entry) * this.scale };
  }

  /** Takes the entries [first, end) out and answers what was there. */
  take(first: number, end: number): TcePiece[] {
    if (first >= end) return [];
    const from = this.indexAt(first);
    const taken: TcePiece[] = [];
    const kept: TcePiece[] = [];
    let to = from;
    for (; to < this.pieces.length && this.pieces[to]!.entry < end; to++) {
      const piece = this.pieces[to]!;
      const last = piece.entry + piece.count;
      const [cutFirst, cutEnd] = [Math.max(piece.entry, first), Math.min(last, end)];
      if (piece.entry < cutFirst) kept.push(this.part(piece, piece.entry, cutFirst));
      taken.push(this.part(piece, cutFirst, cutEnd));
      if (cutEnd < last) kept.push(this.part(piece, cutEnd, last));
    }
    if (taken.length > 0) this.pieces.splice(from, to - from, ...kept);
    return taken;
  }

  /** Puts a piece where nothing is. */
  put(piece: TcePiece): void {
    this.pieces.splice(this.indexAt(piece.entry), 0, piece);
  }
}

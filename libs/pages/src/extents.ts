/**
 * Counts over ranges: how often every whole number is covered.
 *
 * Words: an *extent* is a half-open range [first, end) with one count; a *boundary* is a number where the count changes.
 * Rule: only boundaries are stored, each with the count from there on, and neighbours differ: 1 TiB in one extent costs
 * two entries, and two equal functions are stored equally whatever additions made them.
 *
 * Used for cover counts of a store's slots, and for the map and pin counts of page frames.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { type Entry, OrderedMap } from './ordered-map.js';

/** [first, end) of whole numbers. */
export interface Span {
  readonly first: number;
  readonly end: number;
}
export interface Extent extends Span {
  readonly count: number;
}

export class Extents {
  private readonly boundaries = new OrderedMap<number>();

  at(n: number): number {
    return this.boundaries.floor(n)?.value ?? 0;
  }

  /** Adds `delta` to every count of the range. A count below zero is a bug of the caller (I24): throws, changes nothing. */
  add(first: number, end: number, delta: number): void {
    if (first >= end) return;
    const around = this.boundaries.floor(first);
    const next = this.boundaries.higher(first);
    if (next === undefined || next.key >= end) return this.addInside(first, end, delta, around, next);
    if (delta < 0) this.assertAtLeast(first, end, -delta);
    this.split(first);
    this.split(end);
    this.boundaries.update(first, end, (count) => count + delta);
    this.join(first);
    this.join(end);
  }

  /** The range lies in one extent, from boundary `around` to `next`: the common case, with the fewest look-ups. */
  private addInside(first: number, end: number, delta: number, around?: Entry<number>, next?: Entry<number>): void {
    const before = around?.value ?? 0;
    const count = before + delta;
    if (count < 0) throw new Error(`count of ${first} is ${before}, cannot take ${-delta} away`);
    if (around?.key === first && this.at(first - 1) === count) this.boundaries.delete(first);
    else this.boundaries.set(first, count);
    if (next?.key !== end) this.boundaries.set(end, before);
    else if (next.value === count) this.boundaries.delete(end);
  }

  private assertAtLeast(first: number, end: number, least: number): void {
    for (const piece of this.pieces(first, end))
      if (piece.count < least) throw new Error(`count of ${piece.first} is ${piece.count}, cannot take ${least} away`);
  }

  private split(at: number): void {
    const below = this.boundaries.floor(at);
    if (below?.key !== at) this.boundaries.set(at, below?.value ?? 0);
  }

  private join(at: number): void {
    if (this.boundaries.get(at) === this.at(at - 1)) this.boundaries.delete(at);
  }

  /** Every extent of the range with its count, zeros too, ascending and without gaps. */
  pieces(first: number, end: number): Extent[] {
    const out: Extent[] = [];
    this.walk(first, end, (piece) => out.push(piece));
    return out;
  }

  /** The maximal parts of the range that nobody covers, ascending. */
  zeros(first: number, end: number): Span[] {
    const out: Span[] = [];
    this.walk(first, end, (piece) => piece.count === 0 && out.push(piece));
    return out;
  }

  private walk(first: number, end: number, visit: (piece: Extent) => void): void {
    let count = this.at(first);
    for (let at = first; at < end;) {
      const next = this.boundaries.higher(at);
      const to = next === undefined || next.key > end ? end : next.key;
      visit({ first: at, end: to, count });
      count = next?.value ?? 0;
      at = to;
    }
  }

  /** Extents with a count above zero, ascending. */
  *extents(): IterableIterator<Extent> {
    let first = 0;
    let count = 0;
    for (const { key, value } of this.boundaries.entries()) {
      if (count > 0) yield { first, end: key, count };
      first = key;
      count = value;
    }
  }

  /** How many numbers have a count above zero. */
  covered(): number {
    let sum = 0;
    for (const { first, end } of this.extents()) sum += end - first;
    return sum;
  }

  /** Number of stored boundaries: what this costs. */
  get size(): number {
    return this.boundaries.size;
  }

  equals(other: Extents): boolean {
    if (this.size !== other.size) return false;
    for (const { key, value } of this.boundaries.entries()) if (other.boundaries.get(key) !== value) return false;
    return true;
  }

  encode(w: ByteWriter): void {
    w.list([...this.extents()], ({ first, end, count }) => {
      w.num(first);
      w.num(end);
      w.u32(count);
    });
  }

  static decode(r: ByteReader): Extents {
    const out = new Extents();
    for (const [first, end, count] of r.list(() => [r.num(), r.num(), r.u32()] as const)) out.add(first, end, count);
    return out;
  }
}

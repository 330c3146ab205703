/**
 * ioeventfds of an open function: register writes that the kernel makes when an eventfd is written to (semantics D8).
 *
 * Words: a *match* is the register write: BAR, offset in it, width and value; it is also what names the ioeventfd.
 * Rule: at most one ioeventfd has a match. A write while memory decoding is off is lost.
 */
import { type ByteReader, type ByteWriter, call, Lock, type Op, PAGES, pagesApi, type View } from '@vfiolab/core';

/** ioeventfds of one function. */
export const MAX_IOEVENTFDS = 1000;

export interface Match {
  readonly bar: number;
  readonly offset: number;
  /** Bytes. */
  readonly width: number;
  /** 64 bits as the client gave them. */
  readonly data: bigint;
}

interface Ioeventfd extends Match {
  /** Number under which `pages` lets us watch the eventfd. */
  readonly event: number;
}

const same = (a: Match, b: Match): boolean =>
  a.bar === b.bar && a.offset === b.offset && a.width === b.width && a.data === b.data;

export class Ioeventfds {
  private readonly all: Ioeventfd[] = [];
  /** Held while one is added or taken away. */
  readonly lock = new Lock();

  get size(): number {
    return this.all.length;
  }

  has(match: Match): boolean {
    return this.all.some((each) => same(each, match));
  }

  add(match: Match, event: number): void {
    this.all.push({ ...match, event });
  }

  /** The match is there. */
  *remove(match: Match): Op<void> {
    const [gone] = this.all.splice(
      this.all.findIndex((each) => same(each, match)),
      1,
    );
    yield* call(PAGES, pagesApi.eventfdUnwatch, { event: gone!.event });
  }

  *removeAll(): Op<void> {
    for (const { event } of this.all.splice(0)) yield* call(PAGES, pagesApi.eventfdUnwatch, { event });
  }

  /** What a write to the eventfd sets off, in the order in which it was asked for. */
  matchesOf(event: number): Match[] {
    return this.all.filter((each) => each.event === event);
  }

  encode(w: ByteWriter, view: View): void {
    w.list(this.all, ({ bar, offset, width, data, event }) => {
      w.u8(bar);
      w.num(offset);
      w.u8(width);
      w.u64(data);
      if (view === 'snapshot') w.num(event);
    });
  }

  decode(r: ByteReader): void {
    r.list(() => this.all.push({ bar: r.u8(), offset: r.num(), width: r.u8(), data: r.u64(), event: r.num() }));
  }

  check(): string[] {
    return this.all.some((a, i) => this.all.slice(0, i).some((b) => same(a, b)))
      ? ['D8: two ioeventfds have one match']
      : [];
  }
}

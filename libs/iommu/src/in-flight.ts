/**
 * DMAs on their way to or from memory, per domain: what an IOTLB flush has to wait for.
 *
 * Words: a DMA is *in flight* from its translation until `pages` has answered. A *flush* waits for the DMAs that were
 * in flight when it began; those that begin later look the cleared table up and need no waiting for.
 * Rule: a translation that a DMA in flight still uses is the only cached one there is, so once a flush has ended no
 * entry that was cleared before it is used by anybody (I05, I52).
 */
import { type Op, Signal, wait } from '@vfiolab/core';

export class InFlight {
  private next = 0;
  /** Ascending: the first is the oldest. */
  private readonly tickets = new Set<number>();
  private readonly ended = new Signal();

  get size(): number {
    return this.tickets.size;
  }

  begin(): number {
    this.tickets.add(this.next);
    return this.next++;
  }

  end(ticket: number): void {
    this.tickets.delete(ticket);
    if (this.ended.waiters > 0) this.ended.raise();
  }

  /** Waits for the DMAs that are in flight now, whenever the op is run. */
  flush(): Op<void> {
    return this.ending(this.next);
  }

  private *ending(limit: number): Op<void> {
    while (this.oldest() < limit) yield* wait(this.ended);
  }

  private oldest(): number {
    for (const ticket of this.tickets) return ticket;
    return this.next;
  }
}

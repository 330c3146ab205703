/**
 * Requests that were refused in place of their service.
 *
 * Rule: a refused request gets the same answer for as long as its sender may repeat it: until the sender's floor is above it.
 */
import type { Errno } from '@vfiolab/uapi';
import type { Address } from '../address.js';
import { type Authority, refusableCalled, refusal } from './refusable.js';

/** More are not refused. */
export const MAX_REFUSED = 1024;

export interface Refused {
  readonly from: Address;
  readonly to: Address;
  readonly id: number;
  readonly method: string;
  readonly errno: Errno;
}

const keyOf = (from: Address, to: Address, id: number): string => `${from} ${to} ${id}`;

export class Refusals {
  private readonly all = new Map<string, Refused>();

  get size(): number {
    return this.all.size;
  }

  get full(): boolean {
    return this.all.size >= MAX_REFUSED;
  }

  add(refused: Refused): void {
    this.all.set(keyOf(refused.from, refused.to, refused.id), refused);
  }

  /** The answer that the request has had; undefined: it was not refused. */
  again(from: Address, to: Address, id: number): ((by: Authority) => Uint8Array) | undefined {
    const refused = this.all.get(keyOf(from, to, id));
    return refused && ((by) => refusal(refusableCalled(refused.method)!, refused.errno, id, by));
  }

  /** The sender has the answers to all below `floor`. */
  forgetBelow(from: Address, to: Address, floor: number): void {
    for (const [key, each] of this.all)
      if (each.from === from && each.to === to && each.id < floor) this.all.delete(key);
  }

  state(): Refused[] {
    return [...this.all.values()];
  }

  restore(refused: readonly Refused[]): void {
    for (const each of refused.slice(0, MAX_REFUSED)) if (refusableCalled(each.method)) this.add(each);
  }
}

/**
 * What a frame is, whatever else happens in a run: its link, its kind and id, and how often it has been sent before.
 *
 * Words: an *occurrence* is a number from 0: that of the first time that the same thing comes by.
 * Rule: the identity of a frame does not depend on other frames, so that a decision about one leaves the others alone.
 */
import { type Address, EVENT, REPLY } from '@vfiolab/core';
import { mix } from '../dice.js';

/** Things whose occurrences are counted at a time; what has not been seen for long counts from 0 again. */
const REMEMBERED = 256;

/** How often each thing has come by. Bounded: two generations, of which the older is dropped. */
export class Occurrences {
  private young = new Map<number, number>();
  private old = new Map<number, number>();

  next(key: number): number {
    const n = this.young.get(key) ?? this.old.get(key) ?? 0;
    this.young.set(key, n + 1);
    if (this.young.size >= REMEMBERED) {
      this.old = this.young;
      this.young = new Map();
    }
    return n;
  }

  get size(): number {
    return this.young.size + this.old.size;
  }
}

/** Kind and id of a frame as one number. Ids are below 2^51 in any run. */
export const kindAndId = (frame: Uint8Array): number => {
  const low = (frame[8]! | (frame[9]! << 8) | (frame[10]! << 16) | (frame[11]! << 24)) >>> 0;
  const high = frame[12]! | (frame[13]! << 8);
  return (high * 4294967296 + low) * 4 + frame[0]!;
};

/** A hash of one occurrence of a frame on a link. */
export const frameKey = (link: number, what: number, occurrence: number): number =>
  mix(mix(mix(link, what | 0), Math.floor(what / 4294967296)), occurrence);

const kindOf = (what: number): string => (what % 4 === REPLY ? 'reply' : what % 4 === EVENT ? 'event' : 'request');

/** The same for people: `groups>pages request 4`, the second time `groups>pages request 4 (2)`. */
export function frameName(from: Address, to: Address, what: number, occurrence: number): string {
  const again = occurrence > 0 ? ` (${occurrence + 1})` : '';
  return `${from}>${to} ${kindOf(what)} ${Math.floor(what / 4)}${again}`;
}

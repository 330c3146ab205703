/** A VLAN tag: four bytes behind a frame's addresses. */
import { putWord } from './packet.js';

const ADDRESSES = 12;
const TAG = 4;

export function withTag(frame: Uint8Array, type: number, tag: number): Uint8Array {
  const out = new Uint8Array(frame.length + TAG);
  out.set(frame.subarray(0, ADDRESSES));
  putWord(out, ADDRESSES, type);
  putWord(out, ADDRESSES + 2, tag);
  out.set(frame.subarray(ADDRESSES), ADDRESSES + TAG);
  return out;
}

export function untagged(frame: Uint8Array): Uint8Array {
  const out = new Uint8Array(frame.length - TAG);
  out.set(frame.subarray(0, ADDRESSES));
  out.set(frame.subarray(ADDRESSES + TAG), ADDRESSES);
  return out;
}

/**
 * Memory by its physical address, as a device without an IOMMU reaches it.
 *
 * Rule: pinned or not, whosever it is (semantics A4.4). A frame that nobody has keeps nothing: its next owner gets zeros.
 */
import { PAGE } from './frame-bytes.js';
import type { Frames } from './frames.js';

/** Behind the end of memory nothing answers: ones. */
export function readPhysical(frames: Frames, address: number, length: number): Uint8Array {
  const out = new Uint8Array(length).fill(0xff);
  const inside = Math.max(0, Math.min(length, frames.total * PAGE - address));
  frames.bytes.read(address, out.subarray(0, inside));
  return out;
}

export function writePhysical(frames: Frames, address: number, data: Uint8Array): void {
  for (let at = 0; at < data.length;) {
    const frame = Math.floor((address + at) / PAGE);
    const part = Math.min((frame + 1) * PAGE - address - at, data.length - at);
    if (frames.hasOwner(frame)) frames.bytes.write(address + at, data.subarray(at, at + part));
    at += part;
  }
}

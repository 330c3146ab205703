/**
 * Frames whose bytes are not the host's: memory of a program outside of the lab, such as a guest's RAM.
 *
 * Words: *lent* memory belongs to the host's process, so its bytes are read and written in place; *remote* memory is reached
 * only by asking the client that has it.
 * Rule: what is in such frames is nobody's state here: it is in no snapshot, no hash and no journal, and it stays as it is
 * when the frames are freed.
 */
import type { LentBytes } from '@vfiolab/core';
import { OrderedMap } from './ordered-map.js';
import { PAGE } from './page.js';

/** Remote memory from byte `offset` on. */
export interface RemotePlace {
  readonly memory: number;
  readonly offset: number;
}

/** Lent memory from byte `offset` on. */
export interface LentPlace {
  readonly bytes: LentBytes;
  readonly offset: number;
}

/** `count` frames with the place of the first one. */
interface ForeignRun {
  readonly count: number;
  readonly lent: LentPlace | undefined;
  readonly remote: RemotePlace | undefined;
}

export class ForeignFrames {
  private readonly runs = new OrderedMap<ForeignRun>();
  private remoteRuns = 0;

  get none(): boolean {
    return this.runs.size === 0;
  }

  /** Is any memory of the host remote? */
  get hasRemote(): boolean {
    return this.remoteRuns > 0;
  }

  lend(frame: number, count: number, place: LentPlace): void {
    this.put(frame, { count, lent: place, remote: undefined });
  }

  remote(frame: number, count: number, place: RemotePlace): void {
    this.put(frame, { count, lent: undefined, remote: place });
  }

  private put(frame: number, run: ForeignRun): void {
    this.runs.set(frame, run);
    if (run.remote) this.remoteRuns++;
  }

  private take(frame: number, run: ForeignRun): void {
    this.runs.delete(frame);
    if (run.remote) this.remoteRuns--;
  }

  /** Where the frame's bytes are; undefined: it is not lent. */
  lentAt(frame: number): LentPlace | undefined {
    const found = this.runs.floor(frame);
    const lent = found?.value.lent;
    if (!lent || frame - found.key >= found.value.count) return undefined;
    return { bytes: lent.bytes, offset: lent.offset + (frame - found.key) * PAGE };
  }

  /** Where the frame is, and for how many frames on; undefined: it is not remote. */
  readonly placeOf = (frame: number): (RemotePlace & { readonly frames: number }) | undefined => {
    const found = this.runs.floor(frame);
    const remote = found?.value.remote;
    if (!remote || frame - found.key >= found.value.count) return undefined;
    const skip = frame - found.key;
    return { memory: remote.memory, offset: remote.offset + skip * PAGE, frames: found.value.count - skip };
  };

  /** Frames [first, end) are the host's again. */
  forget(first: number, end: number): void {
    if (this.none) return;
    const before = this.runs.floor(first);
    const start = before ? before.key : first;
    for (const { key, value } of [...this.runs.entries(start, end)]) {
      if (key + value.count <= first) continue;
      this.take(key, value);
      if (key < first) this.put(key, part(value, 0, first - key));
      if (key + value.count > end) this.put(end, part(value, end - key, value.count));
    }
  }
}

/** Frames [from, to) of the run. */
const part = ({ lent, remote }: ForeignRun, from: number, to: number): ForeignRun => ({
  count: to - from,
  lent: lent && { bytes: lent.bytes, offset: lent.offset + from * PAGE },
  remote: remote && { memory: remote.memory, offset: remote.offset + from * PAGE },
});

/**
 * The host's page frames: who uses them and what is in them.
 *
 * Words: a frame is *mapped* while a process's page table points to it and *pinned* while a store holds it.
 * Rule: a frame is free exactly when it is neither mapped nor pinned. A frame that its process gave up while a store pins
 * it belongs to the pin alone: nobody gets it before the last unpin, and then as zeros (feature 58).
 */
import type { Hugetlb, Run } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { DeviceWindows } from './device-windows.js';
import { Extents } from './extents.js';
import { FrameBytes, PAGE } from './frame-bytes.js';
import { FreeFrames } from './free-frames.js';

/** Physical addresses stay below 2^52. */
export const MAX_FRAMES = 2 ** 40;

export class Frames {
  readonly free = new FreeFrames();
  readonly bytes = new FrameBytes();
  /** Page tables that point to a frame. */
  readonly mapped = new Extents();
  /** Slots of stores that hold a frame. */
  readonly pins = new Extents();
  readonly windows = new DeviceWindows();
  /** Frames in a page of the kernel. */
  block = 1;
  /** Why there are no huge pages; undefined: there are as many as memory has room for. */
  hugetlb: Hugetlb | undefined;
  private frames = 0;

  /** Frames of the host. */
  get total(): number {
    return this.frames;
  }

  /** The host has `frames` frames, all of them free, in pages of `block`. Saying so again is fine, changing it is not. */
  setup(frames: number, block: number, hugetlb?: Hugetlb): void {
    if (frames > MAX_FRAMES) throw new Error(`a host of ${frames} frames: at most ${MAX_FRAMES} (4 PiB)`);
    if (frames === this.frames) return;
    if (this.frames > 0) throw new Error(`the host has ${this.frames} frames already`);
    this.block = block;
    this.hugetlb = hugetlb;
    this.frames = frames;
    this.free.put(0, frames);
  }

  /** May areas have pages of 2^pageShift bytes? ENOENT, ENOMEM: see Hugetlb. */
  offers(pageShift: number): Result<void> {
    if (pageShift === 12 || this.hugetlb === undefined) return ok(undefined);
    return fail(this.hugetlb === 'none' ? 'ENOENT' : 'ENOMEM');
  }

  /** Zeroed frames for one page table, in aligned blocks of `block` frames. Undefined, and nothing taken: out of memory. */
  allocate(count: number, block: number): Run[] | undefined {
    const runs = this.free.take(count, block);
    for (const { frame, count: n } of runs ?? []) this.mapped.add(frame, frame + n, 1);
    return runs;
  }

  unmap({ frame, count }: Run): void {
    this.mapped.add(frame, frame + count, -1);
    this.reap(frame, frame + count);
  }

  pin({ frame, count }: Run): void {
    this.pins.add(frame, frame + count, 1);
  }

  unpin({ frame, count }: Run): void {
    this.pins.add(frame, frame + count, -1);
    this.reap(frame, frame + count);
  }

  /** Frees what nobody uses any more. */
  private reap(first: number, end: number): void {
    for (const unpinned of this.pins.zeros(first, end))
      for (const unused of this.mapped.zeros(unpinned.first, unpinned.end)) {
        this.bytes.erase(unused.first, unused.end);
        this.free.put(unused.first, unused.end - unused.first);
      }
  }

  /** Does anybody map or pin the frame? */
  hasOwner(frame: number): boolean {
    return [this.mapped, this.pins].some((users) => users.zeros(frame, frame + 1).length === 0);
  }

  /** Is every frame of the physical range pinned? Only then may a device touch it (I02, I04). */
  pinned(address: number, length: number): boolean {
    const end = Math.ceil((address + length) / PAGE);
    return this.pins.zeros(Math.floor(address / PAGE), end).length === 0;
  }

  /** After a snapshot was read: the users are known, so what is free follows. */
  adopt(total: number, tables: Iterable<Run>, held: Iterable<Run>): void {
    this.frames = total;
    for (const { frame, count } of tables) this.mapped.add(frame, frame + count, 1);
    for (const { frame, count } of held) this.pins.add(frame, frame + count, 1);
    for (const { first, end } of this.unused()) this.free.put(first, end - first);
  }

  /** The frames that nobody uses, from the users' side. */
  *unused(): IterableIterator<{ first: number; end: number }> {
    for (const unpinned of this.pins.zeros(0, this.frames)) yield* this.mapped.zeros(unpinned.first, unpinned.end);
  }
}

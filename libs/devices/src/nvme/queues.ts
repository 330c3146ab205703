/**
 * Queues between driver and controller (section 4.1): rings in host memory.
 *
 * Rule: the ring is empty when head and tail are equal, and full when one more entry would make them so. A *phase* bit that
 * turns over with each pass tells the driver which completions are new.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { COMPLETION_BYTES, SUBMISSION_BYTES } from './registers.js';

/** Commands read from a ring at once, at most. */
const BATCH = 64;

export class SubmissionQueue {
  head = 0;
  tail = 0;

  constructor(
    readonly id: number,
    /** Where it begins for DMA. */
    readonly base: bigint,
    readonly entries: number,
    readonly completions: number,
  ) {}

  /** Commands that lie side by side from the head on. */
  get waiting(): number {
    const run = (this.tail >= this.head ? this.tail : this.entries) - this.head;
    return Math.min(run, BATCH);
  }

  get address(): bigint {
    return this.base + BigInt(this.head * SUBMISSION_BYTES);
  }

  take(count: number): void {
    this.head = (this.head + count) % this.entries;
  }

  encode(w: ByteWriter): void {
    for (const value of [this.id, this.entries, this.completions, this.head, this.tail]) w.u16(value & 0xffff);
    w.u64(this.base);
  }

  static decode(r: ByteReader): SubmissionQueue {
    const [id, entries, completions, head, tail] = [r.u16(), r.u16(), r.u16(), r.u16(), r.u16()];
    return Object.assign(new SubmissionQueue(id, r.u64(), entries, completions), { head, tail });
  }
}

export class CompletionQueue {
  head = 0;
  tail = 0;
  phase = 1;

  constructor(
    readonly id: number,
    readonly base: bigint,
    readonly entries: number,
    /** Interrupt vector; undefined: the driver polls. */
    readonly vector: number | undefined,
  ) {}

  get isEmpty(): boolean {
    return this.head === this.tail;
  }

  /** Completions for which there is room. */
  get room(): number {
    return (this.head - this.tail - 1 + this.entries) % this.entries;
  }

  get address(): bigint {
    return this.base + BigInt(this.tail * COMPLETION_BYTES);
  }

  /** The tail moves by one; behind the last entry the phase turns over. */
  advance(): void {
    this.tail = (this.tail + 1) % this.entries;
    if (this.tail === 0) this.phase ^= 1;
  }

  encode(w: ByteWriter): void {
    for (const value of [this.id, this.entries, this.head, this.tail, this.phase]) w.u16(value);
    w.u16(this.vector ?? 0xffff);
    w.u64(this.base);
  }

  static decode(r: ByteReader): CompletionQueue {
    const [id, entries, head, tail, phase, vector] = [r.u16(), r.u16(), r.u16(), r.u16(), r.u16(), r.u16()];
    const queue = new CompletionQueue(id, r.u64(), entries, vector === 0xffff ? undefined : vector);
    return Object.assign(queue, { head, tail, phase });
  }
}

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
/** Completions that are written at once, at most: who waits for the first does not wait for the whole batch. */
const RUN = 16;

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

/** Completions of one submission queue that lie side by side and are not written yet; their places are taken already. */
export class CompletionRun {
  private readonly bytes = new Uint8Array(RUN * COMPLETION_BYTES);
  private readonly view = new DataView(this.bytes.buffer);
  private count = 0;
  private address = 0n;

  constructor(
    private readonly queue: CompletionQueue,
    private readonly from: SubmissionQueue,
  ) {}

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** No other one may be added: there are enough, or the next is at the ring's beginning. */
  get isFull(): boolean {
    return this.count === RUN || (this.count > 0 && this.queue.tail === 0);
  }

  add({ id, status, result }: { id: number; status: number; result: number }): void {
    const { view, queue } = this;
    if (this.count === 0) this.address = queue.address;
    const at = this.count++ * COMPLETION_BYTES;
    view.setUint32(at, result, true);
    view.setUint16(at + 8, this.from.head, true);
    view.setUint16(at + 10, this.from.id, true);
    view.setUint16(at + 12, id, true);
    view.setUint16(at + 14, (status << 1) | queue.phase, true);
    queue.advance();
  }

  /** What there is to write, and where. */
  take(): { address: bigint; bytes: Uint8Array } {
    const bytes = this.bytes.slice(0, this.count * COMPLETION_BYTES);
    this.count = 0;
    return { address: this.address, bytes };
  }
}

export class CompletionQueue {
  head = 0;
  tail = 0;
  phase = 1;
  /** Places for completions of commands that are under way: nobody else may have them. 0 while nothing is. */
  promised = 0;

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
    return ((this.head - this.tail - 1 + this.entries) % this.entries) - this.promised;
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

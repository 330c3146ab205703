/**
 * The working part of an NVMe controller: its queues, and the loop that takes commands from them.
 *
 * Words: a *batch* is what is taken from a submission queue at once; its completions are told with one interrupt. Completions
 * that lie side by side are written with one DMA: a *run* of them.
 * Rule: a command is taken only when there is room for its completion. DMA that does not get through to a queue itself is
 * fatal: the controller stops until it is reset (section 9.5).
 */
import { type ByteReader, type ByteWriter, isOp, type Op } from '@vfiolab/core';
import { type ModelBus, PENDING } from '../model.js';
import { adminCommand, FEATURES } from './admin.js';
import { Command } from './command.js';
import { HostData } from './data.js';
import { ASYNC_EVENTS } from './identify.js';
import { ioCommand } from './io.js';
import type { SparseMemory } from '../sparse-memory.js';
import { CompletionQueue, CompletionRun, SubmissionQueue } from './queues.js';
import { MAX_ADMIN_ENTRIES, MAX_ENTRIES, SUBMISSION_BYTES } from './registers.js';
import type { Role } from './role.js';

/** Asynchronous event: error status, with what was written to a doorbell. */
const INVALID_DOORBELL = 0x00_00_00_00;
const INVALID_DOORBELL_VALUE = 0x00_00_01_00;

export class Controller {
  readonly submissions = new Map<number, SubmissionQueue>();
  readonly completions = new Map<number, CompletionQueue>();
  features = new Map(FEATURES);
  /** Ids of held event requests, oldest first. */
  events: number[] = [];
  fatal = false;
  /** The driver switched it off while commands were under way: they touch nothing any more. */
  stopped = false;
  /** Vectors that the driver masked, as INTMS has them: for interrupts by pin only. */
  masked = 0;
  /** Queues whose commands are being taken: what is rung meanwhile is seen by who is at it. */
  private readonly busy = new Set<number>();

  constructor(
    readonly bus: ModelBus,
    readonly media: SparseMemory,
    readonly pageShift: number,
    readonly role: Role,
  ) {
    this.host = new HostData(bus, pageShift);
  }

  readonly host: HostData;

  isPage(address: bigint): boolean {
    return (address & BigInt((1 << this.pageShift) - 1)) === 0n;
  }

  /** A driver moved the tail of a submission queue. */
  *submit(id: number, tail: number): Op<void> {
    const queue = this.submissions.get(id);
    if (!queue) return yield* this.tell(INVALID_DOORBELL);
    if (tail >= queue.entries) return yield* this.tell(INVALID_DOORBELL_VALUE);
    queue.tail = tail;
    yield* this.serve(queue);
  }

  /** A driver took completions. */
  *acknowledge(id: number, head: number): Op<void> {
    const queue = this.completions.get(id);
    if (!queue) return yield* this.tell(INVALID_DOORBELL);
    if (head >= queue.entries) return yield* this.tell(INVALID_DOORBELL_VALUE);
    queue.head = head;
    if (![...this.completions.values()].some((each) => each.vector !== undefined && !each.isEmpty)) this.bus.lower();
    for (const each of [...this.submissions.values()]) if (each.completions === id) yield* this.serve(each);
  }

  private *serve(queue: SubmissionQueue): Op<void> {
    if (this.busy.has(queue.id)) return;
    this.busy.add(queue.id);
    while (yield* this.serveBatch(queue));
    this.busy.delete(queue.id);
  }

  /** False: there is nothing to take, or no room to tell of it. */
  private *serveBatch(queue: SubmissionQueue): Op<boolean> {
    const completions = this.completions.get(queue.completions)!;
    const count = Math.min(queue.waiting, completions.room);
    if (this.halted || count === 0 || this.submissions.get(queue.id) !== queue) return false;
    completions.promised += count;
    const bytes = yield* this.bus.dmaRead(queue.address, count * SUBMISSION_BYTES);
    if (!bytes || bytes === PENDING) return this.fail();
    if (this.stopped) return false;
    queue.take(count);
    const run = new CompletionRun(completions, queue);
    for (let i = 0; i < count; i++) {
      const command = new Command(bytes.subarray(i * SUBMISSION_BYTES, (i + 1) * SUBMISSION_BYTES));
      const done = queue.id === 0 ? adminCommand(this, command) : ioCommand(this, command);
      const { status, result = 0, held = false } = isOp(done) ? yield* done : done;
      completions.promised--;
      if (!held) run.add({ id: command.id, status, result });
      if (run.isFull && !(yield* this.post(run))) return false;
    }
    if (!(yield* this.post(run))) return false;
    yield* this.interrupt(completions);
    return true;
  }

  /** False: the completions did not get through. The run is empty afterwards. */
  private *post(run: CompletionRun): Op<boolean> {
    if (this.halted) return false;
    if (run.isEmpty) return true;
    const { address, bytes } = run.take();
    return (yield* this.bus.dmaWrite(address, bytes)) === true || this.fail();
  }

  private *interrupt({ vector }: CompletionQueue): Op<void> {
    if (vector === undefined || (vector < 32 && this.masked & (1 << vector))) return;
    yield* this.bus.raise(vector);
  }

  /** Completes the oldest event request, if there is one. */
  private *tell(event: number): Op<void> {
    const id = this.events.shift();
    const [admin, completions] = [this.submissions.get(0), this.completions.get(0)];
    if (id === undefined || !admin || !completions || completions.room === 0) return;
    const run = new CompletionRun(completions, admin);
    run.add({ id, status: 0, result: event });
    if (yield* this.post(run)) yield* this.interrupt(completions);
  }

  encode(w: ByteWriter): void {
    w.bool(this.fatal);
    w.u8(this.features.size);
    for (const [id, value] of this.features) {
      w.u8(id);
      w.u32(value);
    }
    w.u8(this.events.length);
    for (const id of this.events) w.u16(id);
    w.u8(this.submissions.size);
    for (const queue of this.submissions.values()) queue.encode(w);
    w.u8(this.completions.size);
    for (const queue of this.completions.values()) queue.encode(w);
  }

  decode(r: ByteReader): void {
    this.fatal = r.bool();
    const list = <T>(read: () => T): T[] => Array.from({ length: r.u8() }, read);
    this.features = new Map(list(() => [r.u8(), r.u32()] as const));
    this.events = list(() => r.u16());
    for (const queue of list(() => SubmissionQueue.decode(r))) this.submissions.set(queue.id, queue);
    for (const queue of list(() => CompletionQueue.decode(r))) this.completions.set(queue.id, queue);
  }

  check(): string[] {
    const wrong: string[] = [];
    for (const [id, queue] of [...this.submissions, ...this.completions]) {
      if (id !== queue.id || id >= this.role.queues) wrong.push(`queue ${queue.id} is under number ${id}`);
      if (queue.entries < 2 || queue.entries > (id === 0 ? MAX_ADMIN_ENTRIES : MAX_ENTRIES))
        wrong.push(`queue ${id} has ${queue.entries} entries`);
      if (!this.isPage(queue.base)) wrong.push(`queue ${id} does not begin with a page`);
    }
    if (!this.submissions.has(0)) wrong.push('there is no admin queue');
    if ([...this.features.keys()].join() !== [...FEATURES.keys()].join()) wrong.push('features are others');
    for (const { id, head, tail, entries, completions } of this.submissions.values()) {
      if (!this.completions.has(completions)) wrong.push(`submission queue ${id} has no completion queue`);
      if (head >= entries || tail >= entries) wrong.push(`submission queue ${id} is behind its end`);
    }
    for (const { id, head, tail, entries } of this.completions.values())
      if (head >= entries || tail >= entries) wrong.push(`completion queue ${id} is behind its end`);
    if (this.events.length > ASYNC_EVENTS) wrong.push(`${this.events.length} event requests are held`);
    return wrong;
  }

  private get halted(): boolean {
    return this.fatal || this.stopped;
  }

  private fail(): false {
    this.fatal = true;
    return false;
  }
}

/**
 * Causes of interrupts, and which of them are told in which way (data sheet, chapters 7.4 and 10.2.4).
 *
 * Words: a cause is *pending* while it is set and not masked; it is *told* when a message went out for it since it was pending.
 * A *source* is what a message of MSI-X can stand for: a queue, or all other causes together. A vector is *quiet* for the time
 * of its throttle after a message.
 * Rule: the line follows what is pending. A message goes out for what is pending and was not told; a throttle of less than 1 ms
 * is none.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import type { ModelBus } from '../model.js';
import * as reg from './registers.js';
import { INTERRUPTS, type Statistics } from './statistics.js';

export const SENT = 1 << 0;
export const SEND_QUEUE_EMPTY = 1 << 1;
export const LINK_CHANGED = 1 << 2;
export const FEW_DESCRIPTORS = 1 << 4;
export const OVERRUN = 1 << 6;
export const RECEIVED = 1 << 7;
export const MDI_DONE = 1 << 9;
export const RECEIVE_QUEUE = 1 << 20;
export const TRANSMIT_QUEUE = 1 << 22;
export const OTHER = 1 << 24;
const ASSERTED = 0x8000_0000;

/** Causes that have no queue. */
const OTHERS = LINK_CHANGED | OVERRUN | MDI_DONE | (1 << 16) | (1 << 17) | (1 << 18);
const CAUSES = 0x01f7_ffff;
/** Cause and place in IVAR of each source. */
const SOURCES = [
  [RECEIVE_QUEUE, 0],
  [RECEIVE_QUEUE << 1, 4],
  [TRANSMIT_QUEUE, 8],
  [TRANSMIT_QUEUE << 1, 12],
  [OTHER, 16],
] as const;
const VECTORS = 5;
const ENTRY_VALID = 8;
/** Units of a throttle in 1 ms. */
const THROTTLE_PER_MS = 1_000_000 / 256;

export class Causes {
  private set = 0;
  private mask = 0;
  private told = 0;
  /** Vectors that are quiet, as bits. */
  private quiet = 0;

  constructor(
    private readonly bus: ModelBus,
    private readonly registers: reg.Registers,
    private readonly statistics: Statistics,
  ) {}

  private get pending(): number {
    return this.set & this.mask;
  }

  *raise(causes: number): Op<void> {
    this.set |= causes & CAUSES;
    if (causes & OTHERS) this.set |= OTHER;
    yield* this.tell();
  }

  get enabled(): number {
    return this.mask;
  }

  *enable(causes: number): Op<void> {
    this.mask |= causes & CAUSES;
    yield* this.tell();
  }

  disable(causes: number): void {
    this.mask &= ~causes;
    this.settle();
  }

  /** ICR: clears all, when an interrupt is asserted or nothing is enabled; else reading changes nothing. */
  read(): number {
    const { pending, set } = this;
    if (pending === 0 && this.mask !== 0) return set;
    this.set = 0;
    if (pending !== 0) this.autoMask();
    this.settle();
    return (set | (pending === 0 ? 0 : ASSERTED)) >>> 0;
  }

  /** Clears causes; those without a queue go together. */
  acknowledge(causes: number): void {
    if (this.pending !== 0) this.autoMask();
    this.set &= ~(causes & OTHER ? causes | OTHERS : causes);
    this.settle();
  }

  private autoMask(): void {
    if (this.registers.get(reg.CTRL_EXT) & reg.CTRL_EXT_IAME) this.mask &= ~this.registers.get(reg.IAM);
  }

  /** What is not pending any more was not told, and leaves the line. */
  private settle(): void {
    this.told &= this.pending;
    if (this.pending === 0) this.bus.lower();
  }

  private *tell(): Op<void> {
    const { interrupts } = this.bus;
    if (interrupts === 'msix') return yield* this.tellSources();
    const fresh = this.pending & ~this.told;
    if (fresh === 0 || this.isQuiet(0)) return;
    this.told |= fresh;
    yield* this.send(0, reg.ITR);
  }

  private *tellSources(): Op<void> {
    for (const [cause, shift] of SOURCES) {
      const entry = this.registers.get(reg.IVAR) >>> shift;
      const vector = entry & 7;
      if (!(this.pending & ~this.told & cause) || !(entry & ENTRY_VALID) || vector >= VECTORS) continue;
      if (this.isQuiet(vector)) continue;
      this.told |= cause;
      this.autoClear(cause);
      yield* this.send(vector, reg.EITR + 4 * vector);
    }
  }

  /** What the driver need not do for a message: clear the cause, and mask it. */
  private autoClear(cause: number): void {
    const { registers } = this;
    const control = registers.get(reg.CTRL_EXT);
    const cleared = registers.get(reg.EIAC) & cause;
    if (control & reg.CTRL_EXT_EIAME) this.mask &= ~(registers.get(reg.IAM) & cause);
    this.set &= ~cleared;
    if (!(control & reg.CTRL_EXT_IAME)) this.mask &= ~cleared;
    this.told &= this.pending;
  }

  private isQuiet(vector: number): boolean {
    return (this.quiet & (1 << vector)) !== 0;
  }

  private *send(vector: number, throttle: number): Op<void> {
    this.statistics.count(INTERRUPTS);
    const ms = Math.floor((this.registers.get(throttle) & 0xffff) / THROTTLE_PER_MS);
    if (ms > 0) {
      this.quiet |= 1 << vector;
      const wakes = (): void => void (this.quiet &= ~(1 << vector));
      yield* this.bus.later(ms, () => this.wake(wakes), wakes);
    }
    yield* this.bus.raise(vector);
  }

  private *wake(wakes: () => void): Op<void> {
    wakes();
    yield* this.tell();
  }

  reset(): void {
    this.set = 0;
    this.mask = 0;
    this.told = 0;
    this.bus.lower();
  }

  /** Nothing waits for its time any more. */
  restart(): void {
    this.quiet = 0;
    this.reset();
  }

  encode(w: ByteWriter): void {
    for (const value of [this.set, this.mask, this.told, this.quiet]) w.u32(value >>> 0);
  }

  decode(r: ByteReader): void {
    [this.set, this.mask, this.told, this.quiet] = [r.u32(), r.u32(), r.u32(), r.u32()];
  }

  describe(): string {
    return `ICR 0x${this.set.toString(16)} IMS 0x${this.mask.toString(16)}`;
  }
}

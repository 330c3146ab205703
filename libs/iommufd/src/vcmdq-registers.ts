/**
 * Registers of a VCMDQ: 0x80 bytes for each queue, in the bytes of its VINTF's window.
 *
 * Words: PROD and CONS count commands and have a wrap bit above the index; an *error* is active while GERROR and GERRORN
 * differ, and who handled it makes them equal.
 * Rule: registers of a queue that does not exist, and reserved ones, are zero and stay so.
 */
import type { HwQueue } from './hw-queue.js';
import { COMMAND_BYTES } from './vintf.js';

const STRIDE = 0x80;
const CONS = 0x00;
const PROD = 0x04;
const CONFIG = 0x08;
const STATUS = 0x0c;
const GERROR = 0x10;
const GERRORN = 0x14;

const COUNTER = 0xfffff;
const ERROR_CODE_AT = 24;
const ERROR_CODE = 0x7f << ERROR_CODE_AT;
const ENABLED = 1;
const COMMAND_ERROR = 1;
const ERRORS = 7;
/** A command that is not the guest's to give. */
const CERROR_ILL = 1;

export class VcmdqRegisters {
  private readonly view: DataView;
  /** Commands that the queue holds. */
  private readonly size: number;

  constructor({ viommu, index, memory }: HwQueue) {
    const { bytes } = viommu.window!;
    this.view = new DataView(bytes.buffer, bytes.byteOffset + index * STRIDE, STRIDE);
    this.size = memory.length / COMMAND_BYTES;
  }

  private get(at: number): number {
    return this.view.getUint32(at, true);
  }
  private set(at: number, value: number): void {
    this.view.setUint32(at, value >>> 0, true);
  }

  /** A store of one word. CONS is the hardware's while the queue is enabled; STATUS and GERROR always are. */
  store(at: number, value: number): void {
    if (at === PROD) this.set(PROD, value & COUNTER);
    if (at === GERRORN) this.set(GERRORN, value & ERRORS);
    if (at === CONS && !this.enabled) this.set(CONS, value & (COUNTER | ERROR_CODE));
    if (at !== CONFIG) return;
    this.set(CONFIG, value & ENABLED);
    this.set(STATUS, value & ENABLED);
  }

  private get enabled(): boolean {
    return (this.get(STATUS) & ENABLED) !== 0;
  }

  get failed(): boolean {
    return ((this.get(GERROR) ^ this.get(GERRORN)) & COMMAND_ERROR) !== 0;
  }

  /** The next commands: their place in the queue, and how many lie there one after another. None while the queue stands still. */
  next(): { readonly first: number; readonly count: number } {
    const [cons, prod] = [this.get(CONS), this.get(PROD)];
    const first = cons & (this.size - 1);
    const waiting = (prod - cons) & (2 * this.size - 1);
    const count = this.enabled && !this.failed ? Math.min(waiting, this.size - first) : 0;
    return { first, count };
  }

  /** The hardware has carried out so many. */
  advance(count: number): void {
    this.set(CONS, (this.get(CONS) + count) & (2 * this.size - 1));
  }

  /** CONS stays at the command that is illegal, and nothing is taken until the guest has handled it. */
  fail(): void {
    this.set(CONS, (this.get(CONS) & COUNTER) | (CERROR_ILL << ERROR_CODE_AT));
    this.set(GERROR, this.get(GERROR) ^ COMMAND_ERROR);
  }
}

/** Words that a store of `length` bytes at `offset` of the window covers of one queue: their offsets among its registers. */
export function wordsOf(index: number, offset: number, length: number): number[] {
  const start = offset - index * STRIDE;
  const words = [];
  for (let at = Math.max(0, Math.ceil(start / 4) * 4); at + 4 <= Math.min(start + length, STRIDE); at += 4)
    words.push(at);
  return words;
}

export const offsetOf = (index: number, at: number): number => index * STRIDE + at;

/** The queue is gone, and whoever has it next finds it at rest. */
export function resetVcmdq({ viommu, index }: HwQueue): void {
  viommu.window!.bytes.fill(0, index * STRIDE, (index + 1) * STRIDE);
}

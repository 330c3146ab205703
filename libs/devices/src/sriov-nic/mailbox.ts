/**
 * One side of a mailbox, and what it tells the other side.
 *
 * Words: a *note* is all that a side has to tell: newer ones stand for older ones, so none needs to be kept. Messages are
 * numbered; each side tells the number of its own last message, and of the last one of the other side that was taken. A *life* of
 * a side ends when it is reset.
 * Rule: a message waits until it was taken; a driver that sends another one before is not heard. What was said in an earlier life
 * of the other side does not count.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { MAILBOX_WORDS, MESSAGE, SEND, TAKEN, UNTAKEN } from './registers.js';

const empty = (): Uint32Array => new Uint32Array(MAILBOX_WORDS);

export interface Heard {
  /** The other side was reset since it was heard last. */
  readonly fresh: boolean;
  /** There is a new message, or ours was taken. */
  readonly changed: boolean;
  readonly message: boolean;
  /** The other side does not know of our life: it has to be told. */
  readonly unaware: boolean;
}

export class Mailbox {
  /** As the driver writes them. */
  readonly out = empty();
  /** The message as it was sent. */
  private readonly message = empty();
  /** Of the other side. */
  readonly in = empty();
  private sent = 0;
  private heard = 0;
  private taken = 0;
  /** The last of ours that the other side has taken. */
  private acknowledged = 0;
  private life = 0;
  private otherLife = 0;

  get status(): number {
    return (this.heard !== this.taken ? MESSAGE : 0) | (this.sent !== this.acknowledged ? UNTAKEN : 0);
  }

  /** A doorbell was written. Is there something to tell? */
  ring(value: number): boolean {
    const { status } = this;
    const takes = (value & TAKEN) !== 0 && (status & MESSAGE) !== 0;
    const sends = (value & SEND) !== 0 && !(status & UNTAKEN);
    if (takes) this.taken = this.heard;
    if (sends) {
      this.message.set(this.out);
      this.sent = (this.sent + 1) >>> 0;
    }
    return takes || sends;
  }

  tell(w: ByteWriter): void {
    for (const value of [this.life, this.otherLife, this.sent, this.taken, ...this.message]) w.u32(value);
  }

  hear(r: ByteReader): Heard {
    const [life, known, sent, taken] = [r.u32(), r.u32(), r.u32(), r.u32()];
    const message = Uint32Array.from(empty(), () => r.u32());
    const fresh = life !== this.otherLife;
    if (fresh) this.meet();
    this.otherLife = life;
    if (known !== this.life) return { fresh, changed: false, message: false, unaware: true };
    const isNew = sent !== this.heard;
    const changed = isNew || taken !== this.acknowledged;
    if (isNew) this.in.set(message);
    this.heard = sent;
    this.acknowledged = taken;
    return { fresh, changed, message: isNew, unaware: false };
  }

  /** The other side begins anew: what it said is gone, and what it has not taken of ours waits for it. */
  private meet(): void {
    this.sent = this.status & UNTAKEN ? 1 : 0;
    this.heard = this.taken = this.acknowledged = 0;
    this.in.fill(0);
  }

  /** Nothing of ours waits any more. */
  withdraw(): void {
    this.sent = this.acknowledged;
    for (const each of [this.out, this.message]) each.fill(0);
  }

  /** A new life. */
  reset(): void {
    this.sent = this.heard = this.taken = this.acknowledged = 0;
    for (const each of [this.out, this.message, this.in]) each.fill(0);
    this.life = (this.life + 1) >>> 0;
  }

  encode(w: ByteWriter): void {
    for (const value of [this.sent, this.heard, this.taken, this.acknowledged, this.life, this.otherLife]) w.u32(value);
    for (const each of [this.out, this.message, this.in]) for (const word of each) w.u32(word);
  }

  decode(r: ByteReader): void {
    [this.sent, this.heard, this.taken, this.acknowledged] = [r.u32(), r.u32(), r.u32(), r.u32()];
    [this.life, this.otherLife] = [r.u32(), r.u32()];
    for (const each of [this.out, this.message, this.in]) each.forEach((_, i) => (each[i] = r.u32()));
  }
}

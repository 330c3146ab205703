/**
 * What is wrong with a function's hardware now.
 *
 * Words: a function is *silent* when it does not answer: reads give ones and writes are lost. *Gone*: its link is down. Times are in
 * ms since the epoch; NEVER: there is no end to it, or nobody has counted.
 * Rule: it belongs to the hardware, so it outlives drivers and users; only what has a time ends by itself.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';

export const NEVER = Number.MAX_SAFE_INTEGER;
/** Storms of one function at a time. */
export const MAX_STORMS = 8;

/** How many resets more, and for how long the function is silent after each. */
interface Stuck {
  left: number;
  ms: number;
}

export class DeviceFaults {
  gone = false;
  silentUntil = 0;
  stuck: Stuck = { left: 0, ms: 0 };
  /** Attempts to reset it that will not. */
  failing = 0;
  slow = { delay: 0, until: 0 };
  /** Errors that were corrected. */
  corrected = 0;
  /** Storms under way; and a number that they have in common until all of them are ended. */
  storms = 0;
  season = 0;

  /** Can it be silent, or slow? */
  get disturbs(): boolean {
    return this.gone || this.silentUntil > 0 || this.slow.until > 0;
  }

  /** Will the next reset not be as usual? */
  get spoilsResets(): boolean {
    return this.failing > 0 || this.stuck.left > 0;
  }

  isSilent(now: number): boolean {
    if (this.gone) return true;
    if (now >= this.silentUntil) this.silentUntil = 0;
    return this.silentUntil > 0;
  }

  /** ms that a read of a register takes longer. */
  delay(now: number): number {
    if (now >= this.slow.until) this.slow = { delay: 0, until: 0 };
    return this.slow.delay;
  }

  /** An attempt to reset the function begins: does it come to nothing? */
  takeFailure(): boolean {
    if (this.failing === 0) return false;
    if (this.failing !== NEVER) this.failing--;
    return true;
  }

  /** The function is being reset: ms that it is silent for afterwards. */
  takeSilence(): number {
    const { stuck } = this;
    if (stuck.left === 0) return 0;
    if (stuck.left !== NEVER) stuck.left--;
    return stuck.ms;
  }

  /** It begins to be silent. A silence without end stays one. */
  silence(now: number, ms: number): void {
    this.silentUntil = ms === 0 ? 0 : Math.min(NEVER, now + ms);
  }

  endStorms(): void {
    this.season++;
  }

  /** Everything ends but a link that is down. */
  clear(): void {
    this.endStorms();
    this.silentUntil = 0;
    this.stuck = { left: 0, ms: 0 };
    this.failing = 0;
    this.slow = { delay: 0, until: 0 };
  }

  /** Storms are operations under way, so there are none here. */
  encode(w: ByteWriter): void {
    w.bool(this.gone);
    const { stuck, slow } = this;
    for (const n of [this.silentUntil, stuck.left, stuck.ms, this.failing, slow.delay, slow.until, this.corrected])
      w.num(n);
  }

  decode(r: ByteReader): void {
    this.gone = r.bool();
    this.silentUntil = r.num();
    this.stuck = { left: r.num(), ms: r.num() };
    this.failing = r.num();
    this.slow = { delay: r.num(), until: r.num() };
    this.corrected = r.num();
  }

  check(): string[] {
    return this.storms > 0 ? [`${this.storms} storms are under way that nobody runs`] : [];
  }

  /** In words; empty when nothing is wrong. */
  describe(): string {
    const { stuck, failing, slow, corrected } = this;
    const counted = (n: number): string => (n === NEVER ? 'all' : String(n));
    return [
      ...(this.gone ? ['link down'] : []),
      ...(this.silentUntil > 0 ? ['silent'] : []),
      ...(stuck.left > 0 ? [`${counted(stuck.left)} resets get stuck`] : []),
      ...(failing > 0 ? [`${counted(failing)} resets fail`] : []),
      ...(slow.until > 0 ? [`reads take ${slow.delay} ms`] : []),
      ...(corrected > 0 ? [`${corrected} errors corrected`] : []),
    ].join(', ');
  }
}

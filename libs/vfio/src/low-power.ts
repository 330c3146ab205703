/**
 * A function's low power mode, entered and left by a client (semantics D7.2).
 *
 * Words: *engaged* = the client gave leave to sleep: the function sleeps whenever no call is on its file.
 * Rule: a wake-up eventfd belongs to the engagement and goes with it. Who sleeps and is called wakes up for the call; with
 * a wake-up eventfd for good.
 */
import type { ByteReader, ByteWriter, View } from '@vfiolab/core';

export class LowPower {
  engaged = false;
  /** Number under which `pages` holds the wake-up eventfd. */
  wake: number | undefined;

  enter(wake: number | undefined): void {
    this.engaged = true;
    this.wake = wake;
  }

  /** Answers the eventfd that is to be given back. */
  leave(): number | undefined {
    const { wake } = this;
    this.engaged = false;
    this.wake = undefined;
    return wake;
  }

  encode(w: ByteWriter, view: View): void {
    w.bool(this.engaged);
    w.bool(this.wake !== undefined);
    if (view === 'snapshot' && this.wake !== undefined) w.num(this.wake);
  }

  decode(r: ByteReader): void {
    this.engaged = r.bool();
    this.wake = r.bool() ? r.num() : undefined;
  }

  check(): string[] {
    return !this.engaged && this.wake !== undefined ? ['I40: a wake-up eventfd is held out of low power'] : [];
  }
}

/**
 * Work that a device's model does by itself, some time after it was told to.
 *
 * Words: a *life* of the model ends when it is reset or closed.
 * Rule: accesses go on until the work begins, and then a reset waits for it; work of an earlier life is dropped.
 */
import { type Lock, lockRead, type Op, sleep, spawn } from '@vfiolab/core';

export class PlannedWork {
  private life = 0;

  /** `memory`: held by whoever touches the device's registers. */
  constructor(private readonly memory: Lock) {}

  /** The model begins anew. */
  forget(): void {
    this.life++;
  }

  /** `dropped`: what to do when the work is. */
  *later(ms: number, work: () => Op<void>, dropped?: () => void): Op<void> {
    yield* spawn(this.after(ms, this.life, work, dropped));
  }

  private *after(ms: number, life: number, work: () => Op<void>, dropped?: () => void): Op<void> {
    yield* sleep(ms);
    yield* lockRead(this.memory);
    if (this.life === life) yield* work();
    else dropped?.();
  }
}

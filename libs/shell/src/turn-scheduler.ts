/**
 * Runs what was put off: soon, in order, and without starving the event loop.
 *
 * Words: a *slice* is the time since the event loop last had a chance to do I/O and timers.
 * Rule: tasks run as microtasks, which is the cheapest "not now", until a slice has lasted `SLICE_MS`; then they wait for
 * the event loop.
 */

/** Longest time without I/O and timers, in ms, apart from one task that takes longer by itself. */
export const SLICE_MS = 4;

export class TurnScheduler {
  private tasks: (() => void)[] = [];
  private scheduled = false;
  private sliceStart = 0;
  private sliceOpen = false;

  /** Runs `task` after the code that is running now. Bound, so that it can be passed on. */
  readonly defer = (task: () => void): void => {
    this.tasks.push(task);
    if (this.scheduled) return;
    this.scheduled = true;
    if (this.sliceOpen && performance.now() - this.sliceStart > SLICE_MS) setImmediate(this.drain);
    else queueMicrotask(this.drain);
  };

  private readonly drain = (): void => {
    this.openSlice();
    // Tasks may put off others: each round runs what the round before it has left.
    while (this.tasks.length > 0) {
      const round = this.tasks;
      this.tasks = [];
      for (let i = 0; i < round.length; i++) this.runOne(round[i]!);
      if (performance.now() - this.sliceStart > SLICE_MS && this.tasks.length > 0) return void setImmediate(this.drain);
    }
    this.scheduled = false;
  };

  /** An error in a task must not stop the others; it surfaces as what it is, an uncaught error. */
  private runOne(task: () => void): void {
    try {
      task();
    } catch (e) {
      queueMicrotask(() => {
        throw e;
      });
    }
  }

  /** A slice lasts until the event loop has come round, which `setImmediate` tells. */
  private openSlice(): void {
    if (this.sliceOpen) {
      if (performance.now() - this.sliceStart > SLICE_MS) this.sliceStart = performance.now();
      return;
    }
    this.sliceOpen = true;
    this.sliceStart = performance.now();
    setImmediate(() => (this.sliceOpen = false));
  }
}

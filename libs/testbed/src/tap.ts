/**
 * Looking at frames as they pass: what crash plans wait for.
 *
 * Rule: a tap sees a frame before its receiver does, and may keep it.
 */
import { type Address, decodeHeader, REPLY, REQUEST } from '@vfiolab/core';
import { methodNamed } from '@vfiolab/host';
import type { CrashPlan } from '@vfiolab/scenario';

/** Answers true once: for the frame at which the plan's crash happens. */
export class CrashTrigger {
  private readonly method: number;
  private readonly asked = new Set<string>();
  private left: number;
  done = false;

  constructor(private readonly plan: CrashPlan) {
    this.method = methodNamed(plan.method).id;
    this.left = plan.nth;
  }

  see(from: Address, to: Address, frame: Uint8Array): boolean {
    if (this.done || !this.fits(from, to, frame) || --this.left > 0) return false;
    this.done = true;
    return true;
  }

  private fits(from: Address, to: Address, frame: Uint8Array): boolean {
    const h = decodeHeader(frame);
    const { service, at } = this.plan;
    if (h.kind === REQUEST && to === service && h.method === this.method) {
      const again = this.asked.has(`${from} ${h.id}`);
      this.asked.add(`${from} ${h.id}`);
      return at === 'request' && !again;
    }
    return at === 'answer' && h.kind === REPLY && from === service && this.asked.delete(`${to} ${h.id}`);
  }
}

/**
 * The bus of one process.
 *
 * Rule: frames are handed over in batches: what was sent while something ran is delivered together afterwards, so an
 * actor finds all of it in its inbox and journals it in one record.
 */
import { type Address, serviceOf } from '@vfiolab/core';
import type { Bus, Detach, Receive, ReceiveFor } from './bus.js';
import type { TurnScheduler } from './turn-scheduler.js';

/** Frames under way at most; more are dropped and come again. */
export const MAX_UNDER_WAY = 262_144;

interface UnderWay {
  readonly from: Address;
  readonly to: Address;
  readonly frame: Uint8Array;
}

export class MemoryBus implements Bus {
  /** Frames dropped because too many were under way. */
  dropped = 0;
  private readonly receivers = new Map<Address, Receive>();
  private readonly services = new Map<string, ReceiveFor>();
  private queue: UnderWay[] = [];

  constructor(private readonly scheduler: TurnScheduler) {}

  attach(address: Address, receive: Receive): Detach {
    this.receivers.set(address, receive);
    return () => {
      if (this.receivers.get(address) === receive) this.receivers.delete(address);
    };
  }

  attachService(service: string, receive: ReceiveFor): Detach {
    this.services.set(service, receive);
    return () => {
      if (this.services.get(service) === receive) this.services.delete(service);
    };
  }

  send(from: Address, to: Address, frame: Uint8Array): void {
    if (this.queue.length >= MAX_UNDER_WAY) {
      this.dropped++;
      return;
    }
    this.queue.push({ from, to, frame });
    if (this.queue.length === 1) this.scheduler.defer(this.deliver);
  }

  private readonly deliver = (): void => {
    const batch = this.queue;
    this.queue = [];
    for (let i = 0; i < batch.length; i++) {
      const { from, to, frame } = batch[i]!;
      try {
        this.handOver(from, to, frame);
      } catch (e) {
        // One receiver's mistake must not cost the others their frames.
        this.scheduler.defer(() => {
          throw e;
        });
      }
    }
  };

  private handOver(from: Address, to: Address, frame: Uint8Array): void {
    const receive = this.receivers.get(to);
    if (receive) receive(from, frame);
    else this.services.get(serviceOf(to))?.(to, from, frame);
  }
}

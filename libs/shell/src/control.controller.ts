/**
 * What people and tools ask a service's process: its state, never a change.
 *
 * Rule: answers are plain JSON and bounded.
 */
import { Controller, Inject } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { ActorHost } from './actor-host.js';

/** Lines of a description that are answered at most. */
export const MAX_LINES = 2000;

export interface ActorStatus {
  readonly address: string;
  readonly state: string;
  /** Inputs so far. */
  readonly seq: number;
  readonly inFlight: number;
  /** Frames dropped because the inbox was full. */
  readonly dropped: number;
  /** Broken invariants, in words. */
  readonly broken: readonly string[];
}

@Controller()
export class ControlController {
  constructor(@Inject(ActorHost) private readonly host: ActorHost) {}

  @MessagePattern('status')
  status(): ActorStatus[] {
    return this.host.states().map(({ address, state }) => {
      const actor = this.host.actor(address);
      const machine = actor?.machine;
      const broken = machine?.idle ? machine.core.check() : [];
      return {
        address,
        state,
        seq: actor?.seq ?? 0,
        inFlight: machine?.inFlight ?? 0,
        dropped: actor?.dropped ?? 0,
        broken,
      };
    });
  }

  @MessagePattern('describe')
  describe(@Payload() data: { address?: unknown } | null): string[] {
    const address = String(data?.address ?? '');
    const actor = this.host.actor(address);
    if (!actor)
      return [
        `there is no actor '${address}' here; there are ${this.host
          .states()
          .map((s) => s.address)
          .join(', ')}`,
      ];
    return actor.machine.core.describe().slice(0, MAX_LINES);
  }
}

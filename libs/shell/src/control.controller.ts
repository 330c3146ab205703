/**
 * What people and tools ask a service's process: its state, never a change.
 *
 * Rule: answers are plain JSON and bounded.
 */
import { Controller, Inject } from '@nestjs/common';
import { MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import type { ActorHost } from './actor-host.js';
import { ServedHosts } from './served-hosts.js';

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

/** Of which host, and of which actor, is asked; without a host it is the home of the process. */
interface Question {
  readonly host?: unknown;
  readonly address?: unknown;
}

@Controller()
export class ControlController {
  constructor(@Inject(ServedHosts) private readonly hosts: ServedHosts) {}

  private of(question: Question | null | undefined): ActorHost {
    if (question?.host === undefined) return this.hosts.home;
    const host = String(question.host);
    const served = this.hosts.of(host);
    if (!served)
      throw new RpcException(`host '${host}' is not served here; there are ${this.hosts.names().join(', ')}`);
    return served;
  }

  @MessagePattern('status')
  status(@Payload() question: Question | null): ActorStatus[] {
    const host = this.of(question);
    return host.states().map(({ address, state }) => {
      const actor = host.actor(address);
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
  describe(@Payload() question: Question | null): string[] {
    const host = this.of(question);
    const address = String(question?.address ?? '');
    const actor = host.actor(address);
    if (!actor)
      return [
        `there is no actor '${address}' here; there are ${host
          .states()
          .map((s) => s.address)
          .join(', ')}`,
      ];
    return actor.machine.core.describe().slice(0, MAX_LINES);
  }

  /** Names of the hosts that this process serves, its home first. */
  @MessagePattern('hosts')
  served(): string[] {
    return this.hosts.names();
  }
}

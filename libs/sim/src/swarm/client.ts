/**
 * A process of a swarm: it asks, waits for answers, and may be killed in the middle.
 *
 * Words: a *thread* is an act that runs in it.
 * Rule: what it does next depends on its own chance and on what it was answered, and on nothing else.
 */
import { type Address, Caller, clientAddress } from '@vfiolab/core';
import { hashText } from '../dice.js';
import { frameKey } from '../faults/frame-identity.js';
import type { SimHost } from '../sim-host.js';
import type { Act, Ask, Pause } from './act.js';

const TICK_MS = 25;
const KILL = 40;

export class SwarmClient {
  readonly address: Address;
  dead = false;
  calls = 0;
  private readonly caller: Caller;
  private readonly hash: number;
  private threads = 0;

  constructor(
    private readonly host: SimHost,
    readonly name: string,
    /** It has ended: all its threads did, or it was killed. */
    private readonly ended: (client: SwarmClient) => void,
  ) {
    this.address = clientAddress(name);
    this.hash = hashText(name);
    this.caller = new Caller({
      now: () => host.now(),
      send: (to, frame) => {
        if (!this.dead) host.clientSends(this.address, to, frame);
      },
    });
    host.attachClient(this.address, (from, frame) => this.caller.receive(from, frame));
    this.tick();
  }

  private tick(): void {
    if (this.dead) return;
    this.caller.tick();
    this.host.agenda.after(TICK_MS, () => this.tick());
  }

  run(act: Act<void>): void {
    this.threads++;
    this.resume(act, undefined);
  }

  private resume(act: Act<void>, value: unknown): void {
    if (this.dead) return;
    const step = act.next(value);
    if (step.done) return this.finished();
    const wanted: Ask | Pause = step.value;
    if ('ms' in wanted) return this.host.agenda.after(wanted.ms, () => this.resume(act, undefined));
    this.calls++;
    const answered = (reply: unknown): void => this.resume(act, reply);
    this.caller.request(wanted.to, wanted.method, wanted.args, answered, (error) => this.refused(error));
    this.mayDie();
  }

  /** A process that has ended is answered nothing else. */
  private refused(error: Error): void {
    if (!this.dead) this.host.failures.push(`${this.name}: ${error.message}`);
  }

  private mayDie(): void {
    const { faults, options } = this.host;
    const name = (): string => `kill ${this.name} in call ${this.calls}`;
    if (faults.chance(options.kill, KILL, frameKey(this.hash, this.calls, 0), name)) this.end();
  }

  private finished(): void {
    if (--this.threads === 0) this.end();
  }

  /** It is gone, whatever it is doing; the lab hears of it. */
  end(): void {
    if (this.dead) return;
    this.dead = true;
    this.host.detachClient(this.address);
    this.ended(this);
  }
}

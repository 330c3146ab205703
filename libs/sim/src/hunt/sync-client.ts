/**
 * A client without promises: it asks, and virtual time moves until the answer is there.
 *
 * Rule: an answer takes a bounded number of events; more is a hang, and a finding.
 */
import { type Address, Caller, clientAddress, type Method } from '@vfiolab/core';
import type { SimHost } from '../sim-host.js';

/** Events that one call may take at most: a map of all memory there is takes some hundreds. */
const PATIENCE = 200_000;
const TICK_MS = 25;

export class Hang extends Error {}

export class SyncClient {
  readonly address: Address;
  private readonly caller: Caller;

  constructor(
    private readonly host: SimHost,
    name: string,
  ) {
    this.address = clientAddress(name);
    const send = (to: Address, frame: Uint8Array): void => host.clientSends(this.address, to, frame);
    this.caller = new Caller({ now: () => host.now(), send });
    host.attachClient(this.address, (from, frame) => this.caller.receive(from, frame));
    this.tick();
  }

  private tick(): void {
    this.caller.tick();
    this.host.agenda.after(TICK_MS, () => this.tick());
  }

  /** Sends a request; `settle` is called when its answer is there. */
  send<A, R>(to: Address, method: Method<A, R>, args: A, settle: (reply: R) => void): void {
    this.caller.request(to, method, args, settle, (error) => {
      throw error;
    });
  }

  /** Throws `Hang`, or why a service stopped. */
  call<A, R>(to: Address, method: Method<A, R>, args: A): R {
    let reply: { value: R } | undefined;
    this.send(to, method, args, (value) => void (reply = { value }));
    advance(this.host, () => reply !== undefined, method.name);
    return reply!.value;
  }
}

/** Moves virtual time until it is done. */
export function advance(host: SimHost, done: () => boolean, what: string): void {
  for (let events = 0; !done(); events++) {
    if (events > PATIENCE) throw new Hang(`${what} is not answered after ${PATIENCE} events`);
    if (!host.agenda.step()) throw new Hang(`${what} is not answered, and nothing more will happen`);
    if (host.failures.length > 0) throw new Error(host.failures.join('\n'));
  }
}

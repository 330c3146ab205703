/**
 * Whether a service's process does its work: what container engines, orchestrators and people ask it.
 *
 * Rule: the actors are asked, not a port. A process is healthy when it has the bus and every actor of its home answers its
 * callers; a further host that has failed is named, and ends nothing: restarting the process would take the others down.
 */
import type { ServedHosts } from './served-hosts.js';

export interface Health {
  readonly healthy: boolean;
  /** What is wrong, in words; empty when nothing is. */
  readonly problems: readonly string[];
}

/** Problems that one answer names. */
export const MAX_PROBLEMS = 20;

export function healthOf(hosts: Pick<ServedHosts, 'home' | 'names' | 'of'>, connected: boolean): Health {
  const atHome = [...(connected ? [] : ['there is no connection to NATS']), ...notServing(hosts.home, '')];
  const further = hosts.names().flatMap((host) => {
    const actors = hosts.of(host)!;
    return actors === hosts.home ? [] : notServing(actors, `host ${host}: `);
  });
  return { healthy: atHome.length === 0, problems: [...atHome, ...further].slice(0, MAX_PROBLEMS) };
}

const notServing = (actors: ServedHosts['home'], where: string): string[] =>
  actors.states().flatMap(({ address, state }) => (state === 'serving' ? [] : [`${where}${address} is ${state}`]));

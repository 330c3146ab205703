/**
 * What Prometheus scrapes from a service's process: `/metrics` of its watch server.
 *
 * Rule: figures are read when they are asked for, so that nobody pays for them otherwise; and they are of a host and
 * service, not of a single device, so that there are no more of them than hosts.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { ActorHost } from './actor-host.js';
import type { ServedHosts } from './served-hosts.js';

interface Sums {
  readonly actors: number;
  readonly serving: number;
  readonly inputs: number;
  readonly inFlight: number;
  readonly dropped: number;
}

function sumsOf(host: ActorHost): Sums {
  const sums = { actors: 0, serving: 0, inputs: 0, inFlight: 0, dropped: host.dropped };
  for (const { address, state } of host.states()) {
    const actor = host.actor(address);
    sums.actors++;
    if (state === 'serving') sums.serving++;
    sums.inputs += actor?.seq ?? 0;
    sums.inFlight += actor?.machine.inFlight ?? 0;
    sums.dropped += actor?.dropped ?? 0;
  }
  return sums;
}

/** `service`: the one that runs in the process. */
export function metricsOf(
  service: string,
  hosts: Pick<ServedHosts, 'names' | 'of'>,
  bus: { readonly connected: boolean; readonly dropped: number },
): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const each = (set: (host: string, sums: Sums) => void): void => {
    for (const host of hosts.names()) set(host, sumsOf(hosts.of(host)!));
  };
  const gauge = (name: string, help: string, of: (sums: Sums) => number): void =>
    void new Gauge({
      name,
      help,
      registers,
      labelNames: ['host'],
      collect() {
        this.reset();
        each((host, sums) => this.set({ host }, of(sums)));
      },
    });
  const counter = (name: string, help: string, of: (sums: Sums) => number): void =>
    void new Counter({
      name,
      help,
      registers,
      labelNames: ['host'],
      collect() {
        this.reset();
        each((host, sums) => this.inc({ host }, of(sums)));
      },
    });
  gauge('vfiolab_actors', 'Actors of the host in this process.', ({ actors }) => actors);
  gauge('vfiolab_actors_serving', 'Those that answer their callers.', ({ serving }) => serving);
  gauge('vfiolab_operations_in_flight', 'Operations that wait for another service or for a time.', (s) => s.inFlight);
  counter('vfiolab_inputs_total', 'Inputs journaled since the beginning of the journals.', ({ inputs }) => inputs);
  counter('vfiolab_frames_dropped_total', 'Frames for which there was no room or no actor.', (s) => s.dropped);
  new Gauge({
    name: 'vfiolab_bus_connected',
    help: '1 while there is a connection to NATS.',
    registers,
    collect() {
      this.set(bus.connected ? 1 : 0);
    },
  });
  new Counter({
    name: 'vfiolab_bus_frames_dropped_total',
    help: 'Frames not sent: no connection, or too much waiting for the network.',
    registers,
    collect() {
      this.reset();
      this.inc(bus.dropped);
    },
  });
  return registry;
}

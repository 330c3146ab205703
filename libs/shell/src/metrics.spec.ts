import type { ActorHost } from './actor-host.js';
import { metricsOf } from './metrics.js';

interface FakeActor {
  readonly state: string;
  readonly seq: number;
  readonly dropped: number;
  readonly inFlight: number;
}

const hostOf = (actors: Record<string, FakeActor>, dropped = 0): ActorHost =>
  ({
    dropped,
    states: () => Object.entries(actors).map(([address, { state }]) => ({ address, state })),
    actor: (address: string) => {
      const { seq, dropped: of, inFlight } = actors[address]!;
      return { seq, dropped: of, machine: { inFlight } };
    },
  }) as unknown as ActorHost;

const actor = (change: Partial<FakeActor> = {}): FakeActor => ({
  state: 'serving',
  seq: 10,
  dropped: 0,
  inFlight: 0,
  ...change,
});

/** Values of the project's own metrics by name and labels. */
async function valuesOf(registry: ReturnType<typeof metricsOf>): Promise<Record<string, string>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line.startsWith('vfiolab_'));
  return Object.fromEntries(lines.map((line) => line.split(' ') as [string, string]));
}

test('figures of a host are sums over its actors, and those of now', async () => {
  const hosts = new Map([
    ['home', hostOf({})],
    ['h1', hostOf({ 'device:a': actor({ dropped: 2 }), 'device:b': actor({ state: 'failed', inFlight: 3 }) }, 4)],
  ]);
  const bus = { connected: true, dropped: 5 };
  const registry = metricsOf('device', { names: () => [...hosts.keys()], of: (host) => hosts.get(host) }, bus);
  const at = (host: string) => `{host="${host}",service="device"}`;
  expect(await valuesOf(registry)).toEqual({
    ...Object.fromEntries(
      ['vfiolab_actors', 'vfiolab_actors_serving', 'vfiolab_operations_in_flight'].map((n) => [n + at('home'), '0']),
    ),
    [`vfiolab_inputs_total${at('home')}`]: '0',
    [`vfiolab_frames_dropped_total${at('home')}`]: '0',
    [`vfiolab_actors${at('h1')}`]: '2',
    [`vfiolab_actors_serving${at('h1')}`]: '1',
    [`vfiolab_operations_in_flight${at('h1')}`]: '3',
    [`vfiolab_inputs_total${at('h1')}`]: '20',
    [`vfiolab_frames_dropped_total${at('h1')}`]: '6',
    'vfiolab_bus_connected{service="device"}': '1',
    'vfiolab_bus_frames_dropped_total{service="device"}': '5',
  });
  hosts.delete('h1');
  bus.connected = false;
  const later = await valuesOf(registry);
  expect(Object.keys(later).filter((name) => name.includes('h1'))).toEqual([]);
  expect(later['vfiolab_bus_connected{service="device"}']).toBe('0');
});

test('the process itself is among what is shown', async () => {
  const registry = metricsOf('pages', { names: () => [], of: () => undefined }, { connected: true, dropped: 0 });
  expect(await registry.metrics()).toMatch(/^nodejs_eventloop_lag_seconds\{service="pages"\} /m);
});

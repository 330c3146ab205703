import { healthOf, MAX_PROBLEMS } from './health.js';
import type { ActorHost, SlotState } from './actor-host.js';

const actors = (states: Record<string, SlotState>): ActorHost =>
  ({ states: () => Object.entries(states).map(([address, state]) => ({ address, state })) }) as unknown as ActorHost;

function hosts(home: ActorHost, further: Record<string, ActorHost> = {}) {
  const all = new Map<string, ActorHost>([['home', home], ...Object.entries(further)]);
  return { home, names: () => [...all.keys()], of: (host: string) => all.get(host) };
}

test('every actor of the home serves and the bus is there', () => {
  expect(healthOf(hosts(actors({ pages: 'serving' })), true)).toEqual({ healthy: true, problems: [] });
});

test.each(['opening', 'starting', 'failed', 'killed', 'stopped'] as const)(
  'an actor that is %s answers nobody',
  (s) => {
    const { healthy, problems } = healthOf(hosts(actors({ pages: 'serving', iommu: s })), true);
    expect([healthy, problems]).toEqual([false, [`iommu is ${s}`]]);
  },
);

test('without the bus nobody can ask it anything', () => {
  const { healthy, problems } = healthOf(hosts(actors({ pages: 'serving' })), false);
  expect([healthy, problems]).toEqual([false, ['there is no connection to NATS']]);
});

test('a further host that failed is named, and no reason to end the others', () => {
  const { healthy, problems } = healthOf(
    hosts(actors({ pages: 'serving' }), { h1: actors({ pages: 'failed' }) }),
    true,
  );
  expect([healthy, problems]).toEqual([true, ['host h1: pages is failed']]);
});

test('it names no more problems than an answer has room for, those at home first', () => {
  const many = actors(
    Object.fromEntries(Array.from({ length: MAX_PROBLEMS + 5 }, (_, n) => [`device:${n}`, 'failed'])),
  );
  const { problems } = healthOf(hosts(actors({ pages: 'failed' }), { h1: many }), true);
  expect([problems.length, problems[0]]).toEqual([MAX_PROBLEMS, 'pages is failed']);
});

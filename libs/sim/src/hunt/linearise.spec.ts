import { CALM } from '../options.js';
import type { Answer, Call } from './areas-model.js';
import { record } from './histories.js';
import { type Event, linearise } from './linearise.js';
import { boot } from './machine.js';

const SLOW = { ...CALM, delay: 0.5, delayMs: 2 };
const SEEDS = Array.from({ length: 20 }, (_, i) => i + 1);

/** A call of a client between two moments. */
const event = (
  client: number,
  made: number,
  answered: number,
  call: Partial<Call>,
  answer: Partial<Answer>,
): Event => ({
  client,
  made,
  answered,
  call: { kind: 'map', at: 0, count: 2, from: 0, ...call },
  answer: { errno: undefined, slots: 0, ...answer },
});

it.each<[string, boolean, Event[]]>([
  ['a place is given once', false, [event(0, 0, 1, {}, {}), event(1, 2, 3, { at: 1 }, {})]],
  ['nor to one of two at the same time', false, [event(0, 0, 2, {}, {}), event(1, 1, 3, { at: 1 }, {})]],
  ['either may get it', true, [event(0, 0, 2, {}, { errno: 'EEXIST' }), event(1, 1, 3, {}, {})]],
  ['not refused before it was asked for', false, [event(0, 0, 1, {}, { errno: 'EEXIST' }), event(1, 2, 3, {}, {})]],
  ['what is mapped is there', false, [event(0, 0, 1, {}, {}), event(1, 2, 3, { kind: 'unmap' }, { errno: 'ENOENT' })]],
  ['a map under way is busy', true, [event(0, 0, 3, {}, {}), event(1, 1, 2, { kind: 'unmap' }, { errno: 'EBUSY' })]],
  ['but not when it is done', false, [event(0, 0, 1, {}, {}), event(1, 2, 3, { kind: 'unmap' }, { errno: 'EBUSY' })]],
  ['unmap tells what it removed', false, [event(0, 0, 1, {}, {}), event(0, 2, 3, { kind: 'unmap' }, { slots: 1 })]],
])('the judge: %s', (_rule, explained, history) => {
  expect(linearise(history).explained).toBe(explained);
});

async function judge(attached: boolean, options: typeof CALM): Promise<Map<string, number>> {
  const world = await boot({ kind: 'mock', options, seed: 7 });
  const answers = new Map<string, number>();
  for (const seed of SEEDS) {
    const { history, broken } = record({ world, seed, clients: 8, calls: 12, attached });
    expect([seed, linearise(history).explained, broken]).toEqual([seed, true, []]);
    for (const { call, answer } of history) {
      const key = `${call.kind} ${answer.errno ?? 'ok'}`;
      answers.set(key, (answers.get(key) ?? 0) + 1);
    }
  }
  return answers;
}

// With a device, messages in order: see mistakes.spec.ts about stores that are released too early.
it.each([
  ['without a device, messages late and out of order', false, SLOW],
  ['with a device', true, CALM],
])(
  '8 clients on one IOAS: there is an order that explains every answer: %s',
  async (_name, attached, options) => {
    const answers = await judge(attached, options);
    for (const met of ['map ok', 'map EEXIST', 'unmap ok', 'unmap EBUSY', 'unmap ENOENT', 'copy ok', 'copy ENOENT'])
      expect([met, answers.get(met) ?? 0]).not.toEqual([met, 0]);
  },
  60_000,
);

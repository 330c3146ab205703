/** `vfiolab fault` and what a run tells of its plan. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FAILED, OK, USAGE } from './command.js';
import type { FaultOperator } from './engine.js';
import { main } from './main.js';
import { planTable } from './plan-table.js';
import { fakeEngine } from './testing/fake-engine.js';
import { FakeTerminal } from './testing/fake-terminal.js';

const LAB = 'nats://127.0.0.1:4222/default/lab/host0';
const RULE = { name: 'lag', words: 'delay requests to iommu by 40ms', seen: 9, fired: 3, held: 2 };
const dir = mkdtempSync(join(tmpdir(), 'vfiolab-fault-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const fault = async (args: readonly string[], change: Partial<FaultOperator> = {}) => {
  const did: unknown[] = [];
  const note = (what: string) => (arg?: unknown) =>
    Promise.resolve(void did.push(arg === undefined ? what : [what, arg]));
  const operator: FaultOperator = {
    ...{ add: note('add'), clear: note('clear'), release: note('release'), close: note('close') },
    status: () => Promise.resolve([RULE]),
    ...change,
  };
  const terminal = new FakeTerminal();
  const engine = fakeEngine({
    faultOperator: ({ url, instance, keyFile }) => {
      did.push(instance === undefined ? url : [url, instance, keyFile]);
      return Promise.resolve(operator);
    },
  });
  return { code: await main(['fault', ...args], terminal, engine), did, ...terminal.written };
};

test.each<[string[], unknown]>([
  [['list'], undefined],
  [['clear'], ['clear', []]],
  [
    ['clear', 'lag', 'split'],
    ['clear', ['lag', 'split']],
  ],
  [
    ['release', 'lag'],
    ['release', ['lag']],
  ],
  [
    ['add', 'lag: { delay: requests, by: 40ms }'],
    ['add', { lag: { delay: 'requests', by: '40ms' } }],
  ],
])('%j', async (args, work) => {
  const { code, did, out } = await fault([LAB, ...args]);
  expect([code, did]).toEqual([OK, [LAB, ...(work === undefined ? [] : [work]), 'close']]);
  expect(out).toBe('  lag  3 times of 9, 2 held: delay requests to iommu by 40ms\n');
});

test('a host of a lab that stays is reached by its instance, with the key of the operator', async () => {
  const { did } = await fault([LAB, 'list', '--instance', 'a', '--key', 'keys/operator.nk']);
  expect(did).toEqual([[LAB, 'a', 'keys/operator.nk'], 'close']);
});

test('rules come from a file, too', async () => {
  const file = join(dir, 'rules.yaml');
  writeFileSync(file, 'split:\n  partition: iommufd\n  from: pages\n  for: 2s\n');
  expect((await fault([LAB, 'add', file])).did[1]).toEqual([
    'add',
    { split: { partition: 'iommufd', from: 'pages', for: '2s' } },
  ]);
  writeFileSync(file, 'split:\n  partition: iommufd\n');
  const { code, did, err } = await fault([LAB, 'add', file]);
  expect([code, did]).toEqual([USAGE, []]);
  expect(err).toContain(`${file}:2:3: split: for is missing`);
});

test.each([
  [['explode'], 'There is nothing called "explode" to do. Use one of: list, add, clear, release.'],
  [['ad', 'x'], 'Did you mean add?'],
  [['add'], 'RULES are missing'],
  [['add', 'a: {}', 'b: {}'], 'a: the rule has 0 verbs'],
  [['add', 'lag: { delay: requests, by: 1ms }', 'more'], 'add takes one argument'],
])('%j is refused before anybody is asked', async (args, why) => {
  const { code, did, err } = await fault([LAB, ...args]);
  expect([code, did]).toEqual([USAGE, []]);
  expect(err).toContain(why);
});

test('what the lab refuses is said, and the operator leaves', async () => {
  const add = (): Promise<void> => Promise.reject(new Error('a: no journal is kept'));
  const { code, did, err } = await fault([LAB, 'add', 'a: { crash: pages }'], { add });
  expect([code, did, err]).toEqual([FAILED, [LAB, 'close'], 'vfiolab: a: no journal is kept\n']);
});

test('as JSON, and when there is nothing', async () => {
  expect(JSON.parse((await fault([LAB, 'list', '--json'])).out)).toEqual({ rules: [RULE] });
  expect((await fault([LAB, 'list'], { status: () => Promise.resolve([]) })).out).toBe('There are no rules.\n');
});

test('a rule that never acted, one that always did', () => {
  const rule = { name: 'a', words: 'drop requests, once', held: 0 };
  expect(
    planTable([
      { ...rule, seen: 4, fired: 0 },
      { ...rule, name: 'long', seen: 1, fired: 1 },
    ]),
  ).toEqual(['  a     never (of 4): drop requests, once', '  long  once: drop requests, once']);
});

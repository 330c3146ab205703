/** Fault plans of scenario files: what is wrong with them, and when their rules begin and end. */
import { PlanRun, readFaults } from './fault-plan.js';
import { ScenarioError } from './errors.js';
import { readScenario } from './read.js';
import { runScenario } from './run.js';
import { FakeEnvironment, scenarioText } from './testing/fake-environment.js';

const withPlan = (plan: string, ...steps: string[]): string =>
  `${scenarioText(...(steps.length > 0 ? steps : ['note: hello']))}\nfaults:\n  ${plan}\n`;

function problemOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof ScenarioError) return error.message;
    throw error;
  }
  return 'nothing is wrong';
}

test.each<[string, string, string]>([
  [
    'a verb that is none',
    'a: { dorp: requests, times: 1 }',
    '8:8: faults.a.dorp: unknown key "dorp". Did you mean drop?',
  ],
  ['frames that are none', 'a: { drop: packets, times: 1 }', '8:14: faults.a.drop: "packets" is not known here'],
  ['no verb', 'a: { to: pages }', '8:6: faults.a: the rule has 0 verbs. Give exactly one of: drop, delay'],
  ['two verbs', 'a: { drop: requests, hold: answers, times: 1 }', 'faults.a.hold: the rule has 2 verbs'],
  ['a strange clause', 'a: { hold: requests, with: EIO }', '8:24: faults.a.with: hold takes no with. It takes: from'],
  ['nobody', 'a: { hold: requests, to: pagess }', '8:24: faults.a.to: nobody is called pagess'],
  ['no time', 'a: { delay: requests, by: soon }', '8:29: faults.a.by: "soon" cannot stand here'],
  ['no name', 'A: { hold: requests }', 'faults.A: the name "A" cannot be used'],
  ['no device', "a: { break: '41:0', with: link-down }", 'faults.a.break: "41:0" cannot stand here'],
])('a plan is refused: %s', (_what, plan, problem) =>
  expect(problemOf(() => readScenario(withPlan(plan), 'test.yaml'))).toContain(problem),
);

test.each<[string, string, string]>([
  ['a rule that is not there', 'plan: { clear: [b] }', 'steps[0].plan.clear[0]: there is no rule "b". Did you mean a?'],
  ['a rule to release that is not there', 'plan: { release: [b] }', 'steps[0].plan.release[0]: there is no rule "b"'],
  ['a wrong rule', 'plan: { add: { b: { crash: client } } }', 'steps[0].plan.add.b.crash: nobody is called client'],
  ['a fact that is none', '{ plan: {}, expect: { ret: 0 } }', 'steps[0].expect.ret: plan answers no ret'],
])('a step is refused: %s', (_what, step, problem) =>
  expect(problemOf(() => readScenario(withPlan('a: { hold: requests }', step), 'test.yaml'))).toContain(problem),
);

test('rules of an earlier step are known, and those that were cleared are not', () => {
  const steps = [
    'plan: { add: { b: { hold: answers } } }',
    'plan: { release: [a, b], clear: [b] }',
    'plan: { clear: [b] }',
  ];
  expect(problemOf(() => readScenario(withPlan('a: { hold: requests }', ...steps), 'test.yaml'))).toMatch(
    /^test.yaml:\d+:\d+: steps\[2\].plan.clear\[0\]: there is no rule "b"[^\n]*$/,
  );
});

test('rules alone, as the command line has them', () => {
  expect(readFaults('lag: { delay: requests, to: iommu, by: 40ms }', 'RULES')).toEqual({
    lag: { delay: 'requests', to: 'iommu', by: '40ms' },
  });
  expect(problemOf(() => readFaults('lag: { delay: requests }', 'RULES'))).toContain('RULES:1:6: lag: by is missing');
  expect(problemOf(() => readFaults('lag: {', 'RULES'))).toContain('no valid YAML');
  expect(problemOf(() => readFaults('- lag', 'RULES'))).toContain('a list');
});

const run = async (plan: string, steps: readonly string[], script = {}) => {
  const environment = new FakeEnvironment(script);
  const result = await runScenario(readScenario(withPlan(plan, ...steps), 'test.yaml'), environment);
  return { environment, result };
};

test('the plan begins before the host, changes by steps, and has ended at the end; the result says what it did', async () => {
  const { environment, result } = await run('a: { hold: requests }', [
    'plan: { release: [a], clear: [a], add: { b: { drop: answers, times: 1 } } }',
    '{ plan: {}, expect: { fired: { a: 1, b: 1 } } }',
  ]);
  expect(result.failure).toBeUndefined();
  expect([environment.rules, environment.released]).toEqual([{}, ['a']]);
  expect(result.faults.map(({ name, fired }) => [name, fired])).toEqual([
    ['a', 1],
    ['b', 1],
  ]);
  expect(result.transcript[0]!.call).toBe('the fault plan lets go: a; without a; with b');
});

test('another count than expected fails the step', async () => {
  const { result } = await run('a: { hold: requests }', ['{ plan: {}, expect: { fired: { a: 2 } } }']);
  expect(result.failure).toMatchObject({ step: 1, expected: 'fired.a 2', got: 'fired.a 1' });
});

test('a device is broken by the lab, when its time has come, by the operator that plans it', async () => {
  const environment = new FakeEnvironment({ 'lab.fault': { error: '' } });
  const plan = new PlanRun(environment, 'operator-2');
  await plan.add({ a: { break: '0000:41:00.0', with: 'slow-link', delay: 5, after: '1s' } });
  expect((await plan.status()).map(({ fired }) => fired)).toEqual([0]);
  await plan.settled();
  expect(environment.calls).toMatchObject([
    { client: 'operator-2', method: 'lab.fault', args: { device: '0000:41:00.0', kind: 'slow-link', delay: 5 } },
  ]);
  expect([environment.now >= 1000, (await plan.status()).map(({ fired }) => fired)]).toEqual([true, [1]]);
});

test('a device that cannot be broken fails the run', async () => {
  const { result } = await run("a: { break: '0000:41:00.0', with: link-down }", ['note: hello'], {
    'lab.fault': { error: 'It is bound to nvidia.' },
  });
  expect(result.failure?.message).toBe('test.yaml: the fault plan: a: It is bound to nvidia.');
});

/** The same plan in this process and on NATS: the same answers and states as in the simulation, where nothing was left out. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RawRules } from '@vfiolab/core';
import { type Environment, readScenarioFile, type RunEnd, runScenario, type ScenarioResult } from '@vfiolab/scenario';
import { simulate } from '@vfiolab/sim';
import { startEmbedded } from './embedded.js';
import { type FaultOperator, faultOperator, parseLabUrl } from './fault-operator.js';
import { startNats } from './nats.js';
import { startNatsLab } from './nats-lab.js';
import { replayRun } from './replay.js';
import { writeManifest } from './run-folder.js';

const scenarioOf = (name: string) =>
  readScenarioFile(fileURLToPath(new URL(`../../cli/scenarios/${name}`, import.meta.url)));
const tmp = mkdtempSync(join(tmpdir(), 'vfiolab-plan-'));
afterAll(() => rmSync(tmp, { recursive: true, force: true }));

const STARTS: Record<string, (dir: string) => Promise<Environment>> = {
  embedded: (dir) => startEmbedded({ dir, durability: 'process' }),
  nats: (dir) => startNats({ dir, durability: 'process', url: 'auto' }),
};

const verdict = (result: ScenarioResult, end: RunEnd): unknown => ({
  failure: result.failure,
  broken: end.broken,
  answers: result.transcript.map(({ call, answer }) => [call, answer]),
  states: end.actors.map(({ address, stateHash }) => [address, stateHash]).sort(),
});

describe.each(Object.keys(STARTS))('%s', (mode) => {
  it('the example ends as in the simulation, and its run replays', async () => {
    const scenario = scenarioOf('gpu-stuck.yaml');
    const sim = await simulate(scenario, { seed: 0 });
    const dir = join(tmp, `example-${mode}`);
    const environment = await STARTS[mode]!(dir);
    const result = await runScenario(scenario, environment);
    const end = await environment.end();
    expect(verdict(result, end)).toEqual(verdict(sim.scenario, sim.end));
    expect(result.faults.filter(({ fired }) => fired === 0)).toEqual([]);
    await writeManifest(dir, { title: 'plan', mode: mode as 'nats', durability: 'process' }, end);
    expect((await replayRun(dir)).actors.every(({ matches }) => matches)).toBe(true);
  }, 180_000);

  it('what is paused, killed, lost and held ends as if nothing had been', async () => {
    const scenario = scenarioOf('device-faults.yaml');
    const calm = await simulate(scenario, { seed: 0 });
    const faults: RawRules = {
      'iommu-pauses': { pause: 'iommu', at: 'requests', for: '200ms' },
      'devices-die': { crash: 'device', at: 'requests', nth: 3, for: '50ms' },
      'groups-are-lost': { drop: 'answers', from: 'groups', every: 2, times: 3 },
      'calls-hang': { hold: 'requests', from: 'client:vmm', to: 'iommufd', for: '2s' },
    };
    const environment = await STARTS[mode]!(join(tmp, `others-${mode}`));
    const result = await runScenario({ ...scenario, faults }, environment);
    const end = await environment.end();
    expect(verdict(result, end)).toEqual(verdict(calm.scenario, calm.end));
    expect(result.faults.filter(({ fired }) => fired === 0).map(({ name }) => name)).not.toContain('devices-die');
  }, 180_000);
});

describe('an operator of a running lab', () => {
  let environment: Environment;
  beforeAll(async () => {
    environment = await startNats({ dir: join(tmp, 'live'), durability: 'process', url: 'auto' });
  }, 120_000);
  afterAll(() => environment.end(), 120_000);
  const visitors: FaultOperator[] = [];
  afterEach(() => Promise.all(visitors.splice(0).map((each) => each.close())));
  const visit = async (): Promise<FaultOperator> => {
    const operator = await faultOperator({ url: environment.url! });
    visitors.push(operator);
    return operator;
  };

  it('adds rules, sees what they do, and ends them', async () => {
    const operator = await visit();
    await operator.add({ lag: { delay: 'requests', to: 'iommu', by: '20ms' }, stops: { hold: 'events', to: 'lab' } });
    await environment.inspect('iommu');
    expect(await operator.status()).toMatchObject([
      { name: 'lag', words: 'delay requests to iommu by 20ms', seen: 1, fired: 1 },
      { name: 'stops' },
    ]);
    await operator.release([]);
    await operator.clear(['lag']);
    expect((await operator.status()).map(({ name }) => name)).toEqual(['stops']);
    await operator.clear([]);
    expect(await operator.status()).toEqual([]);
  }, 60_000);

  it('kills a service, which comes back with its plan', async () => {
    const operator = await visit();
    await operator.add({ dies: { crash: 'pages', at: 'requests', for: '1ms' } });
    await environment.inspect('pages');
    expect(await environment.faults.status()).toMatchObject([{ name: 'dies', fired: 1 }]);
    await operator.clear([]);
  }, 60_000);

  it('is told what is wrong', async () => {
    const operator = await visit();
    await expect(operator.add({ a: { drop: 'requests' } })).rejects.toThrow('it would never end');
    await expect(operator.add({ a: { break: '0000:41:00.0', with: 'link-down' } })).rejects.toThrow(
      'There is no host yet',
    );
    await expect(environment.faults.add({ a: { break: '0000:41:00.0', with: 'link-down' } })).rejects.toThrow(
      'no fault of',
    );
    expect(await operator.status()).toEqual([]);
  }, 60_000);
});

it('one of many hosts has a plan, and the others do not; who keeps no journal is not killed', async () => {
  const lab = await startNatsLab({ url: 'auto', hosts: 2 });
  try {
    const one = await lab.newHost();
    const other = await lab.newHost();
    await one.faults.add({ lag: { delay: 'requests', to: 'iommu', by: '1ms' } });
    for (const host of [one, other]) await host.inspect('iommu');
    expect(await one.faults.status()).toMatchObject([{ name: 'lag', fired: 1 }]);
    expect(await other.faults.status()).toEqual([]);
    await expect(one.faults.add({ dies: { crash: 'pages' } })).rejects.toThrow('no journal is kept');
  } finally {
    await lab.end();
  }
}, 120_000);

it.each(['', 'lab', 'http://a/b/c/d', 'nats://a:1/b/c', 'nats://a:1/b/c/d/e', 'nats://a:1/b/c/*'])(
  'is no lab: %s',
  (text) => expect(() => parseLabUrl(text)).toThrow('is no lab'),
);
it('is a lab', () =>
  expect(parseLabUrl('nats://u:p@a:1/t/l/h')).toEqual({
    nats: 'nats://u:p@a:1',
    scope: { tenant: 't', lab: 'l', host: 'h' },
  }));

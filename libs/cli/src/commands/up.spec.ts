import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findNatsServer } from '@vfiolab/shell';
import type { LabStatus } from '@vfiolab/testbed';
import { main } from '../main.js';
import { fakeEngine } from '../testing/fake-engine.js';
import { FakeTerminal } from '../testing/fake-terminal.js';

const dir = mkdtempSync(join(tmpdir(), 'vfl-'));
const file = join(dir, 'lab.yaml');
const lab = (rest = ''): void =>
  writeFileSync(
    file,
    `vfiolab: lab/1\nname: t\ndata: d\n${rest}hosts: { h1: { host: { machine: asus-fx505dt, memory: 1GiB } } }\n`,
  );
beforeEach(() => lab());
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const process = (change = {}) => ({
  service: 'pages',
  pid: 7,
  running: true,
  restarts: 2,
  lastEnd: undefined,
  ...change,
});
const host = { name: 'h1', machine: 'asus-fx505dt', instance: 'main', epoch: 3, actors: 6, serving: 6 };
const status = (change: Partial<LabStatus> = {}): LabStatus => ({
  name: 't',
  tenant: 'default',
  nats: 'nats://127.0.0.1:1',
  pid: 5,
  data: '/d',
  instances: [{ name: 'main', hosts: 1, room: 64, processes: [process()], problems: [] }],
  hosts: [{ ...host, inputs: 40, inFlight: 0, problems: [] }],
  ...change,
});
const broken = status({ hosts: [{ ...host, serving: 5, inputs: 40, inFlight: 1, problems: ['pages is failed'] }] });

async function run(script: Parameters<typeof fakeEngine>[0], ...args: string[]) {
  const terminal = new FakeTerminal();
  const engine = fakeEngine(script);
  const code = await main([args[0]!, file, ...args.slice(1)], terminal, engine);
  return { code, ...terminal.written, asked: engine.asked };
}

test('status is one screen of what is where', async () => {
  const { code, out } = await run({ labStatus: () => Promise.resolve(status()) }, 'status');
  expect(code).toBe(0);
  expect(out.split('\n').slice(2)).toEqual([
    'instance  hosts  processes  restarts',
    'main      1/64   1/1        2',
    '',
    'host  machine       instance  epoch  serving  inputs  in flight  state',
    'h1    asus-fx505dt  main      3      6/6      40      0          ok',
    '',
    'Nothing is wrong.',
    '',
  ]);
});

test('what is wrong is said in words, with exit code 1', async () => {
  const { code, out } = await run({ labStatus: () => Promise.resolve(broken) }, 'status');
  expect([code, out]).toEqual([1, expect.stringMatching(/1 wrong\n\nwrong: host h1: pages is failed\n$/)]);
  const { out: json } = await run({ labStatus: () => Promise.resolve(broken) }, 'status', '--json');
  expect(JSON.parse(json)).toMatchObject({ up: true, ok: false, hosts: [{ problems: ['pages is failed'] }] });
});

test('a lab that is not up has no status and nothing to end', async () => {
  const none = { labStatus: () => Promise.resolve(undefined), endLab: () => Promise.resolve(false) };
  expect(await run(none, 'status')).toMatchObject({ code: 1, out: `Lab t is not up. Start it: vfiolab up ${file}\n` });
  expect(await run(none, 'status', '--json')).toMatchObject({ code: 1, out: '{"up":false}\n' });
  expect(await run(none, 'down')).toMatchObject({ code: 0, out: 'Lab t was not up.\n' });
});

test('up has a lab that is up follow its file', async () => {
  const engine = { applyPlan: () => Promise.resolve(true), labStatus: () => Promise.resolve(status()) };
  expect(await run(engine, 'up')).toMatchObject({ code: 0, asked: ['applyPlan', 'labStatus'] });
});

test('what the lab refuses ends the command', async () => {
  const engine = { applyPlan: () => Promise.reject(new Error('host h1: a host that was made cannot change.')) };
  expect(await run(engine, 'up')).toMatchObject({ code: 1, err: expect.stringMatching(/a host that was made/) });
});

test.each(['up', 'status', 'down'])('%s names what is wrong in the file', async (command) => {
  lab('instancess: {}\n');
  expect(await run({}, command)).toMatchObject({ code: 2, err: expect.stringMatching(/unknown key "instancess"/) });
});

(findNatsServer() ? describe : describe.skip)('as it is (skipped when nats-server is not installed)', () => {
  const real = async (...args: string[]) => {
    const terminal = new FakeTerminal();
    const code = await main([args[0]!, file, ...args.slice(1)], terminal);
    return { code, ...terminal.written };
  };

  test('the lab stays when the command has ended, until down', async () => {
    expect(await real('up')).toMatchObject({ code: 0, out: expect.stringMatching(/Nothing is wrong/) });
    expect(statSync(join(dir, 'd', 'lab.log')).mode & 0o777).toBe(0o600);
    expect(await real('status')).toMatchObject({ code: 0 });
    expect(await real('down')).toMatchObject({ code: 0, out: expect.stringMatching(/Its journals stay in/) });
    expect(await real('status')).toMatchObject({ code: 1 });
  }, 180_000);

  test('a lab that cannot come up says why', async () => {
    lab('nats: nats://127.0.0.1:1\n');
    const { code, err } = await real('up');
    expect([code, err]).toEqual([1, expect.stringMatching(/did not come up:[^]*no NATS server answered/)]);
  }, 60_000);
});

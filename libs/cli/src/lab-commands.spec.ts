/** `run` and `demo` in labs: one that never answers, and a real one in this process. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Link } from '@vfiolab/client';
import type { Environment, RunEnd } from '@vfiolab/scenario';
import { sameStates } from './commands/demo.js';
import { engine, type RunMeta } from './engine.js';
import { main } from './main.js';
import { runDirectory } from './run-directory.js';
import { fakeEngine } from './testing/fake-engine.js';
import { FakeTerminal } from './testing/fake-terminal.js';

const SMALL =
  'vfiolab: scenario/1\ntitle: small\nhost: { machine: asus-fx505dt }\nsteps: [{ open: { path: /dev/iommu } }]\n';

let dir: string;
let small: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'vfiolab-lab-'));
  small = join(dir, 'small.yaml');
  writeFileSync(small, SMALL);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A lab whose services are gone. `error` undefined stands for a mistake in our own code. */
function deadLab(error: Error): { environment: Environment; ended: () => number } {
  let ended = 0;
  const nobody = (): Promise<never> => Promise.reject(error);
  const environment: Environment = {
    mode: 'embedded',
    faults: { add: nobody, clear: nobody, release: nobody, status: nobody },
    link: () =>
      ({
        call: nobody,
        ports: { now: () => 0, sleep: () => Promise.resolve(), send: () => undefined },
      }) as unknown as Link,
    crash: nobody,
    inspect: nobody,
    actors: () => Promise.resolve([]),
    end: () => (ended++, Promise.resolve({ actors: [], broken: ['pages stopped'] })),
  };
  return { environment, ended: () => ended };
}

describe('run in a lab that does not answer', () => {
  const lab = deadLab(new Error('no answer from lab'));
  const manifests: RunMeta[] = [];
  const started: unknown[] = [];
  const start = (options: unknown): Promise<Environment> => (started.push(options), Promise.resolve(lab.environment));
  const behind = fakeEngine({
    startEmbedded: start,
    startNats: start,
    writeManifest: (_dir, meta) => (manifests.push(meta), Promise.resolve()),
  });
  const run = async (...options: string[]) => {
    const terminal = new FakeTerminal();
    const code = await main(['run', small, '--out', join(dir, 'run'), ...options], terminal, behind);
    return { code, ...terminal.written };
  };

  test('exits with 1, says why, ends the lab, and seals the run with its scenario', async () => {
    const { code, err } = await run();
    expect(code).toBe(1);
    expect(err).toContain('making the host of machine asus-fx505dt: no answer from lab');
    expect(err).toContain('Broken invariant: pages stopped');
    expect(lab.ended()).toBe(1);
    expect(manifests.pop()).toEqual({ title: 'small', mode: 'embedded', durability: 'process', scenario: SMALL });
    expect(started.pop()).toEqual({ dir: join(dir, 'run'), durability: 'process', record: true });
  });

  test('--nats asks for processes on that server', async () => {
    await run('--nats', 'nats://127.0.0.1:4222');
    expect(started.pop()).toEqual({ dir: join(dir, 'run'), durability: 'process', url: 'nats://127.0.0.1:4222' });
    expect(manifests.pop()).toMatchObject({ mode: 'nats' });
  });

  test('--durability none leaves nothing to seal', async () => {
    await run('--durability', 'none');
    expect(manifests).toEqual([]);
  });

  test('--json is one object with the run, the failure and what is broken', async () => {
    const { out } = await run('--json');
    expect(JSON.parse(out)).toMatchObject({
      ok: false,
      run: join(dir, 'run'),
      steps: 0,
      failure: { step: 0 },
      broken: ['pages stopped'],
    });
  });
});

test('a mistake in our own code ends the lab too, and is reported', async () => {
  const lab = deadLab(new TypeError('ours'));
  const terminal = new FakeTerminal();
  const behind = fakeEngine({ startEmbedded: () => Promise.resolve(lab.environment) });
  expect(await main(['run', small, '--out', join(dir, 'mistake')], terminal, behind)).toBe(1);
  expect({ err: terminal.written.err, ended: lab.ended() }).toEqual({ err: 'vfiolab: ours\n', ended: 1 });
});

test('a run lies under runs/, by its title and time', () => {
  expect(runDirectory(undefined, 'my demo!', new Date('2026-01-31T12:00:00.123Z'))).toBe(
    join('runs', 'my-demo--20260131T120000Z'),
  );
});

describe('two ends are the same', () => {
  const end = (...actors: [string, string][]): RunEnd => ({
    broken: [],
    actors: actors.map(([address, stateHash]) => ({ address, stateHash, seq: 0, clock: 0, journalHash: '' })),
  });
  test.each<[string, RunEnd, RunEnd, boolean]>([
    ['in any order', end(['a', '1'], ['b', '2']), end(['b', '2'], ['a', '1']), true],
    ['not with another state', end(['a', '1']), end(['a', '2']), false],
    ['not with a service less', end(['a', '1'], ['b', '2']), end(['a', '1']), false],
  ])('%s', (_rule, a, b, same) => expect(sameStates(a, b)).toBe(same));
});

test('the demo runs in a real lab, all hashes of its replay match, and an earlier moment can be seen', async () => {
  const terminal = new FakeTerminal();
  const run = join(dir, 'demo');
  const code = await main(['demo', '--out', run], terminal, engine);
  const { out, err } = terminal.written;
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/All \d+ hashes are those of the run\./);
  expect(out).toMatch(/An earlier moment: \d+ of \d+/);
  expect(out).toContain(`vfiolab replay ${run} --until`);
  expect(readFileSync(join(run, 'run.json'), 'utf8')).toContain('"title": "demo"');

  const again = new FakeTerminal();
  expect(await main(['replay', run, '--until', '100', '--json'], again, engine)).toBe(0);
  expect(JSON.parse(again.written.out)).toMatchObject({ ok: true, until: 100 });
}, 30_000);

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCosts, simulate } from '@vfiolab/sim';
import { DEMO_FILE } from './commands/demo.js';
import type { RunDifference } from './engine.js';
import { commands, main } from './main.js';
import { type FakeEngine, fakeEngine, replayReport } from './testing/fake-engine.js';
import { FakeTerminal } from './testing/fake-terminal.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'vfiolab-cli-'));
  writeFileSync(
    join(dir, 'broken.yaml'),
    'vfiolab: scenario/1\ntitle: t\nhost: { machine: nowhere }\nsteps: [{ opne: {} }]\n',
  );
  writeFileSync(join(dir, 'broken.lspci'), 'this is no lspci output\n');
  writeFileSync(
    join(dir, 'small.yaml'),
    'vfiolab: scenario/1\ntitle: small\nhost: { machine: asus-fx505dt }\nsteps: [{ open: { path: /dev/iommu } }]\n',
  );
  writeFileSync(
    join(dir, 'fails.yaml'),
    'vfiolab: scenario/1\ntitle: fails\nhost: { machine: asus-fx505dt }\nsteps: [{ open: { path: /dev/nothing } }]\n',
  );
  mkdirSync(join(dir, 'run'));
  writeFileSync(join(dir, 'run', 'run.json'), '{}');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(line: readonly string[], engine: FakeEngine = fakeEngine()): Promise<Ran> {
  const terminal = new FakeTerminal();
  const code = await main(
    line.map((word) => word.replace('DIR', dir)),
    terminal,
    engine,
  );
  return { code, ...terminal.written };
}

describe('help', () => {
  test('the overview names every command', async () => {
    const { code, out } = await run(['--help']);
    expect(code).toBe(0);
    for (const { name, summary } of commands) expect(out).toContain(`${name.padEnd(10)} ${summary}`);
  });

  test.each(commands.map(({ name }) => name))(
    '%s --help shows usage, every option and the exit codes',
    async (name) => {
      const { code, out, err } = await run([name, '--help']);
      const command = commands.find((each) => each.name === name)!;
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toMatch(new RegExp(`^vfiolab ${name}: `));
      for (const option of [...Object.keys(command.options), 'json', 'help']) expect(out).toContain(`--${option}`);
      expect(out).toContain('Exit codes: 0');
    },
  );
});

describe('wrong input exits with 2 and says what is wrong and what to do, before anything runs', () => {
  const rows: [line: string[], says: RegExp][] = [
    [[], /No command was given\.[^]*Usage: vfiolab COMMAND/],
    [['dmeo'], /There is no command "dmeo"\. Did you mean demo\?/],
    [['demo', 'x'], /"x" is one argument too many\. Usage: vfiolab demo/],
    [['demo', '--nat'], /There is no option --nat\. Did you mean --nats\?/],
    [['demo', '--out'], /--out/],
    [['demo', '--out', 'DIR'], /--out: .* is not empty\. Name a folder that does not exist yet/],
    [['demo', '--out', 'DIR/small.yaml'], /--out: .* is a file/],
    [['run'], /SCENARIO is missing\. Usage: vfiolab run SCENARIO/],
    [['run', 'DIR/nothing.yaml'], /nothing\.yaml:1:1: the file cannot be read/],
    [['run', 'DIR/broken.yaml'], /broken\.yaml:4:11: steps\[0\]\.opne: unknown key "opne"\. Did you mean open\?/],
    [
      ['run', 'DIR/small.yaml', '--durability', 'forever'],
      /--durability: "forever" is not known\. Use one of: process, power, none/,
    ],
    [['run', 'DIR/small.yaml', '--nats', 'localhost'], /--nats: "localhost" is no address\. Give nats:\/\/HOST:PORT/],
    [['run', 'DIR/small.yaml', '--seed', '-1'], /seed/],
    [['run', 'DIR/small.yaml', '--seed', 'one'], /--seed: "one" is no whole number/],
    [['run', 'DIR/small.yaml', '--seed', '1', '--nats', 'auto'], /--seed and --nats exclude each other/],
    [['run', 'DIR/small.yaml', '--seed', '1', '--out', 'x'], /--seed and --out exclude each other/],
    [
      ['run', 'DIR/small.yaml', '--nats', 'auto', '--durability', 'none'],
      /--nats and --durability none exclude each other/,
    ],
    [['replay'], /RUN is missing/],
    [['replay', 'DIR/none'], /there is no run\.json\. Give the folder of a run that has ended/],
    [['replay', 'DIR/run', '--until', '1.5'], /--until: "1\.5" is no whole number/],
    [['replay', 'DIR/run', '--from', '3'], /--from goes with --steps only/],
    [['replay', 'DIR/run', '--steps', '--from', 'x'], /--from: "x" is no whole number/],
    [['replay', 'DIR/run', '--steps', '--diff', 'DIR/run'], /--steps and --diff exclude each other/],
    [['replay', 'DIR/run', '--diff', 'DIR/none'], /none: there is no run\.json/],
    [['groups'], /FILE is missing/],
    [['groups', 'lambda-vector-wrx80'], /there is no such file or machine\. Did you mean lambda-vector-wrx80-a\?/],
    [['groups', 'DIR'], /cannot be read/],
    [['groups', 'DIR/broken.lspci'], /broken\.lspci: /],
    [['campaign'], /--seeds is missing\. Give a range such as --seeds 1-100/],
    [['campaign', '--seeds', '1', '--mix', 'fuz'], /--mix: there is no "fuz"\. Did you mean fuzz\?/],
    [
      ['campaign', '--seeds', '1', '--mix', 'fuzz', '--scenario', 'DIR/small.yaml'],
      /--scenario: --mix fuzz makes its own/,
    ],
    [['campaign', '--seeds', '1', '--threads', '2'], /--threads: the mix faults runs on one thread/],
    [['campaign', '--mix', 'crash-points', '--threads', '2'], /--threads: the mix crash-points runs on one thread/],
    [['campaign', '--seeds', '5-1'], /--seeds: "5-1" is no range/],
    [['campaign', '--seeds', 'all'], /--seeds: "all" is no range/],
    [['campaign', '--seeds', '1-2000000'], /2000000 seeds are too many\. Run at most 1000000/],
    [['bench', 'ioctls'], /There is no benchmark "ioctls"\. Did you mean ioctl\?/],
  ];
  test.each(rows)('vfiolab %j', async (line, says) => {
    const engine = fakeEngine();
    const { code, out, err } = await run(line, engine);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^vfiolab: /);
    expect(err).toMatch(says);
    expect(engine.asked).toEqual([]);
  });
});

test('with --json an error is one object on stdout too', async () => {
  const { code, out } = await run(['groups', 'nowhere', '--json']);
  expect(code).toBe(2);
  expect(JSON.parse(out)).toEqual({ error: expect.stringContaining('nowhere') as unknown });
});

test('an engine that fails exits with 1', async () => {
  const { code, err } = await run(
    ['replay', 'DIR/run'],
    fakeEngine({ replayRun: () => Promise.reject(new Error('pages.db is damaged')) }),
  );
  expect({ code, err }).toEqual({ code: 1, err: 'vfiolab: pages.db is damaged\n' });
});

describe('groups', () => {
  test('--json is the partition', async () => {
    const { code, out } = await run(['groups', 'lambda-vector-wrx80-a', '--json']);
    const { groups } = JSON.parse(out) as { groups: string[][] };
    expect(code).toBe(0);
    expect(groups).toHaveLength(73);
    expect(groups).toContainEqual(['0000:41:00.0', '0000:41:00.1']);
  });
  test('people see class, ids and driver', async () => {
    const { out } = await run(['groups', 'lambda-vector-wrx80-a']);
    expect(out).toMatch(/^ {3}21 {2}0000:41:00\.0 {2}0300 {3}10de:2230 {2}nvidia$/m);
    expect(out).toContain('96 functions, 73 groups.');
  });
});

describe('campaign of crash points', () => {
  const points = [
    { address: 'pages', point: 'before writing', nth: 1, downMs: 5 },
    { address: 'iommu', point: 'full disk', nth: 3, downMs: 5 },
  ] as const;
  const engine = (): FakeEngine =>
    fakeEngine({
      sweep: () =>
        Promise.resolve({
          points,
          trouble: ({ address }) =>
            Promise.resolve({ findings: address === 'iommu' ? ['I03'] : [], messages: 4, virtualSeconds: 1 }),
        }),
    });
  const line = ['campaign', '--mix', 'crash-points', '--scenario', 'DIR/small.yaml'];

  test('all of them, when no seeds are given; a failure names its point', async () => {
    const { code, out } = await run([...line, '--json'], engine());
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      seeds: 2,
      violations: 1,
      messages: 8,
      failures: [{ seed: 2, invariant: 'I03', faults: 'iommu full disk 3' }],
    });
  });

  test('one of them alone', async () => {
    expect(await run([...line, '--seeds', '1'], engine())).toMatchObject({ code: 0 });
  });

  test('one that is not there', async () => {
    const { code, err } = await run([...line, '--seeds', '1-3'], engine());
    expect(code).toBe(2);
    expect(err).toContain('--seeds: the scenario has points 1 to 2');
  });
});

describe('replay', () => {
  test.each([
    ['all hashes the same', replayReport(), 0, /state bb +same/],
    ['a hash that differs', replayReport({ actors: [{ ...replayReport().actors[0]!, matches: false }] }), 1, /DIFFERS/],
    ['a broken invariant', replayReport({ broken: ['I01'] }), 1, /record/],
  ])('%s', async (_rule, report, code, says) => {
    const ran = await run(['replay', 'DIR/run'], fakeEngine({ replayRun: () => Promise.resolve(report) }));
    expect(ran.code).toBe(code);
    expect(ran.out).toMatch(says);
    expect(ran.err.includes('Broken invariant: I01')).toBe(report.broken.length > 0);
  });

  test('--steps lists what happened, and says where to go on', async () => {
    const steps = [{ clock: 7, address: 'iommufd', seq: 3, what: 'client:vmm calls sys.ioctl IOMMU_IOAS_ALLOC' }];
    const { code, out } = await run(
      ['replay', 'DIR/run', '--steps', '--service', 'iommufd'],
      fakeEngine({ stepsOf: () => Promise.resolve({ steps, more: true }) }),
    );
    expect(code).toBe(0);
    expect(out).toMatch(/ {2}7 {2}iommufd +3 {2}client:vmm calls sys\.ioctl IOMMU_IOAS_ALLOC\n.*go on with --from 8/);
  });

  test.each([
    ['the same', { titles: ['a', 'b'], partings: [], alike: 5 }, 0, /5 steps that change something, all alike/],
    [
      'apart',
      {
        titles: ['a', 'b'],
        partings: [
          {
            address: 'iommu',
            first: {
              clock: 9,
              seq: 4,
              what: 'iommufd calls iommu.map',
              stateHash: 'aa',
              lines: ['x', 'domain 2: 1 page'],
            },
            second: undefined,
          },
        ],
        alike: 5,
      },
      1,
      /first of all in iommu:[^]*clock 9, input 4: iommufd calls iommu\.map[^]*has ended/,
    ],
  ] as const)('--diff: two runs that are %s', async (_how, difference, code, says) => {
    const ran = await run(
      ['replay', 'DIR/run', '--diff', 'DIR/run'],
      fakeEngine({ diffRuns: () => Promise.resolve(difference as unknown as RunDifference) }),
    );
    expect(ran.code).toBe(code);
    expect(ran.out).toMatch(says);
  });
  test('--until is passed on', async () => {
    const seen: unknown[] = [];
    const replayRun = (_dir: string, options: unknown) => (
      seen.push(options),
      Promise.resolve(replayReport({ until: 7 }))
    );
    const { out } = await run(['replay', 'DIR/run', '--until', '7', '--json'], fakeEngine({ replayRun }));
    expect(seen).toEqual([{ until: 7, changed: false }]);
    expect(JSON.parse(out)).toMatchObject({ ok: true, until: 7, last: 100 });
  });
});

describe('with simulated hosts', () => {
  const simulated = fakeEngine({ simulate, readCosts: async (given = {}) => readCosts(given) });

  test('run --seed tells every step and what went wrong on the way', async () => {
    const { code, out } = await run(['run', 'DIR/small.yaml', '--seed', '3'], simulated);
    expect(code).toBe(0);
    expect(out).toContain('open("/dev/iommu", O_RDWR) = 3</dev/iommu>');
    expect(out).toMatch(/Seed 3: .* s of virtual time, \d+ crashes; of \d+ messages/);
  });

  test('run --costs tells what work took, and its file may change what it costs', async () => {
    writeFileSync(join(dir, 'costs.json'), '{ "flush": 7 }');
    for (const costs of ['default', 'DIR/costs.json']) {
      const { code, out } = await run(['run', 'DIR/small.yaml', '--seed', '0', '--costs', costs], simulated);
      expect(code).toBe(0);
      expect(out).toMatch(/Work took 0\.0 ms: 0 pages pinned, .* 0 flushes, faults on BARs: 0 of 1 GiB/);
    }
    const { out } = await run(['run', 'DIR/small.yaml', '--seed', '0', '--costs', 'default', '--json'], simulated);
    expect(JSON.parse(out)).toMatchObject({ work: { flushes: 0, ns: 0 }, faults: { costs: { flush: 1500 } } });
  });

  test.each([
    ['{', /--costs: .*JSON/],
    ['[]', /Costs are an object/],
    ['{ "flsh": 1 }', /There is no cost "flsh"\. Known are: pinPage,/],
    ['{ "flush": -1 }', /flush: -1 is no number of ns/],
    ['{ "faultOrder": 3 }', /faultOrder: 3 is none of 0, 9 and 18/],
  ])('costs that cannot be used exit with 2: %s', async (text, message) => {
    writeFileSync(join(dir, 'costs.json'), text);
    const { code, err } = await run(['run', 'DIR/small.yaml', '--seed', '0', '--costs', 'DIR/costs.json'], simulated);
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });

  test('costs without a seed exit with 2', async () => {
    const { code, err } = await run(['run', 'DIR/small.yaml', '--costs', 'default'], simulated);
    expect([code, err]).toEqual([2, expect.stringMatching(/--costs needs --seed/)]);
  });

  test('an unexpected answer exits with 1 and says which', async () => {
    const { code, err } = await run(['run', 'DIR/fails.yaml', '--seed', '0'], simulated);
    expect(code).toBe(1);
    expect(err).toMatch(
      /fails\.yaml:4: step 1 \(main\): open\("\/dev\/nothing", O_RDWR\)\n {2}expected: success\n {2}got: {6}ENOENT/,
    );
  });

  test('a campaign of good seeds exits with 0 and counts them', async () => {
    const { code, out } = await run(
      ['campaign', '--seeds', '1-3', '--scenario', 'DIR/small.yaml', '--json'],
      simulated,
    );
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ seeds: 3, violations: 0, failures: [] });
  });

  test('a hunt adds up what its seeds did, and a seed that stops a service is a failure', async () => {
    const hunting = fakeEngine({
      hunt: (_which, seed) => {
        if (seed === 3) return Promise.reject(new Error('iommufd stopped'));
        const findings = seed === 2 ? ['IOMMU_DESTROY answers EIO'] : [];
        const drawn = { profile: '7.2' };
        return Promise.resolve({ findings, counts: { calls: 10 * seed }, drawn, messages: 5, virtualSeconds: 1 });
      },
    });
    const { code, out } = await run(['campaign', '--mix', 'fuzz', '--seeds', '1-3', '--json'], hunting);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      mix: 'fuzz',
      seeds: 3,
      violations: 2,
      counts: { calls: 30 },
      messages: 10,
      failures: [
        { seed: 2, invariant: 'IOMMU_DESTROY answers EIO', faults: { profile: '7.2' } },
        { seed: 3, invariant: 'iommufd stopped', faults: null },
      ],
    });
    const words = await run(['campaign', '--mix', 'fuzz', '--seeds', '2'], hunting);
    expect(words.out).toMatch(/1 seeds, 1 violations, 20 calls; 5 messages/);
    expect(words.out).toMatch(/One seed alone: vfiolab campaign --mix fuzz --seeds 2/);
  });

  test('on threads a campaign adds up the same, and each seed has its own outcome', async () => {
    const hunted = { findings: [], counts: { calls: 2 }, drawn: {}, messages: 5, virtualSeconds: 1 };
    const threaded = fakeEngine({
      huntMany: ({ which, first, last, threads }, heard) => {
        expect([which, first, last, threads]).toEqual(['swarm', 1, 3, 2]);
        heard({ seed: 2, hunted });
        heard({ seed: 1, hunted: { ...hunted, findings: ['I27: 1 pins'], drawn: { faults: ['pause pages'] } } });
        heard({ seed: 3, stopped: 'pages stopped' });
        return Promise.resolve();
      },
    });
    const { code, out } = await run(
      ['campaign', '--mix', 'swarm', '--seeds', '1-3', '--threads', '2', '--json'],
      threaded,
    );
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      seeds: 3,
      violations: 2,
      messages: 10,
      counts: { calls: 4 },
      failures: [
        { seed: 1, invariant: 'I27: 1 pins', faults: { faults: ['pause pages'] } },
        { seed: 3, invariant: 'pages stopped', faults: null },
      ],
    });
  });

  test('a scenario that fails without faults is no campaign', async () => {
    const { code, err } = await run(['campaign', '--seeds', '1', '--scenario', 'DIR/fails.yaml'], simulated);
    expect(code).toBe(2);
    expect(err).toContain('The scenario fails though nothing goes wrong');
  });

  test('a seed that ends in another state, breaks an invariant or gets stuck is a failure with its faults', async () => {
    const bad = fakeEngine({
      simulate: async (scenario, { seed }) => {
        const good = await simulate(scenario, { seed: 0 });
        if (seed === 1)
          return { ...good, end: { ...good.end, actors: good.end.actors.map((a) => ({ ...a, stateHash: 'x' })) } };
        if (seed === 2) return { ...good, end: { ...good.end, broken: ['I01'] } };
        if (seed === 3) throw new Error('seed 3: stuck');
        return good;
      },
    });
    const { code, out } = await run(['campaign', '--seeds', '1-4', '--scenario', 'DIR/small.yaml', '--json'], bad);
    const { failures } = JSON.parse(out) as { failures: { seed: number; invariant: string }[] };
    expect(code).toBe(1);
    expect(new Set(failures.map(({ seed }) => seed))).toEqual(new Set([1, 2, 3]));
    expect(failures.find(({ seed }) => seed === 1)!.invariant).toMatch(/ends in another state than in the calm run/);
  });

  test.each(['0', '7', '23'])('the demo scenario runs to its end under seed %s', async (seed) => {
    const { code, err, out } = await run(['run', DEMO_FILE, '--seed', seed, '--json'], simulated);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(JSON.parse(out)).toMatchObject({ ok: true, failure: null, broken: [] });
  });
});

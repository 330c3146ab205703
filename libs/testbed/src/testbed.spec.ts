import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readScenario, readScenarioFile, runScenario, type Environment, type RunEnd } from '@vfiolab/scenario';
import { readJournal } from '@vfiolab/shell';
import { startEmbedded } from './embedded.js';
import { startNats } from './nats.js';
import { endOfJournals, replayRun } from './replay.js';
import { diffRuns, stepsOf } from './replay-steps.js';
import { journalsOf, readManifest, writeManifest } from './run-folder.js';

const CONTAINERS = fileURLToPath(new URL('../../cli/scenarios/containers.yaml', import.meta.url));
const demo = readScenarioFile(fileURLToPath(new URL('../../cli/scenarios/demo.yaml', import.meta.url)));
const tmp = mkdtempSync(join(tmpdir(), 'vfiolab-testbed-'));
afterAll(() => rmSync(tmp, { recursive: true, force: true }));

async function record(dir: string, env: Environment, scenario = demo): Promise<RunEnd> {
  const result = await runScenario(scenario, env);
  const end = await env.end();
  expect(result.failure).toBeUndefined();
  expect(end.broken).toEqual([]);
  await writeManifest(dir, { title: scenario.title, mode: env.mode as 'embedded', durability: 'process' }, end);
  return end;
}

const states = (end: { actors: readonly { address: string; stateHash: string }[] }): [string, string][] =>
  end.actors.map((a): [string, string] => [a.address, a.stateHash]).sort();

describe('a recorded run', () => {
  const dir = join(tmp, 'embedded');
  let end: RunEnd;
  beforeAll(async () => {
    end = await record(dir, await startEmbedded({ dir, durability: 'process' }));
  }, 60_000);

  it('replays to equal hashes', async () => {
    const report = await replayRun(dir);
    expect(report.actors.every((a) => a.matches && a.expectedStateHash === a.stateHash)).toBe(true);
    expect(states(report)).toEqual(states(end));
    expect(report.broken).toEqual([]);
  });

  it('can be looked at at any moment, and moments are consistent', async () => {
    const { last } = await replayRun(dir);
    let before = 0;
    for (const until of [0, 1, 2, ...Array.from({ length: 40 }, (_, i) => Math.floor((last * (i + 1)) / 40))]) {
      const report = await replayRun(dir, { until });
      expect(report.actors.every((a) => a.clock <= until)).toBe(true);
      expect(report.inputs).toBeGreaterThanOrEqual(before);
      before = report.inputs;
    }
    expect(before).toBe((await replayRun(dir)).inputs);
  }, 60_000);

  it('shows the guest memory while it was mapped, and not before', async () => {
    const { last } = await replayRun(dir);
    const pinned: number[] = [];
    for (let until = 0; until <= last; until += Math.ceil(last / 60)) {
      const { actors } = await replayRun(dir, { until });
      const iommu = actors.find((a) => a.address === 'iommu')!;
      pinned.push(iommu.lines.filter((l) => l.includes('domain')).length);
    }
    expect(Math.max(...pinned)).toBeGreaterThan(pinned[0]!);
  }, 60_000);

  it('is refused when any byte of a journal was flipped, and the file is named', async () => {
    const journals = journalsOf(dir);
    for (const { address } of readManifest(dir).actors) {
      const file = journals.file(address);
      const whole = readFileSync(file);
      const size = statSync(file).size;
      for (let i = 0; i < 12; i++) {
        const at = Math.floor(((i + 0.37) * size) / 12);
        const damaged = Buffer.from(whole);
        damaged[at] = damaged[at]! ^ (1 << (i % 8));
        writeFileSync(file, damaged);
        await expect(replayRun(dir)).rejects.toThrow(file);
      }
      writeFileSync(file, whole);
    }
    await expect(replayRun(dir)).resolves.toBeDefined();
  }, 60_000);

  it.each([
    ['is not there', undefined, 'no run.json'],
    ['is no JSON', '{"format":', 'is not JSON'],
    ['has another format', '{"format":"x"}', 'reads vfiolab-run/1'],
    ['says nothing of the journals', '{"format":"vfiolab-run/1","actors":[{}]}', "field 'actors'"],
  ])('whose manifest %s is an error that says so', async (_why, text, message) => {
    const other = mkdtempSync(join(tmp, 'broken-'));
    if (text !== undefined) writeFileSync(join(other, 'run.json'), text);
    await expect(replayRun(other)).rejects.toThrow(message);
  });

  it('is gone through step by step, in one order over all services', async () => {
    const { last } = await replayRun(dir);
    const { steps, more } = await stepsOf(dir, { from: 0, until: last, most: 1e6 });
    expect(more).toBe(false);
    expect(steps).toHaveLength((await replayRun(dir)).inputs);
    expect(steps.map(({ clock }) => clock)).toEqual(steps.map(({ clock }) => clock).sort((a, b) => a - b));
    const maps = steps.filter(({ what }) => what === 'client:vmm calls sys.ioctl IOMMU_IOAS_MAP');
    expect(maps.length).toBeGreaterThan(1);
    expect(maps.every(({ address }) => address === 'iommufd')).toBe(true);
    const middle = await stepsOf(dir, { from: maps[1]!.clock, until: last, service: 'iommufd', most: 2 });
    expect([middle.steps[0], middle.more]).toEqual([maps[1], true]);
    await expect(stepsOf(dir, { from: 0, until: 1, service: 'nobody', most: 2 })).rejects.toThrow(
      'there are container,',
    );
  });

  it('does the same as another run of the scenario, and parts from one that maps elsewhere where it does so', async () => {
    const run = async (name: string, change: (text: string) => string): Promise<string> => {
      const other = join(tmp, name);
      const scenario = readScenario(change(readFileSync(CONTAINERS, 'utf8')), CONTAINERS);
      const env = await startEmbedded({ dir: other, durability: 'process' });
      await runScenario(scenario, env);
      await writeManifest(other, { title: name, mode: 'embedded', durability: 'process' }, await env.end());
      return other;
    };
    const one = await run('one', (text) => text);
    const same = await diffRuns(one, await run('again', (text) => text));
    expect(same.partings).toEqual([]);
    expect(same.alike).toBeGreaterThan(20);
    const elsewhere = (text: string): string =>
      text.replace('iova: 0x100000, size: 1MiB', 'iova: 0x300000, size: 1MiB');
    const { partings } = await diffRuns(one, await run('elsewhere', elsewhere));
    expect(partings[0]).toMatchObject({
      first: { what: expect.stringContaining('iommu.map') as unknown },
      second: { what: expect.stringContaining('iommu.map') as unknown },
    });
  });

  it('is never written over another', async () => {
    await expect(startEmbedded({ dir, durability: 'process' })).rejects.toThrow('is not empty');
  });

  it('that keeps only its newest snapshots ends in a state that its journals still tell', async () => {
    const short = join(tmp, 'pruned');
    const env = await startEmbedded({
      dir: short,
      durability: 'process',
      record: false,
      limits: { snapshotEvery: 20, snapshotGrowth: 0 },
    });
    const result = await runScenario(demo, env);
    const ended = await env.end();
    expect(result.failure).toBeUndefined();
    const told = await endOfJournals(
      short,
      ended.actors.map((a) => a.address),
    );
    expect(told.actors.map(({ address, seq, stateHash }) => [address, seq, stateHash])).toEqual(
      ended.actors.map(({ address, seq, stateHash }) => [address, seq, stateHash]),
    );
    await expect(readJournal(journalsOf(short).file('iommufd'))).resolves.toMatchObject({
      snapshots: expect.any(Array),
    });
    expect((await readJournal(journalsOf(short).file('iommufd'))).snapshots.length).toBe(2);
  });

  describe('on NATS, one process a service, the page store killed', () => {
    it.each([0, 4])(
      'after up to %i ms: ends in the same state as embedded',
      async (ms) => {
        const nats = join(tmp, `nats-${ms}`);
        const env = await startNats({
          dir: nats,
          durability: 'process',
          url: 'auto',
          killDelay: () => Math.random() * ms,
        });
        expect(states(await record(nats, env))).toEqual(states(end));
      },
      120_000,
    );
  });
});

it('faults of devices: embedded and on NATS the same, and both replay', async () => {
  const faults = readScenarioFile(fileURLToPath(new URL('../../cli/scenarios/device-faults.yaml', import.meta.url)));
  const [one, two] = [join(tmp, 'faults'), join(tmp, 'faults-nats')];
  const embedded = await record(one, await startEmbedded({ dir: one, durability: 'process' }), faults);
  const nats = await record(two, await startNats({ dir: two, durability: 'process', url: 'auto' }), faults);
  expect(states(nats)).toEqual(states(embedded));
  for (const dir of [one, two]) expect(states(await replayRun(dir))).toEqual(states(embedded));
}, 120_000);

it('memory of another program is lent to a lab that is not recorded, and to no other', async () => {
  const lent = new Map([['ram', { length: 4096, read: () => undefined, write: () => undefined }]]);
  const start = (record: boolean) =>
    startEmbedded({ dir: join(tmp, `lent-${record}`), durability: 'process', record, lent });
  await expect(start(true)).rejects.toThrow('cannot be recorded');
  const lab = await start(false);
  const link = lab.link('guest');
  lab.unlink('guest');
  // A client that comes back under the name is another one.
  expect(lab.link('guest')).not.toBe(link);
  expect((await lab.end()).broken).toEqual([]);
});

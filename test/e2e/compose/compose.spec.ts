/**
 * docker-compose.yml, as it is: the demo against it with a service that is really killed, a service that loses its network
 * in the middle of an ioctl, and the same states in the end as in one process.
 *
 * Runs by `npm run test:compose`: building the image takes minutes. Base images that cannot be pulled are made here.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Process } from '@vfiolab/client';
import { type Environment, readScenarioFile, type RunEnd, runScenario, type Scenario } from '@vfiolab/scenario';
import { attachNats, endOfJournals, startEmbedded } from '@vfiolab/testbed';
import { IOMMU_IOAS_ALLOC, IOMMU_IOAS_MAP } from '@vfiolab/uapi';
import { absence, Composition } from './composition.js';

const asked = process.env.VFIOLAB_COMPOSE === '1';
const why = asked ? absence() : 'npm run test:compose runs it';
const MINUTES = 60_000;
const LENGTH = 64 * 1024;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What is done to the services while a program maps memory; `waits`: is there no answer yet? */
interface Disturbance {
  before(): Promise<void>;
  during(waits: () => boolean): Promise<void>;
}

/** A program that maps memory, asks for a second address space meanwhile, and is answered both. */
async function mapMemory(host: Environment, { before, during }: Disturbance): Promise<void> {
  const program = new Process('late', host.link('late'));
  expect(await program.start()).toMatchObject({ ok: true });
  const [fd, other] = [await program.open('/dev/iommu'), await program.open('/dev/iommu')];
  const memory = await program.mmap(LENGTH);
  if (!fd.ok || !other.ok || !memory.ok) throw new Error('no files or no memory');
  const ioas = await program.ioctl(fd.value, IOMMU_IOAS_ALLOC);
  expect(ioas.errno).toBeUndefined();
  await before();
  let answered = false;
  const mapping = program
    .ioctl(fd.value, IOMMU_IOAS_MAP, {
      flags: 7,
      ioas_id: ioas.out.out_ioas_id,
      user_va: BigInt(memory.value),
      length: BigInt(LENGTH),
      iova: 0x10000n,
    })
    .finally(() => (answered = true));
  expect((await program.ioctl(other.value, IOMMU_IOAS_ALLOC)).errno).toBeUndefined();
  await during(() => !answered);
  expect((await mapping).errno).toBeUndefined();
}

const undisturbed: Disturbance = { before: () => Promise.resolve(), during: () => Promise.resolve() };

/** The same two programs with all services in one process: where each service's state ends. */
async function embeddedStates(scenario: Scenario, dir: string): Promise<unknown> {
  const embedded = await startEmbedded({ dir, durability: 'process', record: true });
  await runScenario(scenario, embedded);
  await mapMemory(embedded, undisturbed);
  return statesOf(await embedded.end());
}

const statesOf = ({ actors }: RunEnd): unknown => actors.map(({ address, stateHash }) => [address, stateHash]).sort();

(why === '' ? describe : describe.skip)(`docker-compose.yml${why && ` (skipped: ${why})`}`, () => {
  const scenario = readScenarioFile('libs/cli/scenarios/demo.yaml');
  const dir = mkdtempSync(join(tmpdir(), 'vfiolab-compose-'));
  let composed: Composition;
  let host: Environment;

  beforeAll(async () => {
    composed = await Composition.up();
    host = await attachNats({
      url: composed.url,
      tenant: 'default',
      lab: 'lab',
      host: 'host0',
      crash: async ({ service, downMs }) => {
        await composed.kill(service);
        await sleep(downMs);
        await composed.start(service);
      },
    });
  }, 20 * MINUTES);

  afterAll(async () => {
    await composed?.down();
    rmSync(dir, { recursive: true, force: true });
  }, MINUTES);

  it('no container has root, rights or a file system to write to', async () => {
    for (const service of ['lab', 'groups', 'pages', 'iommu', 'iommufd', 'container', 'device'])
      expect([service, await composed.confinement(service)]).toEqual([
        service,
        'node true [ALL] [no-new-privileges:true]',
      ]);
    expect(await composed.confinement('nats')).toBe('65534:65534 true [ALL] [no-new-privileges:true]');
  });

  it(
    'the demo answers as it should; the container of the page store is killed on the way',
    async () => {
      const { failure } = await runScenario(scenario, host);
      expect(failure?.message).toBeUndefined();
    },
    MINUTES,
  );

  it(
    'a service that loses its network says so; what needs it waits, and is answered when it is back',
    async () => {
      await mapMemory(host, {
        before: () => composed.network('pages', 'disconnect'),
        during: async (waits) => {
          await sleep(4000);
          expect(waits()).toBe(true);
          expect(await composed.health('pages')).toMatch(/there is no connection to NATS/);
          expect(await composed.health('iommufd')).toBe('');
          await composed.network('pages', 'connect');
        },
      });
      expect(await composed.health('pages')).toBe('');
    },
    MINUTES,
  );

  it(
    'every service ends in the state that it ends in within one process, and no invariant is broken',
    async () => {
      const addresses = await host.actors();
      expect((await host.end()).broken).toEqual([]);
      await composed.journals(join(dir, 'compose'));
      const end = await endOfJournals(join(dir, 'compose'), addresses);
      expect(end.broken).toEqual([]);
      expect(statesOf(end)).toEqual(await embeddedStates(scenario, join(dir, 'embedded')));
    },
    MINUTES,
  );
});

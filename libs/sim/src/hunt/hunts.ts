/**
 * The hunts under seeds, for campaigns.
 *
 * Rule: the seed decides everything: the kernel, the place, the calls. The same seed hunts the same again.
 */
import { type KernelProfile, kernelProfiles } from '@vfiolab/uapi';
import { CALM } from '../options.js';
import { Chance } from './chance.js';
import { FailNth } from './fail-nth.js';
import { fuzz } from './fuzz.js';
import { fuzzDevice } from './fuzz-device.js';
import { record } from './histories.js';
import { linearise } from './linearise.js';
import { boot } from './machine.js';
import type { Script } from './pieces.js';
import { race } from './races.js';
import { scriptsOf } from './scripts.js';
import { COMPAT, FUNCTIONS, LAST_DEVICE, OBJECTS, PASIDS } from './stages.js';
import { huntDay } from '../swarm/day.js';
import { huntSwarm } from '../swarm/hunt.js';
import { runVfio } from './vfio/hunt.js';
import type { World } from './world.js';

export interface Hunted {
  readonly findings: readonly string[];
  /** What was done, to be added up over seeds. */
  readonly counts: Readonly<Record<string, number>>;
  /** What the seed had drawn. */
  readonly drawn: Readonly<Record<string, unknown>>;
  readonly messages: number;
  readonly virtualSeconds: number;
}

/** Calls of one seed of `fuzz`: most of them at /dev/iommu, the others at the cdev of a function. */
const IOMMUFD_CALLS = 9000;
const DEVICE_CALLS = 1000;
/** One seed of `linearise`: clients, and calls of each. */
const CLIENTS = 8;
const CALLS = 12;
const LATE = { ...CALM, delay: 0.5, delayMs: 2 };
const STAGES = [OBJECTS, LAST_DEVICE, COMPAT, PASIDS, FUNCTIONS];
/** Hops between two calls that race, at most. */
const MOST_HOPS = 12;
/** One seed in so many of `vfio` runs twice, and must do the same twice. */
const TWICE_EVERY = 8;
const WITH_VIOMMUS: readonly KernelProfile[] = ['7.2', '7.3'];

const turn = <T>(from: readonly T[], n: number): T => from[n % from.length]!;

function movement(worlds: readonly World[]): Pick<Hunted, 'messages' | 'virtualSeconds'> {
  const hosts = worlds.map(({ host }) => host.host);
  return {
    messages: hosts.reduce((sum, { network }) => sum + network.figures.sent, 0),
    virtualSeconds: hosts.reduce((sum, host) => sum + host.agenda.now / 1000, 0),
  };
}

async function huntFuzz(seed: number): Promise<Hunted> {
  const profile = turn(kernelProfiles, seed);
  const [mock, devices] = [await boot({ kind: 'mock', profile, seed }), await boot({ kind: 'devices', profile, seed })];
  const reports = [
    fuzz({ world: mock, profile, calls: IOMMUFD_CALLS, seed }),
    fuzzDevice({ world: devices, profile, calls: DEVICE_CALLS, seed }),
  ];
  const answers = reports.flatMap((report) => [...report.answers]);
  const sum = (of: typeof answers): number => of.reduce((all, [, count]) => all + count, 0);
  return {
    findings: reports.flatMap(({ findings }) => findings),
    counts: { calls: sum(answers), refused: sum(answers.filter(([key]) => !key.endsWith(' ok'))) },
    drawn: { profile },
    ...movement([mock, devices]),
  };
}

/** One script after the other in one session. */
function drawScript(profile: KernelProfile, seed: number): Script {
  const scripts = scriptsOf(profile);
  const last = turn(scripts, Math.floor(seed / kernelProfiles.length));
  const before = new Chance(seed).pick(scripts.filter(({ kind }) => kind === 'mock'));
  if (last.first) return last;
  const run: Script['run'] = async (s) => {
    await before.run(s);
    await last.run(s);
  };
  return { ...last, name: `${before.name}, then ${last.name}`, run };
}

async function huntFailures(seed: number): Promise<Hunted> {
  const profile = turn(kernelProfiles, seed);
  const script = drawScript(profile, seed);
  const world = await boot({ kind: script.kind, profile, seed });
  const { failures, leaks, findings } = await new FailNth(world).run([script]);
  const drawn = { profile, script: script.name };
  return { findings, counts: { failures, leaks }, drawn, ...movement([world]) };
}

async function huntRaces(seed: number): Promise<Hunted> {
  const stage = turn(STAGES, seed);
  const chance = new Chance(seed);
  const profile = chance.pick(WITH_VIOMMUS);
  // Never a whole number of hops: two messages of one moment have no order that means anything.
  const lag = chance.below(2 * MOST_HOPS) / 2 + 0.25;
  const worlds: World[] = [];
  const bootOne = async (): Promise<World> => {
    worlds.push(await boot({ kind: stage === FUNCTIONS ? 'devices' : 'mock', profile, seed }));
    return worlds.at(-1)!;
  };
  const { races, findings } = await race({ boot: bootOne, stage, lags: [lag] });
  return { findings, counts: { races }, drawn: { profile, stage: stage.name, lag }, ...movement(worlds) };
}

/** With a device, messages stay in order: the kernel has no messages that could overtake each other. */
async function huntOrders(seed: number): Promise<Hunted> {
  const profile = turn(kernelProfiles, seed);
  const attached = seed % 2 === 1;
  const world = await boot({ kind: 'mock', profile, seed, options: attached ? CALM : LATE });
  const { history, broken } = record({ world, seed, clients: CLIENTS, calls: CALLS, attached });
  const { explained, visited } = linearise(history);
  const findings = explained ? broken : [...broken, 'no order of the calls explains the answers'];
  const counts = { histories: 1, calls: history.length, visited };
  return { findings, counts, drawn: { profile, attached }, ...movement([world]) };
}

async function huntVfio(seed: number): Promise<Hunted> {
  const { place, profile, faults, refuse, poor, breaks, tally, host, hashes } = await runVfio(seed);
  const again = seed % TWICE_EVERY === 0 ? (await runVfio(seed)).hashes : hashes;
  const differing = hashes.filter((each, i) => each !== again[i]).map((each) => each.split(' ')[0]);
  return {
    findings: [...tally.findings, ...differing.map((address) => `the same seed ends in another state of ${address}`)],
    counts: { calls: tally.calls, refused: tally.refused, foretold: tally.foretold, crashes: host.crashes },
    drawn: { ...place, profile, refuse, poor, breaks, ...faults },
    messages: host.network.figures.sent,
    virtualSeconds: host.agenda.now / 1000,
  };
}

const HUNTS = {
  fuzz: huntFuzz,
  'fail-nth': huntFailures,
  races: huntRaces,
  linearise: huntOrders,
  vfio: huntVfio,
  swarm: huntSwarm,
  day: huntDay,
} as const;

export type Hunt = keyof typeof HUNTS;

/** Throws when a service stops, or does not answer. */
export const hunt = (which: Hunt, seed: number): Promise<Hunted> => HUNTS[which](seed);

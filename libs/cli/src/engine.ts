/**
 * What the command line asks of the rest of the project: running labs, replaying runs, simulating.
 *
 * Rule: everything behind this is loaded when a command needs it, so that `--help` and `groups` start at once; commands
 * know only this interface, so that their tests need no lab.
 */
import type { Environment, RunEnd, Scenario } from '@vfiolab/scenario';
import type { SimResult } from '@vfiolab/sim';

export const DURABILITIES = ['process', 'power', 'none'] as const;
/** What a run survives: the end of a process, the end of power, or nothing. */
export type Durability = (typeof DURABILITIES)[number];

export interface RunMeta {
  readonly title: string;
  readonly mode: 'embedded' | 'nats';
  readonly durability: string;
  /** The scenario file's text. */
  readonly scenario?: string;
}

export interface ReplayedActor {
  readonly address: string;
  readonly seq: number;
  readonly clock: number;
  readonly journalHash: string;
  readonly stateHash: string;
  readonly expectedStateHash?: string;
  readonly matches: boolean;
  readonly lines: readonly string[];
}

export interface ReplayReport {
  readonly title: string;
  /** The highest clock value of the run. */
  readonly last: number;
  readonly until: number;
  readonly actors: readonly ReplayedActor[];
  readonly broken: readonly string[];
}

/** The part of @vfiolab/testbed that is used here. */
interface Testbed {
  startEmbedded(options: { dir: string; durability: Durability; record: true }): Promise<Environment>;
  startNats(options: { dir: string; durability: Durability; url: string }): Promise<Environment>;
  writeManifest(dir: string, meta: RunMeta, end: RunEnd): Promise<void>;
  replayRun(dir: string, options?: { until?: number }): Promise<ReplayReport>;
}

export interface Engine extends Testbed {
  /** A scenario in virtual time. Seed 0 is calm; every other seed draws its own faults. */
  simulate(scenario: Scenario, options: { seed: number }): Promise<SimResult>;
}

const testbed = async (): Promise<Testbed> => (await import('@vfiolab/testbed')) as unknown as Testbed;

export const engine: Engine = {
  startEmbedded: async (options) => (await testbed()).startEmbedded(options),
  startNats: async (options) => (await testbed()).startNats(options),
  writeManifest: async (dir, meta, end) => (await testbed()).writeManifest(dir, meta, end),
  replayRun: async (dir, options) => (await testbed()).replayRun(dir, options),
  simulate: async (scenario, options) => (await import('@vfiolab/sim')).simulate(scenario, options),
};

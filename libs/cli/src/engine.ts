/**
 * What the command line asks of the rest of the project: running labs, replaying runs, simulating.
 *
 * Rule: everything behind this is loaded when a command needs it, so that `--help` and `groups` start at once; commands
 * know only this interface, so that their tests need no lab.
 */
import type { Environment, LabPlan, RunEnd, Scenario } from '@vfiolab/scenario';
import type { Costs, Hunt, Hunted, HuntedSeed, HuntShare, SimResult, Sweep } from '@vfiolab/sim';
import type {
  EmbeddedLab,
  FaultOperator,
  FaultOperatorOptions,
  KeptLab,
  LabStatus,
  NatsLab,
  NatsLabOptions,
  NatsOptions,
  ReplayOptions,
  ReplayReport,
  RunDifference,
  RunMeta,
  StartOptions,
  Step,
  SysfsUpdate,
} from '@vfiolab/testbed';

export type {
  FaultOperator,
  Parting,
  ReplayedActor,
  ReplayReport,
  RunDifference,
  RunMeta,
  Step,
} from '@vfiolab/testbed';

export const DURABILITIES = ['process', 'power', 'none'] as const;
/** What a run survives: the end of a process, the end of power, or nothing. */
export type Durability = (typeof DURABILITIES)[number];

/** What campaigns are made of: simulated faults around a scenario, or a hunt. */
export const MIXES = [
  'faults',
  'crash-points',
  'swarm',
  'day',
  'fuzz',
  'fail-nth',
  'races',
  'linearise',
  'vfio',
] as const satisfies readonly ('faults' | 'crash-points' | Hunt)[];
export type Mix = (typeof MIXES)[number];

export interface Engine {
  startEmbedded(options: StartOptions): Promise<EmbeddedLab>;
  startNats(options: NatsOptions): Promise<Environment>;
  /** Service processes for many hosts. */
  startNatsLab(options: NatsLabOptions): Promise<NatsLab>;
  /** Somebody who changes the fault plan of a lab that is running on NATS. */
  faultOperator(options: FaultOperatorOptions): Promise<FaultOperator>;
  /** Keeps a lab that stays, in this process. */
  keepLab(plan: LabPlan): Promise<KeptLab>;
  /** Has the lab that is up follow its plan; false: none is up. */
  applyPlan(plan: LabPlan): Promise<boolean>;
  /** Undefined: no lab is up. */
  labStatus(plan: LabPlan): Promise<LabStatus | undefined>;
  /** Ends the lab that is up; false: none is. */
  endLab(plan: LabPlan): Promise<boolean>;
  writeManifest(dir: string, meta: RunMeta, end: RunEnd): Promise<void>;
  /** Why an export of /sys cannot go there; undefined: it can. */
  sysfsTarget(out: string): Promise<string | undefined>;
  /** Shows the /sys of the host that runs there in a folder. Throws when the folder is in use. */
  exportSysfs(environment: Environment, out: string): Promise<{ update(): Promise<SysfsUpdate> }>;
  replayRun(dir: string, options?: ReplayOptions): Promise<ReplayReport>;
  /** Steps of a run, of one service or all, with clocks in [from, until]; `more`: there are more than `most`. */
  stepsOf(
    dir: string,
    options: { from: number; until: number; service?: string; most: number },
  ): Promise<{ steps: Step[]; more: boolean }>;
  /** Where two runs part. */
  diffRuns(first: string, second: string): Promise<RunDifference>;
  /** A scenario in virtual time. Seed 0 is calm; every other seed draws its own faults. */
  simulate(scenario: Scenario, options: { seed: number; costs?: Costs }): Promise<SimResult>;
  /** What work costs in virtual time, from a parsed file; undefined: the default. Throws an Error for people. */
  readCosts(given: unknown): Promise<Costs>;
  /** Everywhere that services can be in trouble in a scenario. Throws an Error for people when it fails by itself. */
  sweep(scenario: Scenario, snapshotEvery: number): Promise<Pick<Sweep, 'points' | 'trouble'>>;
  /** One seed of a hunt for mistakes. Throws when a service stops, or does not answer. */
  hunt(which: Hunt, seed: number): Promise<Hunted>;
  /** Many seeds on several threads; `heard` is told of each as it ends. Rejects when a thread cannot go on. */
  huntMany(share: HuntShare, heard: (seed: HuntedSeed) => void): Promise<void>;
}

export const engine: Engine = {
  startEmbedded: async (options) => (await import('@vfiolab/testbed')).startEmbedded(options),
  startNats: async (options) => (await import('@vfiolab/testbed')).startNats(options),
  startNatsLab: async (options) => (await import('@vfiolab/testbed')).startNatsLab(options),
  faultOperator: async (options) => (await import('@vfiolab/testbed')).faultOperator(options),
  keepLab: async (plan) => (await import('@vfiolab/testbed')).keepLab(plan),
  applyPlan: async (plan) => (await import('@vfiolab/testbed')).applyPlan(plan),
  labStatus: async (plan) => (await import('@vfiolab/testbed')).labStatus(plan),
  endLab: async (plan) => (await import('@vfiolab/testbed')).endLab(plan),
  writeManifest: async (dir, meta, end) => (await import('@vfiolab/testbed')).writeManifest(dir, meta, end),
  sysfsTarget: async (out) => (await import('@vfiolab/testbed')).sysfsTarget(out),
  exportSysfs: async (environment, out) => (await import('@vfiolab/testbed')).exportSysfs(environment, out),
  replayRun: async (dir, options) => (await import('@vfiolab/testbed')).replayRun(dir, options),
  stepsOf: async (dir, options) => (await import('@vfiolab/testbed')).stepsOf(dir, options),
  diffRuns: async (first, second) => (await import('@vfiolab/testbed')).diffRuns(first, second),
  simulate: async (scenario, options) => (await import('@vfiolab/sim')).simulate(scenario, options),
  readCosts: async (given = {}) => (await import('@vfiolab/sim')).readCosts(given),
  sweep: async (scenario, every) => (await import('@vfiolab/sim')).Sweep.of(scenario, every),
  hunt: async (which, seed) => (await import('@vfiolab/sim')).hunt(which, seed),
  huntMany: async (share, heard) => (await import('@vfiolab/sim')).huntMany(share, heard),
};

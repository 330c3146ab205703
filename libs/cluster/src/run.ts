/**
 * A whole run: every pod of a list offered once, in order.
 *
 * Rule: decisions are columns, a row an arrival; nothing is made per device.
 */
import { Fleet } from './fleet.js';
import type { HostList } from './import-nodes.js';
import type { Arrivals } from './import-order.js';
import { loadOf, type PodList } from './import-pods.js';
import type { Policy } from './policy.js';
import { Random } from './random.js';
import { REASONS } from './reasons.js';
import { Reports } from './reports.js';
import type { RequestClass } from './request.js';
import { NOWHERE, REFUSED, Scheduler } from './scheduler.js';
import { FITS } from './score-tree.js';
import type { Names } from './shape.js';

export interface RunInput {
  readonly hosts: HostList;
  readonly kinds: Names;
  readonly pods: PodList;
  readonly arrivals: Arrivals;
  /** Hosts, the one that wins a tie first. */
  readonly rank: Int32Array;
  readonly seed: number;
  /** Other hosts that a pod is offered to after one has refused it; default: none. */
  readonly retries?: number;
}

/** One pod's fate. */
export interface Decision {
  readonly arrival: number;
  readonly pod: string;
  /** Undefined: on none. */
  readonly node: string | undefined;
  /** Names of the devices that it was given. */
  readonly devices: readonly string[];
  /** Why not; empty when it was placed. */
  readonly reason: string;
}

export interface Tally {
  readonly pods: number;
  readonly placed: number;
  readonly unschedulable: number;
  /** Pods that are on no host because the chosen one refused. */
  readonly refused: number;
  /** Times that a chosen host refused. */
  readonly refusals: number;
  /** Of all GPUs, in percent. */
  readonly gpuAllocation: number;
  readonly cpuAllocation: number;
  /** GPUs that were asked for, in percent of those there are. */
  readonly gpuDemand: number;
  readonly hostsUsed: number;
  /** Unplaced pods by what most of the hosts that they were not given lack. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** Pods between two calls of `progress`. */
const PROGRESS_EVERY = 2048;

/** Offers all pods. `progress` hears how many were. */
export function run(input: RunInput, policy: Policy, progress?: (done: number) => void): Run {
  const made = new Run(input, policy);
  for (let arrival = 0; arrival < input.arrivals.pods.length; arrival++) {
    made.offer(arrival);
    if (progress && arrival % PROGRESS_EVERY === 0) progress(arrival);
  }
  return made;
}

export class Run {
  readonly fleet: Fleet;
  readonly scheduler: Scheduler;
  /** Host of each arrival, NOWHERE or REFUSED. */
  readonly hosts: Int32Array;
  /** Its choice of devices, in `scheduler.fitsOf` of its class. */
  private readonly rows: Int32Array;
  private readonly reports: Reports;
  private readonly reasons = new Map<string, number>();
  private gpuMilli = 0;
  private demanded = 0;
  private cpuMilli = 0;

  constructor(
    private readonly input: RunInput,
    policy: Policy,
  ) {
    const { hosts, pods, kinds, arrivals, rank, seed } = input;
    const load = loadOf(pods);
    this.fleet = new Fleet(hosts, rank);
    this.scheduler = new Scheduler(this.fleet, policy, load, kinds, new Random(seed));
    this.hosts = new Int32Array(arrivals.pods.length).fill(NOWHERE);
    this.rows = new Int32Array(arrivals.pods.length);
    this.reports = new Reports(this.fleet, arrivals.pods.length);
  }

  private devicesOf(arrival: number, host: number): string[] {
    const { pods, arrivals } = this.input;
    const fits = this.scheduler.fitsOf(pods.requests.classes[pods.classOf[arrivals.pods[arrival]!]!]!);
    return fits.slotsOf(this.rows[arrival]!).map((slot) => this.fleet.shape(host).slots[slot]!.name);
  }

  /** Offers one pod; the host, NOWHERE or REFUSED. */
  offer(arrival: number): number {
    const { pods, arrivals } = this.input;
    const request = pods.requests.classes[pods.classOf[arrivals.pods[arrival]!]!]!;
    const host = this.scheduler.place(request, this.input.retries);
    const milli = request.gpus * request.gpuMilli;
    this.demanded += milli;
    this.hosts[arrival] = host;
    if (host >= 0) {
      this.rows[arrival] = this.scheduler.row;
      this.gpuMilli += milli;
      this.cpuMilli += request.cpuMilli;
    } else {
      const main = this.unplaced(arrival, request, host);
      this.reasons.set(main, (this.reasons.get(main) ?? 0) + 1);
    }
    return host;
  }

  decision(arrival: number): Decision {
    const host = this.hosts[arrival]!;
    return {
      arrival,
      pod: this.input.arrivals.nameOf(arrival),
      node: host >= 0 ? this.fleet.nameOf(host) : undefined,
      devices: host >= 0 ? this.devicesOf(arrival, host) : [],
      reason: this.reports.text(arrival),
    };
  }

  *decisions(): Generator<Decision> {
    for (let arrival = 0; arrival < this.hosts.length; arrival++) yield this.decision(arrival);
  }

  tally(): Tally {
    const { hosts, fleet } = this;
    const placed = hosts.reduce((sum, host) => sum + (host >= 0 ? 1 : 0), 0);
    const refused = hosts.reduce((sum, host) => sum + (host === REFUSED ? 1 : 0), 0);
    const gpus = gpuCapacity(this.input.hosts);
    const cpus = this.input.hosts.shapeOf.reduce((sum, shape) => sum + fleet.shapes[shape]!.cpuMilli, 0);
    return {
      pods: hosts.length,
      placed,
      unschedulable: hosts.length - placed - refused,
      refused,
      refusals: this.scheduler.refusals,
      gpuAllocation: percent(this.gpuMilli, gpus),
      cpuAllocation: percent(this.cpuMilli, cpus),
      gpuDemand: percent(this.demanded, gpus),
      hostsUsed: new Set(hosts.filter((host) => host >= 0)).size,
      reasons: Object.fromEntries([...this.reasons].sort(([a], [b]) => (a < b ? -1 : 1))),
    };
  }

  /** Notes why, and answers the main reason. */
  private unplaced(arrival: number, request: RequestClass, host: number): string {
    const { scheduler, reports } = this;
    if (host === REFUSED) {
      reports.refusal(arrival, scheduler.refusedBy, scheduler.reason);
      return `refused: ${REASONS[scheduler.reason]}`;
    }
    const tally = scheduler.tally(request);
    reports.rejections(arrival, tally);
    return mainReason(tally);
  }
}

const percent = (part: number, whole: number): number => (whole === 0 ? 0 : (100 * part) / whole);

/** Thousandths of all GPUs. */
export const gpuCapacity = ({ shapes, shapeOf }: HostList): number => {
  const of = shapes.map(({ slots }) => slots.reduce((sum, { kind, units }) => sum + (kind === 0 ? units : 0), 0));
  return shapeOf.reduce((sum, shape) => sum + of[shape]!, 0);
};

/** What most hosts lack, those aside that are of another model. */
function mainReason(tally: Int32Array): string {
  const sums = REASONS.map((_, reason) => {
    let sum = 0;
    for (let at = reason; at < tally.length; at += FITS) sum += tally[at]!;
    return sum;
  });
  const others = sums.map((sum, i) => (REASONS[i] === 'model' ? 0 : sum));
  const most = Math.max(...others);
  return most > 0 ? REASONS[others.indexOf(most)]! : 'model';
}

/** What a run in time came to: counts, times of waiting and starting, and samples of the cluster as it went. */
import type { Start } from './host-starts.js';
import type { Outages } from './outages.js';
import type { RequestClass } from './request.js';
import { gpuCapacity } from './run.js';
import type { TimelineInput } from './timeline.js';

/** Seconds. */
export interface Distribution {
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

export interface Sample {
  readonly time: number;
  readonly running: number;
  readonly waiting: number;
  readonly gpuAllocation: number;
  readonly hostsDown: number;
  readonly devicesOut: number;
}

export interface TimelineTally {
  readonly pods: number;
  /** That ran at least once. */
  readonly started: number;
  readonly waitingAtEnd: number;
  readonly refusals: number;
  readonly restarts: number;
  readonly migrations: number;
  readonly quarantined: number;
  /** Mean over time, and the most, in percent of all GPUs. */
  readonly gpuAllocation: number;
  readonly gpuPeak: number;
  readonly wait: Distribution;
  readonly startup: Distribution;
  /** Mean seconds of a start by what they went to. */
  readonly startupParts: Readonly<Omit<Start, 'total'>>;
}

const SAMPLES = 500;

export class Statistics {
  arrived = 0;
  restarts = 0;
  migrations = 0;
  quarantined = 0;
  readonly samples: Sample[] = [];
  /** Seconds of each start. */
  readonly startups: number[] = [];
  private readonly since: Float64Array;
  private readonly waited: number[] = [];
  private readonly parts = { launch: 0, lock: 0, map: 0, reset: 0, boot: 0 };
  private readonly capacity: number;
  private readonly between: number;
  private readonly seen: Uint8Array;
  private started = 0;
  private running = 0;
  private gpuMilli = 0;
  private peak = 0;
  private area = 0;
  private now = 0;
  private nextSample = 0;

  constructor({ arrivals, pods, hosts, events }: TimelineInput) {
    this.since = new Float64Array(arrivals.pods.length);
    this.seen = new Uint8Array(arrivals.pods.length);
    this.capacity = gpuCapacity(hosts) || 1;
    let end = 1;
    for (const pod of arrivals.pods) end = Math.max(end, pods.created[pod]! || 0, pods.deleted[pod]! || 0);
    for (const { time } of events) end = Math.max(end, time);
    this.between = end / SAMPLES;
  }

  /** Time goes on to `time`. */
  advance(time: number, waiting: number, { hostsDown, devicesOut }: Outages): void {
    for (; this.nextSample <= time && this.samples.length < 2 * SAMPLES; this.nextSample += this.between)
      this.samples.push({
        time: this.nextSample,
        running: this.running,
        waiting,
        gpuAllocation: (100 * this.gpuMilli) / this.capacity,
        hostsDown,
        devicesOut,
      });
    this.area += (time - this.now) * this.gpuMilli;
    this.now = time;
  }

  waits(arrival: number, now: number): void {
    this.since[arrival] = now;
  }

  starts(arrival: number, { gpus, gpuMilli }: RequestClass, now: number, start: Start): void {
    if (this.seen[arrival] === 0) this.started++;
    this.seen[arrival] = 1;
    this.waited.push(now - this.since[arrival]!);
    this.startups.push(start.total);
    for (const part of Object.keys(this.parts) as (keyof typeof this.parts)[]) this.parts[part] += start[part];
    this.running++;
    this.gpuMilli += gpus * gpuMilli;
    this.peak = Math.max(this.peak, this.gpuMilli);
  }

  ends({ gpus, gpuMilli }: RequestClass): void {
    this.running--;
    this.gpuMilli -= gpus * gpuMilli;
  }

  tally(waitingAtEnd: number, refusals: number): TimelineTally {
    const { launch, lock, map, reset, boot } = this.parts;
    const each = (sum: number): number => sum / Math.max(1, this.startups.length);
    return {
      pods: this.since.length,
      started: this.started,
      waitingAtEnd,
      refusals,
      restarts: this.restarts,
      migrations: this.migrations,
      quarantined: this.quarantined,
      gpuAllocation: this.now === 0 ? 0 : (100 * this.area) / this.now / this.capacity,
      gpuPeak: (100 * this.peak) / this.capacity,
      wait: distribution(this.waited),
      startup: distribution(this.startups),
      startupParts: { launch: each(launch), lock: each(lock), map: each(map), reset: each(reset), boot: each(boot) },
    };
  }
}

function distribution(values: readonly number[]): Distribution {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  const mean = values.length === 0 ? 0 : values.reduce((sum, each) => sum + each, 0) / values.length;
  return { mean, p50: at(0.5), p99: at(0.99), most: at(1) };
}

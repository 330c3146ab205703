/**
 * A run in time: pods come, wait, start, end and migrate; hosts and devices fail and come back.
 *
 * Words: a pod *waits* from its arrival, or from the loss of its host, until it is placed; then it *starts*, and runs as long as
 * its list says. A device in *quarantine* failed its reset when it was given back.
 * Rule: the queue's order decides, and chance comes from the seed: the same input gives the same timeline.
 */
import { loadOf } from './import-pods.js';
import { EventQueue } from './event-queue.js';
import { Fleet } from './fleet.js';
import { HostStarts } from './host-starts.js';
import type { ClusterEvent } from './import-events.js';
import { Migration } from './migration.js';
import { Outages } from './outages.js';
import type { Policy } from './policy.js';
import { Random } from './random.js';
import { Reports } from './reports.js';
import type { RequestClass } from './request.js';
import { Residents } from './residents.js';
import { type Decision, type RunInput } from './run.js';
import { Scheduler } from './scheduler.js';
import type { HostCosts } from './start-costs.js';
import { Statistics, type TimelineTally } from './timeline-statistics.js';
import { Waiting } from './waiting.js';

export interface TimelineInput extends RunInput {
  readonly events: readonly ClusterEvent[];
  readonly costs: HostCosts;
  /** Kinds of device with which a pod can migrate. One that has no device always can. */
  readonly migratable: ReadonlySet<number>;
}

const [ARRIVAL, END, EVENT, UNDO, RELEASE_DEVICE] = [0, 1, 2, 3, 4];
const MIB_PER_GIB = 1024;
const PROGRESS_EVERY = 2048;

export class Timeline {
  readonly fleet: Fleet;
  readonly scheduler: Scheduler;
  readonly statistics: Statistics;
  private readonly queue = new EventQueue();
  private readonly residents: Residents;
  private readonly waiting: Waiting;
  private readonly starts: HostStarts;
  private readonly reports: Reports;
  private readonly random: Random;
  /** When each running arrival ends; its latest host, and choice of devices there. */
  private readonly ends: Float64Array;
  private readonly latest: Int32Array;
  private readonly rows: Int32Array;
  private readonly outages: Outages;
  private readonly migration: Migration;
  /** Devices in quarantine whose time is set, by the number in their event. */
  private readonly quarantine: number[] = [];
  private resetFailures = { share: 0, seconds: Number.POSITIVE_INFINITY };
  private readonly hostAt: Int32Array;
  private now = 0;

  constructor(
    private readonly input: TimelineInput,
    policy: Policy,
  ) {
    const { hosts, pods, kinds, arrivals, rank, seed } = input;
    const load = loadOf(pods);
    const count = arrivals.pods.length;
    this.fleet = new Fleet(hosts, rank);
    this.random = new Random(seed);
    this.scheduler = new Scheduler(this.fleet, policy, load, kinds, this.random);
    this.residents = new Residents(count, this.fleet.count, this.fleet.numaNodes);
    this.waiting = new Waiting(load.classes.length);
    this.starts = new HostStarts(input.costs);
    this.reports = new Reports(this.fleet, count);
    this.ends = new Float64Array(count);
    this.latest = new Int32Array(count).fill(-1);
    this.rows = new Int32Array(count);
    this.outages = new Outages(this.fleet, this.scheduler);
    this.migration = new Migration({
      fleet: this.fleet,
      scheduler: this.scheduler,
      residents: this.residents,
      outages: this.outages,
      migratable: input.migratable,
      retries: input.retries,
      request: (arrival) => this.request(arrival),
      moved: (arrival, request, { host, row }) => this.moved(arrival, request, host, row),
    });
    this.hostAt = new Int32Array(hosts.names.length);
    for (const [row, host] of rank.entries()) this.hostAt[host] = row;
    for (let arrival = 0; arrival < count; arrival++)
      this.queue.add(pods.created[arrivals.pods[arrival]!]! || 0, ARRIVAL, arrival);
    for (const [i, { time }] of input.events.entries()) this.queue.add(time, EVENT, i);
    this.statistics = new Statistics(input);
  }

  /** To the end of all that is known. `progress` hears how many of the arrivals have come. */
  run(progress?: (done: number) => void): this {
    const { queue } = this;
    for (let steps = 0; queue.take(); steps++) {
      this.statistics.advance(queue.time, this.waiting.size, this.outages);
      this.now = queue.time;
      this.step(queue.kind, queue.subject);
      if (progress && steps % PROGRESS_EVERY === 0) progress(this.statistics.arrived);
    }
    for (const arrival of this.waiting.all()) {
      this.latest[arrival] = -1;
      this.reports.rejections(arrival, this.scheduler.tally(this.request(arrival)));
    }
    return this;
  }

  *decisions(): Generator<Decision> {
    for (const [arrival, host] of this.latest.entries())
      yield {
        arrival,
        pod: this.input.arrivals.nameOf(arrival),
        node: host >= 0 ? this.fleet.nameOf(host) : undefined,
        devices: host >= 0 ? this.devicesOf(arrival, host) : [],
        reason: this.reports.text(arrival),
      };
  }

  private devicesOf(arrival: number, host: number): string[] {
    const slots = this.scheduler.fitsOf(this.request(arrival)).slotsOf(this.rows[arrival]!);
    return slots.map((slot) => this.fleet.shape(host).slots[slot]!.name);
  }

  tally(): TimelineTally {
    return this.statistics.tally(this.waiting.size, this.scheduler.refusals);
  }

  private step(kind: number, subject: number): void {
    if (kind === ARRIVAL) {
      this.statistics.arrived++;
      this.statistics.waits(subject, this.now);
      if (!this.attempt(subject)) this.waiting.add(this.request(subject).id, subject);
    } else if (kind === END) {
      // One that was moved or lost meanwhile has another end, or none.
      if (this.residents.hostOf[subject]! < 0 || this.ends[subject] !== this.now) return;
      this.leave(subject);
      this.retry();
    } else if (kind === EVENT) this.apply(this.input.events[subject]!, subject);
    else if (kind === UNDO) this.undo(this.input.events[subject]!);
    else {
      this.outages.setDevice(this.quarantine[subject]!, -1);
      this.retry();
    }
  }

  private request(arrival: number): RequestClass {
    const { pods, arrivals } = this.input;
    return pods.requests.classes[pods.classOf[arrivals.pods[arrival]!]!]!;
  }

  /** Places and starts it; false: it has to wait. */
  private attempt(arrival: number): boolean {
    const request = this.request(arrival);
    const host = this.scheduler.place(request, this.input.retries);
    if (host < 0) return false;
    this.residents.settle(arrival, host, this.scheduler);
    this.latest[arrival] = host;
    this.rows[arrival] = this.scheduler.row;
    const slots = this.residents.slotsOf(arrival);
    const { slots: all } = this.fleet.shape(host);
    const opened = request.ask.passthrough ? [...new Set(slots.map((slot) => all[slot]!.group))] : [];
    const pages = request.huge ? 'hugetlb' : 'thp';
    const start = this.starts.start({ host, at: this.now, devsets: opened, gib: this.gib(request), pages });
    this.statistics.starts(arrival, request, this.now, start);
    const { created, deleted } = this.input.pods;
    const pod = this.input.arrivals.pods[arrival]!;
    const life = deleted[pod]! - (created[pod]! || 0);
    this.endAt(arrival, this.now + start.total + life + opened.length * this.input.costs.reset);
    return true;
  }

  private endAt(arrival: number, time: number): void {
    this.ends[arrival] = time;
    if (!Number.isNaN(time)) this.queue.add(time, END, arrival);
  }

  /** GiB that are mapped for DMA: with a device passed through, all of a guest's memory. */
  private gib({ ask, memory, pinned }: RequestClass): number {
    return ask.passthrough ? (memory + pinned) / MIB_PER_GIB : 0;
  }

  private leave(arrival: number): void {
    const request = this.request(arrival);
    const slots = request.ask.passthrough ? this.residents.slotsOf(arrival) : [];
    const holding = this.residents.remove(arrival);
    this.scheduler.release(holding.host, request, holding.fits, holding.row, holding.memory);
    this.statistics.ends(request);
    for (const slot of slots) this.reset(holding.host, slot);
  }

  /** A device comes back; its reset may fail. */
  private reset(host: number, slot: number): void {
    const { share, seconds } = this.resetFailures;
    if (share === 0 || this.random.fraction() >= share) return;
    const device = this.outages.device(host, slot);
    this.statistics.quarantined++;
    this.outages.setDevice(device, 1);
    if (Number.isFinite(seconds)) this.queue.add(this.now + seconds, RELEASE_DEVICE, this.quarantine.push(device) - 1);
  }

  /** Who waits is offered again, who has waited longest first; of a class that nobody takes, once. */
  private retry(): void {
    for (const id of this.waiting.classes())
      for (let arrival = this.waiting.head(id); arrival >= 0; arrival = this.waiting.head(id)) {
        if (!this.attempt(arrival)) break;
        this.waiting.shift(id);
      }
  }

  private apply(event: ClusterEvent, index: number): void {
    const { outages, residents, migration } = this;
    const { slot, seconds } = event;
    const host = event.host < 0 ? -1 : this.hostAt[event.host]!;
    switch (event.event) {
      case 'fail':
        outages.fail(host, 1);
        this.evict(residents.on(host));
        this.starts.forget(host);
        break;
      case 'drain':
        outages.drain(host, 1);
        migration.leave(host);
        break;
      case 'stuck':
        this.evict(residents.on(host).filter((each) => residents.slotsOf(each).includes(slot)));
        outages.setDevice(outages.device(host, slot), 1);
        break;
      case 'reset-failures':
        this.resetFailures = event;
        break;
      case 'defragment':
        migration.defragment();
    }
    if (host >= 0 && Number.isFinite(seconds)) this.queue.add(this.now + seconds, UNDO, index);
    this.retry();
  }

  private undo({ event, host: listed, slot }: ClusterEvent): void {
    const host = this.hostAt[listed]!;
    if (event === 'fail') this.outages.fail(host, -1);
    else if (event === 'drain') this.outages.drain(host, -1);
    else this.outages.setDevice(this.outages.device(host, slot), -1);
    this.retry();
  }

  /** They lose what they had, and wait to begin again. */
  private evict(arrivals: readonly number[]): void {
    for (const arrival of arrivals) {
      this.leave(arrival);
      this.statistics.restarts++;
      this.statistics.waits(arrival, this.now);
      this.waiting.add(this.request(arrival).id, arrival);
    }
  }

  /** It runs on, after the time that the copy of its memory took. */
  private moved(arrival: number, request: RequestClass, host: number, row: number): void {
    this.latest[arrival] = host;
    this.rows[arrival] = row;
    this.statistics.migrations++;
    const seconds = (request.memory + request.pinned) / MIB_PER_GIB / this.input.costs.migration;
    this.endAt(arrival, this.ends[arrival]! + seconds);
  }
}

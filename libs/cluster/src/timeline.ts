/**
 * A run in time: pods come, wait, start, end and migrate; hosts and devices fail and come back.
 *
 * Words: a pod *waits* from its arrival, or from the loss of its host, until it is placed; then it *starts*, and runs as long as
 * its list says. A device in *quarantine* failed its reset when it was given back.
 * Rule: the queue's order decides, and chance comes from the seed: the same input gives the same timeline.
 */
import { EventQueue } from './event-queue.js';
import { DOWN, DRAINED, Fleet, UP } from './fleet.js';
import { HostStarts } from './host-starts.js';
import type { ClusterEvent } from './import-events.js';
import type { Policy } from './policy.js';
import { Random } from './random.js';
import { Reports } from './reports.js';
import type { RequestClass } from './request.js';
import { giveBack, type Holding, Residents } from './residents.js';
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
/** Of all hosts, those that one `defragment` looks at. */
const DEFRAGMENTED = 0.1;
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
  /** Failures and drains that a host is under now. */
  private readonly failures: Uint16Array;
  private readonly drains: Uint16Array;
  /** Why a device is out, counted, by host and slot. */
  private readonly out = new Map<number, number>();
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
    const { classes } = pods.requests;
    const counts = new Array<number>(classes.length).fill(0);
    for (const id of pods.classOf) counts[id]!++;
    const count = arrivals.pods.length;
    this.fleet = new Fleet(hosts, rank);
    this.random = new Random(seed);
    this.scheduler = new Scheduler(this.fleet, policy, { classes, counts }, kinds, this.random);
    this.residents = new Residents(count, this.fleet.count, this.fleet.numaNodes);
    this.waiting = new Waiting(classes.length);
    this.starts = new HostStarts(input.costs);
    this.reports = new Reports(this.fleet, count);
    this.ends = new Float64Array(count);
    this.latest = new Int32Array(count).fill(-1);
    this.rows = new Int32Array(count);
    this.failures = new Uint16Array(this.fleet.count);
    this.drains = new Uint16Array(this.fleet.count);
    this.hostAt = new Int32Array(hosts.names.length);
    for (const [row, host] of rank.entries()) this.hostAt[host] = row;
    for (let arrival = 0; arrival < count; arrival++)
      this.queue.add(pods.created[arrivals.pods[arrival]!]! || 0, ARRIVAL, arrival);
    for (const [i, { time }] of input.events.entries()) this.queue.add(time, EVENT, i);
    this.statistics = new Statistics(input, this.fleet);
  }

  /** To the end of all that is known. `progress` hears how many of the arrivals have come. */
  run(progress?: (done: number) => void): this {
    const { queue } = this;
    for (let steps = 0; queue.take(); steps++) {
      this.statistics.advance(queue.time, this.waiting.size);
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
      this.setOut(this.quarantine[subject]!, -1);
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
    giveBack(this.scheduler, request, holding);
    this.statistics.ends(request);
    for (const slot of slots) this.reset(holding.host, slot);
  }

  /** A device comes back; its reset may fail. */
  private reset(host: number, slot: number): void {
    const { share, seconds } = this.resetFailures;
    if (share === 0 || this.random.fraction() >= share) return;
    const key = this.deviceKey(host, slot);
    this.statistics.quarantined++;
    this.setOut(key, 1);
    if (Number.isFinite(seconds)) this.queue.add(this.now + seconds, RELEASE_DEVICE, this.quarantine.push(key) - 1);
  }

  private deviceKey(host: number, slot: number): number {
    return host * this.fleet.occupancies.stride + slot;
  }

  private setOut(key: number, by: 1 | -1): void {
    const count = (this.out.get(key) ?? 0) + by;
    if (count === 0) this.out.delete(key);
    else this.out.set(key, count);
    const { stride } = this.fleet.occupancies;
    this.scheduler.setOut(Math.floor(key / stride), key % stride, count > 0);
    this.statistics.devicesOut = this.out.size;
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
    const { event: name, seconds } = event;
    const host = event.host < 0 ? -1 : this.hostAt[event.host]!;
    if (name === 'reset-failures') this.resetFailures = event;
    else if (name === 'defragment') this.defragment();
    else {
      if (name === 'stuck') {
        this.evict(this.residents.on(host).filter((each) => this.residents.slotsOf(each).includes(event.slot)));
        this.setOut(this.deviceKey(host, event.slot), 1);
      } else {
        (name === 'fail' ? this.failures : this.drains)[host]!++;
        this.setState(host);
        if (name === 'fail') {
          this.evict(this.residents.on(host));
          this.starts.forget(host);
        } else for (const arrival of this.residents.on(host)) this.migrate(arrival);
      }
      if (Number.isFinite(seconds)) this.queue.add(this.now + seconds, UNDO, index);
    }
    this.retry();
  }

  private undo({ event, host: listed, slot }: ClusterEvent): void {
    const host = this.hostAt[listed]!;
    if (event === 'stuck') this.setOut(this.deviceKey(host, slot), -1);
    else {
      (event === 'fail' ? this.failures : this.drains)[host]!--;
      this.setState(host);
    }
    this.retry();
  }

  private setState(host: number): void {
    this.fleet.state[host] = this.failures[host]! > 0 ? DOWN : this.drains[host]! > 0 ? DRAINED : UP;
    this.statistics.hostsDown = this.failures.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
    this.scheduler.touch(host);
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

  private canMigrate({ ask }: RequestClass): boolean {
    return ask.items.every(({ kind }) => this.input.migratable.has(kind));
  }

  /** To another host, if it can and one takes it; it has both for a moment. */
  private migrate(arrival: number): boolean {
    const request = this.request(arrival);
    if (!this.canMigrate(request)) return false;
    const host = this.scheduler.place(request, this.input.retries);
    if (host < 0) return false;
    this.move(arrival, request, host);
    return true;
  }

  private move(arrival: number, request: RequestClass, host: number, to?: Holding): void {
    const from = this.residents.remove(arrival);
    if (to) this.residents.put(arrival, to);
    else this.residents.settle(arrival, host, this.scheduler);
    giveBack(this.scheduler, request, from);
    this.latest[arrival] = host;
    this.rows[arrival] = to ? to.row : this.scheduler.row;
    this.statistics.migrations++;
    const seconds = (request.memory + request.pinned) / MIB_PER_GIB / this.input.costs.migration;
    this.endAt(arrival, this.ends[arrival]! + seconds);
  }

  /** Empties hosts that have least on them, where all of it fits on other hosts in use. */
  private defragment(): void {
    const used: { host: number; arrivals: number[]; left: number }[] = [];
    for (let host = 0; host < this.fleet.count; host++) {
      const arrivals = this.residents.on(host);
      if (arrivals.length === 0 || this.fleet.state[host] !== UP) continue;
      if (!arrivals.every((each) => this.canMigrate(this.request(each)))) continue;
      used.push({ host, arrivals, left: this.fleet.cpuLeft[host]! });
    }
    used.sort((a, b) => b.left - a.left || a.host - b.host);
    for (const { host, arrivals } of used.slice(0, Math.ceil(DEFRAGMENTED * this.fleet.count)))
      this.empty(host, arrivals);
  }

  /** All of them, or none. */
  private empty(host: number, arrivals: readonly number[]): void {
    // Others may have come while hosts before were emptied.
    if (this.residents.on(host).length !== arrivals.length) return;
    const { scheduler, fleet } = this;
    fleet.state[host] = DRAINED;
    scheduler.touch(host);
    const found: Holding[] = [];
    for (const arrival of arrivals) {
      const target = scheduler.place(this.request(arrival), this.input.retries);
      if (target < 0) break;
      const { fits, row, memoryTaken } = scheduler;
      found.push({ host: target, fits, row, memory: memoryTaken.slice() });
      if (this.residents.on(target).length === 0) break;
    }
    const last = found.at(-1);
    if (found.length === arrivals.length && last && this.residents.on(last.host).length > 0)
      for (const [i, arrival] of arrivals.entries())
        this.move(arrival, this.request(arrival), found[i]!.host, found[i]);
    else for (const [i, holding] of found.entries()) giveBack(scheduler, this.request(arrivals[i]!), holding);
    this.setState(host);
  }
}

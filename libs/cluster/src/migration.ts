/**
 * Moves pods to other hosts while they run.
 *
 * Rule: a pod has its new host before it leaves the old one, so that nobody is lost when there is no place.
 */
import { DRAINED, type Fleet, UP } from './fleet.js';
import type { Outages } from './outages.js';
import type { RequestClass } from './request.js';
import type { Holding, Residents } from './residents.js';
import type { Scheduler } from './scheduler.js';

/** Of all hosts, those that one `defragment` looks at. */
const DEFRAGMENTED = 0.1;

export interface MigrationInput {
  readonly fleet: Fleet;
  readonly scheduler: Scheduler;
  readonly residents: Residents;
  readonly outages: Outages;
  /** Kinds of device with which a pod can migrate. */
  readonly migratable: ReadonlySet<number>;
  readonly retries: number | undefined;
  request(arrival: number): RequestClass;
  /** It is on its new host now. */
  moved(arrival: number, request: RequestClass, to: Holding): void;
}

export class Migration {
  constructor(private readonly input: MigrationInput) {}

  /** Who can goes; the others stay. The host takes nobody. */
  leave(host: number): void {
    for (const arrival of this.input.residents.on(host)) {
      if (!this.canMigrate(arrival)) continue;
      const to = this.find(arrival);
      if (to) this.move(arrival, to);
    }
  }

  /** Empties hosts that have least on them, where all of it fits on other hosts in use. */
  defragment(): void {
    const { fleet, residents } = this.input;
    const used: { host: number; arrivals: number[]; left: number }[] = [];
    for (let host = 0; host < fleet.count; host++) {
      if (fleet.state[host] !== UP) continue;
      const arrivals = residents.on(host);
      if (arrivals.length > 0 && arrivals.every((each) => this.canMigrate(each)))
        used.push({ host, arrivals, left: fleet.cpuLeft[host]! });
    }
    used.sort((a, b) => b.left - a.left || a.host - b.host);
    for (const { host, arrivals } of used.slice(0, Math.ceil(DEFRAGMENTED * fleet.count))) this.empty(host, arrivals);
  }

  private canMigrate(arrival: number): boolean {
    return this.input.request(arrival).ask.items.every(({ kind }) => this.input.migratable.has(kind));
  }

  /** A further place for it, which it has from now on. */
  private find(arrival: number): Holding | undefined {
    const { scheduler, retries, request } = this.input;
    const host = scheduler.place(request(arrival), retries);
    const { fits, row, memoryTaken } = scheduler;
    return host < 0 ? undefined : { host, fits, row, memory: memoryTaken.slice() };
  }

  private move(arrival: number, to: Holding): void {
    const { residents, request, moved } = this.input;
    const from = residents.remove(arrival);
    residents.put(arrival, to);
    this.giveBack(arrival, from);
    moved(arrival, request(arrival), to);
  }

  private giveBack(arrival: number, { host, fits, row, memory }: Holding): void {
    this.input.scheduler.release(host, this.input.request(arrival), fits, row, memory);
  }

  /** All of them, or none. */
  private empty(host: number, arrivals: readonly number[]): void {
    const { fleet, scheduler, residents, outages } = this.input;
    // Others may have come while hosts before were emptied.
    if (residents.on(host).length !== arrivals.length) return;
    fleet.state[host] = DRAINED;
    scheduler.touch(host);
    const found: Holding[] = [];
    for (const arrival of arrivals) {
      const to = this.find(arrival);
      if (to) found.push(to);
      if (!to || residents.on(to.host).length === 0) break;
    }
    const inUse = found.every((to) => residents.on(to.host).length > 0);
    for (const [i, to] of found.entries())
      if (inUse && found.length === arrivals.length) this.move(arrivals[i]!, to);
      else this.giveBack(arrivals[i]!, to);
    outages.show(host);
  }
}

/**
 * A cluster whose pods somebody else brings, one by one: which hosts take a pod, how good each is, and that it is there now.
 *
 * Words: a pod is *booked* on a host when its devices, processors and memory are its own; it is known by a key of its bringer's.
 * Rule: asking changes nothing; a booking that the host refuses changes nothing either.
 */
import { Fleet } from './fleet.js';
import type { HostList } from './import-nodes.js';
import { LIMITS } from './limits.js';
import type { Policy } from './policy.js';
import { Random } from './random.js';
import { type Reason, REASONS } from './reasons.js';
import { NO_DEVICES, type RequestClass, type RequestFacts, Requests } from './request.js';
import type { Holding } from './residents.js';
import { Scheduler } from './scheduler.js';
import { FITS } from './score-tree.js';
import { GPU, type Names } from './shape.js';

/** What usually comes: the classes of a pod list, and how many pods each has. */
export interface UsualLoad {
  readonly requests: Requests;
  readonly classOf: ArrayLike<number>;
}

/** Where no list says what usually comes, pods with as many whole GPUs are thought to be equally frequent. */
const USUAL = [1, 2, 4, 8];

interface Booking extends Holding {
  readonly request: RequestClass;
}

export class LiveCluster {
  private readonly fleet: Fleet;
  private readonly scheduler: Scheduler;
  private readonly requests: Requests;
  private readonly rowOf = new Map<string, number>();
  private readonly booked = new Map<string, Booking>();

  constructor(hosts: HostList, kinds: Names, policy: Policy, usual?: UsualLoad) {
    this.requests = usual?.requests ?? new Requests();
    const counts: number[] = this.requests.classes.map(() => 0);
    for (let pod = 0; usual && pod < usual.classOf.length; pod++) counts[usual.classOf[pod]!]!++;
    // Policies that keep something for each number of GPUs learn of all of them here.
    for (let count = 1; count <= LIMITS.devices; count++) {
      const items = [{ kind: GPU, count, units: 0 }];
      const facts = { cpuMilli: 0, memory: 0, pinned: 0, huge: false, models: [] };
      const { id } = this.requests.intern({ ...facts, ask: { ...NO_DEVICES, items } });
      counts[id] ??= usual === undefined && USUAL.includes(count) ? 1 : 0;
    }
    this.fleet = new Fleet(hosts, Int32Array.from(hosts.names.keys()));
    const load = { classes: [...this.requests.classes], counts };
    this.scheduler = new Scheduler(this.fleet, policy, load, kinds, new Random(0));
    for (const [row, name] of hosts.names.entries()) this.rowOf.set(name, row);
  }

  get bookings(): number {
    return this.booked.size;
  }

  hostOf(key: string): string | undefined {
    const booking = this.booked.get(key);
    return booking && this.fleet.nameOf(booking.host);
  }

  /** Undefined: there are more different requests than a cluster may have. */
  request(facts: RequestFacts): RequestClass | undefined {
    const known = this.requests.known(facts);
    if (known || this.requests.classes.length >= LIMITS.classes) return known;
    const request = this.requests.intern(facts);
    this.scheduler.learn(request);
    return request;
  }

  /** By host: how good it is, from 0 on, or why it does not take the pod; undefined: there is no such host. */
  look(request: RequestClass, hosts: readonly string[]): (number | Reason | undefined)[] {
    const codes = this.scheduler.codes(request);
    return hosts.map((name) => {
      const row = this.rowOf.get(name);
      if (row === undefined) return undefined;
      const code = codes[row]!;
      return code >= FITS ? code - FITS : REASONS[code]!;
    });
  }

  /** Why the host does not take it; undefined: it is there. A key that is booked there already stays so. */
  book(key: string, request: RequestClass, host: string): Reason | 'unknown-host' | 'booked-elsewhere' | undefined {
    const row = this.rowOf.get(host);
    if (row === undefined) return 'unknown-host';
    const before = this.booked.get(key);
    if (before) return before.host === row ? undefined : 'booked-elsewhere';
    const code = this.scheduler.placeOn(row, request);
    if (code < FITS) return REASONS[code]!;
    const { fits, row: choice, memoryTaken } = this.scheduler;
    this.booked.set(key, { host: row, fits, row: choice, memory: memoryTaken.slice(), request });
    return undefined;
  }

  /** All that it had is free again; false: it was not booked. */
  release(key: string): boolean {
    const booking = this.booked.get(key);
    if (!booking) return false;
    const { host, request, fits, row, memory } = booking;
    this.scheduler.release(host, request, fits, row, memory);
    return this.booked.delete(key);
  }
}

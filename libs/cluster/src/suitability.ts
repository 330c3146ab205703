/**
 * How suitable a host is for a request: a reason why not, or a score and the devices it is for.
 *
 * Words: what the policy *sees* may be less than what is *real*: a host admits a request by the latter.
 */
import { arbitrary } from './choosers.js';
import { Fits } from './fits.js';
import { type Fleet, UP } from './fleet.js';
import { TAKEN_GROUP, widened } from './occupancies.js';
import type { Load, Policy, Scorer } from './policy.js';
import { REASON } from './reasons.js';
import type { RequestClass } from './request.js';
import { FITS } from './score-tree.js';
import type { Names } from './shape.js';

export class Suitability {
  /** The choice that the last `codeOf` or `admit` was for. */
  row = -1;
  readonly seen: Fits;
  readonly scorer: Scorer | undefined;
  private readonly real: Fits;
  private modelFits: Uint8Array;

  constructor(
    private readonly fleet: Fleet,
    policy: Policy,
    load: Load,
    kinds: Names,
  ) {
    const { occupancies, shapes } = fleet;
    this.seen = new Fits(occupancies, kinds, policy.chooser, policy.sight);
    this.real = policy.sight === 'counts' ? new Fits(occupancies, kinds, arbitrary, 'topology') : this.seen;
    this.scorer = policy.scorer?.(fleet, this.seen, load);
    this.modelFits = new Uint8Array(load.classes.length * shapes.length);
    for (const request of load.classes) this.learn(request);
  }

  /** A class that comes later; its id follows on. */
  learn({ id, models }: RequestClass): void {
    const { shapes } = this.fleet;
    const end = (id + 1) * shapes.length;
    if (end > this.modelFits.length) this.modelFits = widened(this.modelFits, 2 * end);
    for (const [shape, { model }] of shapes.entries())
      this.modelFits[id * shapes.length + shape] = models.length === 0 || models.includes(model) ? 1 : 0;
  }

  /** What decides which devices a class gets: the host, where the policy only counts and the class needs more. */
  fitsOf({ ask }: RequestClass): Fits {
    return ask.passthrough || ask.near !== 'any' ? this.real : this.seen;
  }

  /** A host's code for a request, by what the policy sees; `row` is the choice it is for. */
  codeOf(host: number, request: RequestClass): number {
    const { fleet, seen, scorer } = this;
    const reason = this.scalars(host, request);
    if (reason !== 0) return reason;
    let row = seen.of(request.ask, fleet.occupancy[host]!);
    if (row < 0) return -row;
    if (!scorer && request.pinned === 0) {
      this.row = row;
      return FITS;
    }
    let best = -1;
    let lacks = 0;
    for (; ; row++) {
      const short = request.pinned === 0 ? 0 : this.pinning(host, request, seen.numa[row]!);
      const score = short !== 0 || !scorer ? (short === 0 ? 0 : -1) : scorer.score(host, request, row);
      if (score > best) {
        best = score;
        this.row = row;
      }
      if (short !== 0) lacks ||= short;
      if (seen.isLast(row)) break;
    }
    return best < 0 ? lacks : FITS + best;
  }

  /** What the host itself says to the choice of the last `codeOf`: FITS, with its own choice in `row`, or a reason. */
  admit(host: number, request: RequestClass): number {
    if (this.fitsOf(request) === this.seen) return this.isTaken(host) ? REASON.group : FITS;
    let row = this.real.of(request.ask, this.fleet.occupancy[host]!);
    if (row < 0) return -row;
    for (; ; row++) {
      const short = request.pinned === 0 ? 0 : this.pinning(host, request, this.real.numa[row]!);
      if (short === 0) {
        this.row = row;
        return FITS;
      }
      if (this.real.isLast(row)) return short;
    }
  }

  /** A chosen device is in the group of somebody who passes it through: the host's own driver cannot have it. */
  private isTaken(host: number): boolean {
    const { seen, row } = this;
    const { cells, stride } = this.fleet.occupancies;
    const at = this.fleet.occupancy[host]! * stride;
    const end = seen.endOfPicks(row);
    for (let i = seen.firstPickOf(row); i < end; i++) if (cells[at + seen.pickSlot[i]!]! & TAKEN_GROUP) return true;
    return false;
  }

  /** 0, or why processors, memory or model do not suffice. */
  private scalars(host: number, { id, cpuMilli, memory, pinned, huge }: RequestClass): number {
    const { state, shapeOf, shapes, cpuLeft, memoryLeft } = this.fleet;
    if (state[host] !== UP) return REASON.down;
    if (this.modelFits[id * shapes.length + shapeOf[host]!] === 0) return REASON.model;
    if (cpuLeft[host]! < cpuMilli) return REASON.cpu;
    if (memoryLeft[host]! < memory + (huge ? 0 : pinned)) return REASON.memory;
    return 0;
  }

  /** 0, or why memory cannot be pinned on a NUMA node, or (-1) anywhere. A policy that only counts knows no nodes. */
  private pinning(host: number, { pinned, huge }: RequestClass, numa: number): number {
    const { fleet } = this;
    if (fleet.shape(host).memlock < pinned) return REASON.memlock;
    const left = huge ? fleet.hugeLeft : fleet.numaLeft;
    const row = host * fleet.numaNodes;
    let most = 0;
    if (numa >= 0) most = left[row + numa]!;
    else for (let node = 0; node < fleet.numaNodes; node++) most += left[row + node]!;
    return most >= pinned ? 0 : huge ? REASON.hugepages : REASON['pinned-memory'];
  }
}

/**
 * Places requests, one at a time.
 *
 * Words: a host's *code* for a class is in `score-tree.ts`. A class is *behind* by the hosts that changed since it was asked for
 * last; only these are scored again.
 * Rule: the same list, order and seed give the same placements.
 */
import type { Fits } from './fits.js';
import type { Fleet } from './fleet.js';
import { OUT, TAKEN_GROUP } from './occupancies.js';
import type { Load, Policy } from './policy.js';
import type { Random } from './random.js';
import type { RequestClass } from './request.js';
import { FITS, ScoreTree } from './score-tree.js';
import type { Names } from './shape.js';
import { Suitability } from './suitability.js';
import { UniformSet } from './uniform-set.js';

/** No host takes it. */
export const NOWHERE = -1;
/** A host was chosen that then refused, because the policy does not see what the host has to keep to. */
export const REFUSED = -2;

/** What is kept up for one class. */
interface Standing {
  readonly tree: ScoreTree | undefined;
  readonly set: UniformSet | undefined;
  readonly codes: Uint16Array;
  /** Hosts by shape and reason. */
  readonly tally: Int32Array;
  /** Changes that have been taken over. */
  seen: number;
}

export class Scheduler {
  /** Where the last `place` put it: the fits its row is in, and the row. */
  fits: Fits;
  row = -1;
  /** After REFUSED: by whom and why. */
  refusedBy = -1;
  reason = 0;
  /** Times that a host refused. */
  refusals = 0;
  /** MiB that the last placement took of each NUMA node: ordinary, then huge. */
  readonly memoryTaken: Int32Array;
  private readonly suitability: Suitability;
  private readonly standings: (Standing | undefined)[] = [];
  private readonly changed: Int32Array;
  private changes = 0;
  private readonly stamps: Int32Array;
  private stamp = 0;

  constructor(
    readonly fleet: Fleet,
    readonly policy: Policy,
    readonly load: Load,
    kinds: Names,
    private readonly random: Random,
  ) {
    const { count, numaNodes } = fleet;
    this.suitability = new Suitability(fleet, policy, load, kinds);
    this.fits = this.suitability.seen;
    this.changed = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(1024, count))));
    this.stamps = new Int32Array(count);
    this.memoryTaken = new Int32Array(2 * numaNodes);
  }

  /**
   * The host that it is on now, NOWHERE or REFUSED. `retries`: other hosts that are tried after one has refused; one that
   * did is not tried for the class again until it changes.
   */
  place(request: RequestClass, retries = 0): number {
    const standing = this.standing(request);
    const { suitability } = this;
    this.fits = this.fitsOf(request);
    for (let tries = 0; ; tries++) {
      const host = this.choose(request, standing);
      if (host < 0) return NOWHERE;
      const code = suitability.admit(host, request);
      this.row = suitability.row;
      if (code >= FITS) {
        this.take(host, request);
        return host;
      }
      this.refusals++;
      this.refusedBy = host;
      this.reason = code;
      if (tries === retries) return REFUSED;
      this.setCode(host, code, standing);
    }
  }

  /** A class that the load does not have; its id follows on. */
  learn(request: RequestClass): void {
    this.suitability.learn(request);
  }

  /** Places it on this host, wherever the policy would: FITS, or the reason why the host does not take it. */
  placeOn(host: number, request: RequestClass): number {
    const { suitability } = this;
    const seen = suitability.codeOf(host, request);
    const code = seen < FITS ? seen : suitability.admit(host, request);
    if (code < FITS) return code;
    this.fits = this.fitsOf(request);
    this.row = suitability.row;
    this.take(host, request);
    return FITS;
  }

  /** Hosts that do not take the class, by shape and reason (rows of FITS): as of its last `place`. */
  tally(request: RequestClass): Int32Array {
    return this.standing(request).tally;
  }

  /** What decides which devices a class gets: the host, where the policy only counts and the class needs more. */
  fitsOf(request: RequestClass): Fits {
    return this.suitability.fitsOf(request);
  }

  /** A code for every host (see `score-tree.ts`), as an external scheduler would ask for them. Valid until the next call. */
  codes(request: RequestClass): Uint16Array {
    return this.standing(request).codes;
  }

  /** Something about the host is different from now on. */
  touch(host: number): void {
    this.changed[this.changes++ & (this.changed.length - 1)] = host;
  }

  /** Gives back what a placement took. `memory` as `memoryTaken` was after it. */
  release(host: number, request: RequestClass, fits: Fits, row: number, memory: Int32Array): void {
    const { fleet } = this;
    const { occupancies, numaNodes } = fleet;
    const { slots } = fleet.shape(host);
    fleet.cpuLeft[host]! += request.cpuMilli;
    for (let node = 0; node < numaNodes; node++) {
      fleet.numaLeft[host * numaNodes + node]! += memory[node]!;
      fleet.memoryLeft[host]! += memory[node]!;
      fleet.hugeLeft[host * numaNodes + node]! += memory[numaNodes + node]!;
    }
    const cells = occupancies.edit(fleet.occupancy[host]!);
    const end = fits.endOfPicks(row);
    for (let i = fits.firstPickOf(row); i < end; i++) {
      const slot = fits.pickSlot[i]!;
      cells[slot]! += fits.pickUnits[i]!;
      if (!request.ask.passthrough) continue;
      for (const [other, { group }] of slots.entries()) if (group === slots[slot]!.group) cells[other]! &= ~TAKEN_GROUP;
    }
    fleet.occupancy[host] = occupancies.intern(fleet.shapeOf[host]!);
    this.suitability.scorer?.moved?.(host, request, -1);
    this.touch(host);
  }

  /** Puts a device out of service, or back. */
  setOut(host: number, slot: number, out: boolean): void {
    const { occupancies, occupancy, shapeOf } = this.fleet;
    const cells = occupancies.edit(occupancy[host]!);
    cells[slot] = out ? cells[slot]! | OUT : cells[slot]! & ~OUT;
    occupancy[host] = occupancies.intern(shapeOf[host]!);
    this.touch(host);
  }

  private take(host: number, request: RequestClass): void {
    const { fleet, memoryTaken: taken } = this;
    const { numaNodes } = fleet;
    const before = fleet.occupancy[host]!;
    const numa = this.fits.numa[this.row]!;
    taken.fill(0);
    fleet.cpuLeft[host]! -= request.cpuMilli;
    if (request.huge) fleet.takeMemory(fleet.hugeLeft, host, numa, request.pinned, taken, numaNodes);
    else fleet.takeMemory(fleet.numaLeft, host, numa, request.pinned, taken, 0);
    fleet.takeMemory(fleet.numaLeft, host, -1, request.memory, taken, 0);
    fleet.memoryLeft[host]! -= request.memory + (request.huge ? 0 : request.pinned);
    if (request.ask.items.length > 0)
      fleet.occupancy[host] = this.fits.after(this.row, before, request.ask.passthrough);
    this.suitability.scorer?.moved?.(host, request, 1);
    this.touch(host);
  }

  private choose(request: RequestClass, { tree, set }: Standing): number {
    if (tree) {
      const host = tree.best();
      if (host >= 0) this.suitability.codeOf(host, request);
      return host;
    }
    if (set!.size === 0) return -1;
    const host = set!.member(this.random.below(set!.size));
    this.suitability.codeOf(host, request);
    const { suitability } = this;
    let rows = 1;
    for (let row = suitability.row; !suitability.seen.isLast(row); row++) rows++;
    suitability.row += rows > 1 ? this.random.below(rows) : 0;
    return host;
  }

  private standing(request: RequestClass): Standing {
    let standing = this.standings[request.id];
    if (!standing) {
      const { count, shapes } = this.fleet;
      const tree = this.suitability.scorer && new ScoreTree(count);
      const codes = tree?.leaves ?? new Uint16Array(count);
      const tally = new Int32Array(shapes.length * FITS);
      standing = { tree, set: tree ? undefined : new UniformSet(count), codes, tally, seen: this.changes };
      this.standings[request.id] = standing;
      this.scoreAll(request, standing);
    } else if (this.changes - standing.seen > this.changed.length) this.scoreAll(request, standing);
    else this.catchUp(request, standing);
    standing.seen = this.changes;
    return standing;
  }

  private scoreAll(request: RequestClass, { tree, set, codes, tally }: Standing): void {
    const { fleet, suitability } = this;
    const { shapeOf, count } = fleet;
    /** Of each shape the host that was scored last: the next is often in the same state. */
    const last = new Int32Array(fleet.shapes.length).fill(-1);
    const shared = request.pinned === 0 && !suitability.scorer?.moved;
    tally.fill(0);
    for (let host = 0; host < count; host++) {
      const shape = shapeOf[host]!;
      const like = last[shape]!;
      const code = shared && like >= 0 && fleet.isLike(host, like) ? codes[like]! : suitability.codeOf(host, request);
      last[shape] = host;
      codes[host] = code;
      set?.set(host, code >= FITS);
      tally[shape * FITS + (code < FITS ? code : 0)]!++;
    }
    tree?.rebuild();
  }

  /** Newest first, each host once. */
  private catchUp(request: RequestClass, standing: Standing): void {
    const { stamps, changed } = this;
    const { codes, seen } = standing;
    const mask = changed.length - 1;
    const stamp = ++this.stamp;
    for (let change = this.changes - 1; change >= seen; change--) {
      const host = changed[change & mask]!;
      if (stamps[host] === stamp) continue;
      stamps[host] = stamp;
      const code = this.suitability.codeOf(host, request);
      if (code !== codes[host]) this.setCode(host, code, standing);
    }
  }

  private setCode(host: number, code: number, { tree, set, codes, tally }: Standing): void {
    const old = codes[host]!;
    const row = this.fleet.shapeOf[host]! * FITS;
    tally[row + (old < FITS ? old : 0)]!--;
    tally[row + (code < FITS ? code : 0)]!++;
    if (tree) return tree.set(host, code);
    codes[host] = code;
    set!.set(host, code >= FITS);
  }
}

/**
 * How much of a host's devices is still together, for policies that keep it so.
 *
 * Words: an occupancy's *wholeness* is the sum over the host's domains (groups, NUMA nodes, switches) of what is free there to the
 * power of `power`. With 1 it counts devices, so that what a placement strands is seen; with 2 four devices in one
 * domain are worth more than two in each of two.
 */
import type { Fits } from './fits.js';
import type { Fleet } from './fleet.js';
import { widened } from './occupancies.js';
import { MAX_SCORE, type Scorer } from './policy.js';
import type { Slot } from './shape.js';

/** What is left for the fuller of two hosts to win, where both lose as much. */
const FULLNESS = 100;

export interface Goal {
  readonly domain: 'group' | 'numa' | 'switch';
  readonly power: 1 | 2;
}

class Wholeness {
  private known = new Int32Array(1024);
  /** No occupancy has more. */
  readonly most: number;

  constructor(
    private readonly fleet: Fleet,
    private readonly goal: Goal,
  ) {
    this.most = Math.max(1, ...fleet.shapes.map((_, shape) => this.work(fleet.occupancies.fresh(shape))));
  }

  of(occupancy: number): number {
    const known = this.known[occupancy] ?? 0;
    if (known > 0) return known - 1;
    if (occupancy >= this.known.length) this.known = widened(this.known, this.fleet.occupancies.shapeOf.length);
    const worked = this.work(occupancy);
    this.known[occupancy] = worked + 1;
    return worked;
  }

  /** In thousandths of a device, since a part of one counts as that part. */
  private work(occupancy: number): number {
    const { occupancies, shapes } = this.fleet;
    const { slots } = shapes[occupancies.shapeOf[occupancy]!]!;
    const start = occupancy * occupancies.stride;
    const sums = new Map<number, number>();
    for (const [i, slot] of slots.entries()) {
      const domain = slot[this.goal.domain];
      sums.set(domain, (sums.get(domain) ?? 0) + freeOf(slot, occupancies.cells[start + i]!));
    }
    let sum = 0;
    for (const free of sums.values()) sum += free ** this.goal.power;
    return Math.round(1000 * sum);
  }
}

/** The part that may be had; a cell with a mark may not. */
const freeOf = ({ units }: Slot, cell: number): number => (cell > units ? 0 : cell / units);

/** Prefers what loses the least of each goal, an earlier one first; among equals the host that is fuller then. */
export function keepWhole(goals: readonly Goal[]): (fleet: Fleet, fits: Fits) => Scorer {
  return (fleet, fits) => {
    const { occupancy, cpuLeft, shapes, shapeOf } = fleet;
    const kept = goals.map((goal) => new Wholeness(fleet, goal));
    // Of two goals, half of the first is worth as much as all of the second.
    const steps = kept.map((each, i) => (MAX_SCORE - FULLNESS) / 2 ** (kept.length > 1 ? i + 1 : 0) / each.most);
    return {
      score(host, { ask, cpuMilli }, row) {
        const before = occupancy[host]!;
        const after = ask.items.length === 0 ? before : fits.after(row, before, ask.passthrough);
        let score = MAX_SCORE - FULLNESS;
        for (let i = 0; i < kept.length; i++) score -= steps[i]! * (kept[i]!.of(before) - kept[i]!.of(after));
        const free = (cpuLeft[host]! - cpuMilli) / (shapes[shapeOf[host]!]!.cpuMilli || 1);
        return Math.max(0, Math.trunc(score) + Math.trunc((1 - free) * FULLNESS));
      },
    };
  };
}

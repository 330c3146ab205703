/**
 * Whether an ask fits an occupancy, by which choices of devices, and what the occupancy is then: each worked out once.
 *
 * Words: a *row* is one choice; the rows of a fit follow one another, the last is marked. A *domain* is what `near` holds the
 * devices in.
 * Rule: an answer depends on nothing but occupancy and ask, so hosts in the same state share it.
 */
import type { Chooser, Free, Pick } from './choosers.js';
import { type Occupancies, OUT, TAKEN_GROUP, UNITS, widened } from './occupancies.js';
import { REASON } from './reasons.js';
import type { Ask, Item, Near } from './request.js';
import type { Names, Shape } from './shape.js';

const FIRST_ROOM = 1024;

/** `counts`: devices are numbers. `topology`: also groups, NUMA nodes, switches. */
export type Sight = 'counts' | 'topology';

export class Fits {
  /** First pick of a row. Its last is before that of the next row. */
  private firstPick = new Int32Array(FIRST_ROOM);
  private picks = 0;
  pickSlot = new Uint8Array(4 * FIRST_ROOM);
  pickUnits = new Uint16Array(4 * FIRST_ROOM);
  /** NUMA node of a row's devices; -1: of several, or none. */
  numa = new Int32Array(FIRST_ROOM);
  private last = new Uint8Array(FIRST_ROOM);
  private next = new Int32Array(FIRST_ROOM);
  private rows = 0;
  /** By ask and occupancy: 0 not known, a row + 1, or a reason below 0. */
  private readonly known: Int32Array[] = [];

  constructor(
    private readonly occupancies: Occupancies,
    private readonly kinds: Names,
    private readonly chooser: Chooser,
    private readonly sight: Sight,
  ) {}

  /** The first row, or a reason below 0. */
  of(ask: Ask, occupancy: number): number {
    const known = this.known[ask.id]?.[occupancy];
    if (known === undefined || known === 0) return this.work(ask, occupancy);
    return known > 0 ? known - 1 : known;
  }

  isLast(row: number): boolean {
    return this.last[row] === 1;
  }

  firstPickOf(row: number): number {
    return this.firstPick[row]!;
  }

  endOfPicks(row: number): number {
    return row + 1 < this.rows ? this.firstPick[row + 1]! : this.picks;
  }

  /** The occupancy after a row's devices are given away. `passthrough`: their groups are theirs then. */
  after(row: number, occupancy: number, passthrough: boolean): number {
    const known = this.next[row]!;
    if (known > 0) return known - 1;
    const shape = this.occupancies.shapeOf[occupancy]!;
    const { slots } = this.occupancies.shapes[shape]!;
    const cells = this.occupancies.edit(occupancy);
    const end = this.endOfPicks(row);
    for (let i = this.firstPick[row]!; i < end; i++) cells[this.pickSlot[i]!]! -= this.pickUnits[i]!;
    for (let i = this.firstPick[row]!; passthrough && i < end; i++) {
      const { group } = slots[this.pickSlot[i]!]!;
      for (const [slot, other] of slots.entries())
        if (other.group === group && cells[slot]! & UNITS && slot !== this.pickSlot[i]) cells[slot]! |= TAKEN_GROUP;
    }
    const after = this.occupancies.intern(shape);
    this.next[row] = after + 1;
    return after;
  }

  private work(ask: Ask, occupancy: number): number {
    const shape = this.occupancies.shapes[this.occupancies.shapeOf[occupancy]!]!;
    const state = new State(this.occupancies, occupancy, shape);
    const choices = this.choices(state, ask);
    const answer = choices.length === 0 ? -this.reason(state, ask) : this.rows;
    for (const [i, { numa, picks }] of choices.entries()) this.addRow(numa, picks, i === choices.length - 1);
    let known = this.known[ask.id];
    if (!known || occupancy >= known.length) {
      const room = Math.max(this.occupancies.shapeOf.length, FIRST_ROOM);
      known = known ? widened(known, room) : new Int32Array(room);
      this.known[ask.id] = known;
    }
    known[occupancy] = answer < 0 ? answer : answer + 1;
    return answer;
  }

  private choices(state: State, ask: Ask): { numa: number; picks: Pick[] }[] {
    const { items, near, passthrough, wholeGroup } = ask;
    if (this.sight === 'counts')
      return this.chooser(state.free('counts', false), items).map((picks) => ({ numa: -1, picks }));
    return state.domains(near).flatMap((domain) =>
      this.chooser(state.free('topology', passthrough, near, domain), items).map((picks) => ({
        numa: state.numaOf(near, picks),
        picks: wholeGroup ? state.wholeGroups(picks) : picks,
      })),
    );
  }

  /** Why there is no choice: the first rule that leaves none. */
  private reason(state: State, { items, near, passthrough }: Ask): number {
    const lacks = (free: Free): Item | undefined => items.find((item) => free.eligible(item).length < item.count);
    const counts = lacks(state.free('counts', false));
    if (counts) return this.kinds.names[counts.kind] === 'vf' ? REASON.vf : REASON.devices;
    if (near === 'any' || this.chooser(state.free('topology', passthrough), items).length === 0) return REASON.group;
    return REASON[near];
  }

  private addRow(numa: number, picks: readonly Pick[], last: boolean): void {
    if (this.rows === this.firstPick.length) {
      this.firstPick = widened(this.firstPick, 2 * this.rows);
      this.numa = widened(this.numa, 2 * this.rows);
      this.last = widened(this.last, 2 * this.rows);
      this.next = widened(this.next, 2 * this.rows);
    }
    while (this.picks + picks.length > this.pickSlot.length) {
      this.pickSlot = widened(this.pickSlot, 2 * this.pickSlot.length);
      this.pickUnits = widened(this.pickUnits, 2 * this.pickUnits.length);
    }
    this.firstPick[this.rows] = this.picks;
    this.numa[this.rows] = numa;
    this.last[this.rows++] = last ? 1 : 0;
    for (const { slot, units } of picks) {
      this.pickSlot[this.picks] = slot;
      this.pickUnits[this.picks++] = units;
    }
  }
}

/** One occupancy, as choosers look at it. */
class State {
  private readonly cells: Uint16Array;

  constructor(
    { cells, stride }: Occupancies,
    occupancy: number,
    private readonly shape: Shape,
  ) {
    this.cells = cells.slice(occupancy * stride, (occupancy + 1) * stride);
  }

  domains(near: Near): number[] {
    return near === 'any' ? [-1] : [...new Set(this.shape.slots.map((slot) => slot[near]))].filter((id) => id >= 0);
  }

  free(sight: Sight, passthrough: boolean, near: Near = 'any', domain = -1): Free {
    const { slots } = this.shape;
    const left = slots.map((slot, i) => {
      const cell = this.cells[i]!;
      if (cell & OUT) return 0;
      if (sight === 'counts') return cell & UNITS;
      if (cell & TAKEN_GROUP || (near !== 'any' && slot[near] !== domain)) return 0;
      return passthrough && !this.groupIsWhole(i) ? 0 : cell;
    });
    const eligible = ({ kind, units }: Item): number[] => {
      const found: number[] = [];
      for (const [i, slot] of slots.entries())
        if (slot.kind === kind && left[i]! > 0 && left[i]! >= (units || slot.units)) found.push(i);
      return found;
    };
    return { shape: this.shape, left, eligible };
  }

  /** Nobody has anything of the other devices of its group. */
  private groupIsWhole(slot: number): boolean {
    const { slots } = this.shape;
    return slots.every(
      ({ group, units }, i) =>
        i === slot || group !== slots[slot]!.group || this.cells[i]! & OUT || this.cells[i] === units,
    );
  }

  numaOf(near: Near, picks: readonly Pick[]): number {
    const first = picks[0];
    return near === 'any' || !first ? -1 : this.shape.slots[first.slot]!.numa;
  }

  wholeGroups(picks: readonly Pick[]): Pick[] {
    const { slots } = this.shape;
    const groups = new Set(picks.map(({ slot }) => slots[slot]!.group));
    const picked = new Set(picks.map(({ slot }) => slot));
    const more = slots.flatMap(({ group, units }, slot) =>
      groups.has(group) && !picked.has(slot) && !(this.cells[slot]! & OUT) ? [{ slot, units }] : [],
    );
    return [...picks, ...more];
  }
}

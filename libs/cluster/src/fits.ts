/**
 * Whether an ask fits an occupancy, by which choices of devices, and what the occupancy is then: each worked out once.
 *
 * Words: a *row* is one choice; the rows of a fit follow one another, the last is marked. A *domain* is what `near` holds the
 * devices in.
 * Rule: an answer depends on nothing but occupancy and ask, so hosts in the same state share it.
 */
import type { Chooser, Free, Pick } from './choosers.js';
import { DeviceView, type Sight } from './device-view.js';
import { type Occupancies, TAKEN_GROUP, UNITS, widened } from './occupancies.js';
import { REASON } from './reasons.js';
import type { Ask, Item } from './request.js';
import type { Names } from './shape.js';

const FIRST_ROOM = 1024;

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
  private readonly view: DeviceView;

  constructor(
    private readonly occupancies: Occupancies,
    private readonly kinds: Names,
    private readonly chooser: Chooser,
    private readonly sight: Sight,
  ) {
    this.view = new DeviceView(occupancies);
  }

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

  /** Slots that a row takes something of. */
  slotsOf(row: number): number[] {
    return [...this.pickSlot.subarray(this.firstPick[row]!, this.endOfPicks(row))];
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
    this.view.of(occupancy);
    const first = this.rows;
    if (this.sight === 'counts') this.addChoices(this.chooser(this.view.free('counts', false), ask.items), ask);
    else
      for (const domain of this.view.domains(ask))
        this.addChoices(this.chooser(this.view.free('topology', ask.passthrough, ask.near, domain), ask.items), ask);
    const answer = this.rows === first ? -this.reason(ask) : first;
    if (this.rows > first) this.last[this.rows - 1] = 1;
    let known = this.known[ask.id];
    if (!known || occupancy >= known.length) {
      const room = Math.max(this.occupancies.shapeOf.length, FIRST_ROOM);
      known = known ? widened(known, room) : new Int32Array(room);
      this.known[ask.id] = known;
    }
    known[occupancy] = answer < 0 ? answer : answer + 1;
    return answer;
  }

  private addChoices(choices: readonly Pick[][], { near, wholeGroup }: Ask): void {
    const aligned = this.sight === 'topology' && near !== 'any';
    for (const picks of choices) {
      const nodes = new Set(picks.map(({ slot }) => this.view.shape.slots[slot]!.numa));
      const [numa] = nodes;
      this.addRow(
        aligned && nodes.size === 1 ? numa! : -1,
        wholeGroup && this.sight === 'topology' ? this.view.wholeGroups(picks) : picks,
      );
    }
  }

  /** Why there is no choice: the first rule that leaves none. */
  private reason({ items, near, passthrough }: Ask): number {
    const lacks = (free: Free): Item | undefined => items.find((item) => free.eligible(item).length < item.count);
    const counts = lacks(this.view.free('counts', false));
    if (counts) return this.kinds.names[counts.kind] === 'vf' ? REASON.vf : REASON.devices;
    if (near === 'any' || this.chooser(this.view.free('topology', passthrough), items).length === 0)
      return REASON.group;
    return REASON[near];
  }

  private addRow(numa: number, picks: readonly Pick[]): void {
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
    this.rows++;
    for (const { slot, units } of picks) {
      this.pickSlot[this.picks] = slot;
      this.pickUnits[this.picks++] = units;
    }
  }
}

/**
 * Which devices of a host a request gets, where it could get several.
 *
 * Words: a *pick* is a slot and the units taken of it; a *choice* is all picks for one request.
 * Rule: a chooser sees only devices it may give (`Free`), in the order of their slots, and answers choices; none: not here.
 */
import type { Item } from './request.js';
import type { Shape } from './shape.js';

export interface Pick {
  readonly slot: number;
  readonly units: number;
}

/** What is free on a host, of one domain or of all. */
export interface Free {
  readonly shape: Shape;
  /** Units that may be taken; 0 where nothing may. */
  readonly left: ArrayLike<number>;
  /** Slots that would give this item. */
  eligible(item: Item): number[];
}

export type Chooser = (free: Free, items: readonly Item[]) => Pick[][];

const picksOf = (free: Free, item: Item, slots: readonly number[]): Pick[] =>
  slots.slice(0, item.count).map((slot) => ({ slot, units: item.units || free.shape.slots[slot]!.units }));

/** The tightest device for a share, the first free ones for whole devices. */
function tightestOf(free: Free, item: Item): Pick[] | undefined {
  const slots = free.eligible(item);
  if (slots.length < item.count) return undefined;
  if (item.units > 0) slots.sort((a, b) => free.left[a]! - free.left[b]! || a - b);
  return picksOf(free, item, slots);
}

/** The first item's choices, each with the tightest devices for the other items. */
function combined(free: Free, items: readonly Item[], first: Pick[][]): Pick[][] {
  if (items.length === 1) return first;
  const rest: Pick[] = [];
  for (const item of items.slice(1)) {
    const picks = tightestOf(free, item);
    if (!picks) return [];
    rest.push(...picks);
  }
  return first.map((picks) => [...picks, ...rest]);
}

export const tightest: Chooser = (free, items) => {
  if (items.length === 0) return [[]];
  const first = tightestOf(free, items[0]!);
  return first ? combined(free, items, [first]) : [];
};

/** Any device: as the kubelet's device manager gives them, whose order nobody can tell beforehand. */
export const arbitrary: Chooser = (free, items) => {
  let state = 0;
  for (let i = 0; i < free.left.length; i++) state = Math.imul(state ^ free.left[i]!, 0x9e3779b1);
  const key = (slot: number): number => Math.imul(state ^ (slot + 1), 0x85ebca6b) >>> 0;
  const picks: Pick[] = [];
  for (const item of items) {
    const slots = free.eligible(item);
    if (slots.length < item.count) return [];
    picks.push(
      ...picksOf(
        free,
        item,
        slots.sort((a, b) => key(a) - key(b)),
      ),
    );
  }
  return [picks];
};

const sharesOne = (item: Item | undefined): item is Item => item !== undefined && item.units > 0 && item.count === 1;

/** A share of one device: a choice for every device that has it. Whole devices: as `tightest`. */
export const every: Chooser = (free, items) => {
  const [item] = items;
  if (!sharesOne(item)) return tightest(free, items);
  const first = free.eligible(item).map((slot) => [{ slot, units: item.units }]);
  return combined(free, items, first);
};

/** As `every`, but of devices that have the same left only the first: what comes after is the same. */
export const eachKind: Chooser = (free, items) => {
  const [item] = items;
  if (!sharesOne(item)) return tightest(free, items);
  const first: Pick[][] = [];
  for (const slot of free.eligible(item))
    if (!first.some(([pick]) => free.left[pick!.slot] === free.left[slot])) first.push([{ slot, units: item.units }]);
  return combined(free, items, first);
};

/** A device that nobody can use any more costs more than any number broken out of what is still whole. */
const STRANDED = 1_000_000;

/** Whole devices so that the fewest are stranded in their groups, and from where least is free; shares as `tightest`. */
export const tidy: Chooser = (free, items) => {
  const taken = new Set<number>();
  const choice: Pick[] = [];
  for (const item of items) {
    const picks = item.units > 0 ? tightestOf(free, item) : leastStranding(free, item, taken);
    if (!picks) return [];
    for (const { slot } of picks) taken.add(slot);
    choice.push(...picks);
  }
  return [choice];
};

function leastStranding(free: Free, item: Item, taken: ReadonlySet<number>): Pick[] | undefined {
  const { slots } = free.shape;
  const eligible = free.eligible(item).filter((slot) => !taken.has(slot));
  if (eligible.length < item.count) return undefined;
  const near = (of: 'numa' | 'switch', slot: number): number =>
    eligible.filter((other) => slots[other]![of] === slots[slot]![of]).length;
  const byGroup = new Map<number, number[]>();
  for (const slot of eligible) byGroup.set(slots[slot]!.group, [...(byGroup.get(slots[slot]!.group) ?? []), slot]);
  const groups = [...byGroup.values()];
  const mates = groups.map((members) => {
    const { group } = slots[members[0]!]!;
    const all = slots.filter((each, slot) => each.group === group && free.left[slot]! > 0 && !taken.has(slot));
    const owned = slots.some((each, slot) => each.group === group && taken.has(slot));
    return owned ? 0 : all.length;
  });
  const cost = (group: number, count: number): number => {
    if (count === 0) return 0;
    const slot = groups[group]![0]!;
    const stranded = Math.max(0, mates[group]! - count);
    return stranded * STRANDED + count * (100 * near('numa', slot) + near('switch', slot));
  };
  const picked = cheapest(
    groups.map((members) => members.length),
    item.count,
    cost,
  );
  return picksOf(
    free,
    item,
    groups.flatMap((members, i) => members.slice(0, picked[i])),
  );
}

/** How many of each group, so that they come to `count` at the least cost. There are enough. */
function cheapest(sizes: readonly number[], count: number, cost: (group: number, count: number) => number): number[] {
  let best: { cost: number; picked: number[] }[] = [{ cost: 0, picked: [] }];
  for (const [group, size] of sizes.entries()) {
    const next: typeof best = [];
    for (const [so, { cost: paid, picked }] of best.entries()) {
      if (best[so] === undefined) continue;
      for (let more = 0; more <= Math.min(size, count - so); more++) {
        const sum = paid + cost(group, more);
        if (next[so + more] === undefined || sum < next[so + more]!.cost)
          next[so + more] = { cost: sum, picked: [...picked, more] };
      }
    }
    best = next;
  }
  return best[count]!.picked;
}

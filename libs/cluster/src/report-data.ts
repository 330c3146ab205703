/**
 * What a report draws: figures that are worked out when a run is over.
 *
 * Words: *fragmentation* is, of all GPUs, those that are free and of no use: for each kind of request, the free GPUs of hosts that do not take it, by
 * why they do not; averaged over the kinds of request by how often each comes.
 */
import { keepGroups } from './policies/keep-groups.js';
import { Random } from './random.js';
import { REASONS } from './reasons.js';
import type { RequestClass } from './request.js';
import { gpuCapacity, type Run, type RunInput } from './run.js';
import { Scheduler } from './scheduler.js';
import { FITS } from './score-tree.js';

/** Points of a curve, and kinds of request that fragmentation looks at: the most frequent ones. */
const POINTS = 200;
const MOST_CLASSES = 64;

const requestOf = ({ pods, arrivals }: RunInput, arrival: number): RequestClass =>
  pods.requests.classes[pods.classOf[arrivals.pods[arrival]!]!]!;

/** GPUs asked for so far and allocated, in percent of all; `hosts`: that of each arrival. */
export function allocationCurve(input: RunInput, hosts: Int32Array): [number, number][] {
  const capacity = gpuCapacity(input.hosts);
  if (capacity === 0) return [];
  const points: [number, number][] = [[0, 0]];
  const every = Math.max(1, Math.ceil(hosts.length / POINTS));
  let [asked, given] = [0, 0];
  for (const [arrival, host] of hosts.entries()) {
    const { gpus, gpuMilli } = requestOf(input, arrival);
    asked += gpus * gpuMilli;
    if (host >= 0) given += gpus * gpuMilli;
    if ((arrival + 1) % every === 0 || arrival === hosts.length - 1)
      points.push([(100 * asked) / capacity, (100 * given) / capacity]);
  }
  return points;
}

/** In percent of all GPUs, by reason; what is free and of use is `fits`. */
export function fragmentation(input: RunInput, { fleet }: Run): Record<string, number> {
  const counts = new Map<number, number>();
  for (let arrival = 0; arrival < input.arrivals.pods.length; arrival++) {
    const { id, gpus } = requestOf(input, arrival);
    if (gpus > 0) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  const frequent = [...counts].sort(([a, m], [b, n]) => n - m || a - b).slice(0, MOST_CLASSES);
  const weights = frequent.reduce((sum, [, count]) => sum + count, 0);
  const capacity = gpuCapacity(input.hosts);
  if (weights === 0 || capacity === 0) return {};
  const { classes } = input.pods.requests;
  // Whoever placed them: here hosts are looked at with all that they keep to.
  const load = { classes, counts: classes.map(({ id }) => counts.get(id) ?? 0) };
  const looking = new Scheduler(fleet, keepGroups, load, input.kinds, new Random(0));
  const sums = new Float64Array(REASONS.length);
  for (const [id, count] of frequent) {
    const codes = looking.codes(classes[id]!);
    for (let host = 0; host < fleet.count; host++) {
      const code = codes[host]!;
      sums[code < FITS ? code : 0]! += (count / weights) * fleet.occupancies.gpuLeft[fleet.occupancy[host]!]!;
    }
  }
  const found: Record<string, number> = {};
  for (const [reason, name] of REASONS.entries()) if (sums[reason]! > 0) found[name] = (100 * sums[reason]!) / capacity;
  return found;
}

/** The share of values, in percent, up to each of some: from the least to the largest. */
export function cumulative(values: readonly number[]): [number, number][] {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return [];
  return Array.from({ length: POINTS + 1 }, (_, i) => {
    const at = Math.max(1, Math.ceil((i / POINTS) * sorted.length));
    return [sorted[at - 1]!, (100 * at) / sorted.length];
  });
}

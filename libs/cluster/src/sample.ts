/**
 * A sample of a run's placements, with all that was on their hosts before, so that they can be carried out elsewhere.
 *
 * Rule: the run is repeated, which gives the same placements; so nothing has to be kept while a run goes on that nobody samples.
 */
import type { Policy } from './policy.js';
import { Random } from './random.js';
import type { RequestClass } from './request.js';
import { Run, type RunInput } from './run.js';
import type { Shape } from './shape.js';

export interface Pick {
  readonly slot: number;
  readonly units: number;
}

export interface PlacedPod {
  readonly pod: string;
  readonly request: RequestClass;
  readonly picks: readonly Pick[];
  /** It was drawn; else it is there because it was on the host before one that was. */
  readonly drawn: boolean;
}

export interface SampledHost {
  readonly host: string;
  readonly shape: Shape;
  /** In the order in which they came; the last was drawn. */
  readonly pods: readonly PlacedPod[];
}

/** Draws `count` of the placements that have devices, or all; `placed`: the host of each arrival of the same run. */
export function samplePlacements(
  input: RunInput,
  policy: Policy,
  placed: Int32Array,
  count: number,
): readonly SampledHost[] {
  const { pods, arrivals, seed } = input;
  const requestOf = (arrival: number): RequestClass => pods.requests.classes[pods.classOf[arrivals.pods[arrival]!]!]!;
  const candidates = [...placed.keys()].filter(
    (arrival) => placed[arrival]! >= 0 && requestOf(arrival).ask.items.length > 0,
  );
  const drawn = new Set(new Random(seed).shuffle(candidates).slice(0, count));
  /** The last one drawn of each host. */
  const until = new Map<number, number>();
  for (const arrival of drawn) until.set(placed[arrival]!, Math.max(arrival, until.get(placed[arrival]!) ?? 0));
  const last = Math.max(-1, ...until.values());
  const found = new Map<number, PlacedPod[]>([...until.keys()].sort((a, b) => a - b).map((host) => [host, []]));
  const again = new Run(input, policy);
  for (let arrival = 0; arrival <= last; arrival++) {
    const host = again.offer(arrival);
    if (arrival > (until.get(host) ?? -1)) continue;
    const request = requestOf(arrival);
    const made = { pod: arrivals.nameOf(arrival), request, picks: picksOf(again, request), drawn: drawn.has(arrival) };
    found.get(host)!.push(made);
  }
  return [...found].map(([host, list]) => ({
    host: again.fleet.nameOf(host),
    shape: again.fleet.shape(host),
    pods: list,
  }));
}

/** Of the placement that was made last. */
function picksOf({ scheduler: { fits, row } }: Run, { ask }: RequestClass): Pick[] {
  const picks: Pick[] = [];
  if (ask.items.length === 0) return picks;
  for (let i = fits.firstPickOf(row); i < fits.endOfPicks(row); i++)
    picks.push({ slot: fits.pickSlot[i]!, units: fits.pickUnits[i]! });
  return picks;
}

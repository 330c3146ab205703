/**
 * FGD, fragmentation gradient descent: the host, and of shares the GPU, where a placement makes the least more of what is left
 * useless for the pods that usually come ("Beware of Fragmentation", USENIX ATC 2023).
 *
 * Words: a *typical* pod is a class of the load with its share of all pods. What of a host's GPUs a typical pod could not use is
 * a *fragment*, in one of the paper's seven cases; a host's fragmentation is the mean over typical pods.
 * Rule: the sums are made case by case in the authors' order, since rounding decides ties.
 */
import { eachKind } from '../choosers.js';
import type { Fits } from '../fits.js';
import type { Fleet } from '../fleet.js';
import { NumberMap } from '../number-map.js';
import { UNITS } from '../occupancies.js';
import type { Load, Policy, Scorer } from '../policy.js';
import type { RequestClass } from '../request.js';
import { GPU, MILLI } from '../shape.js';
import { HIGHEST } from './literature.js';

/** Classes are typical, the most frequent first, until they are this share of the load. */
const POPULAR_PERCENT = 95;

interface Typical {
  readonly cpu: number;
  readonly milli: number;
  readonly gpus: number;
  readonly models: readonly string[];
  readonly share: number;
}

/** The case of a fragment: the index of its sum. USABLE is none; UNUSABLE_PART of its GPUs counts as LACKS_GPU. */
const [LACKS_BOTH, LACKS_GPU, USABLE, LACKS_CPU, FITS_CPU, WANTS_CPU, WRONG_MODEL] = [0, 1, 2, 3, 4, 5, 6];
const CASES = 7;
/** Keys of a `NumberMap`. */
const MOST_KEYS = 2 ** 31 - 1;

/** Requests that differ in memory only are the same here. */
export function typicalPods({ classes, counts }: Load): Typical[] {
  const merged = new Map<string, { request: RequestClass; count: number }>();
  for (const request of classes) {
    const { cpuMilli, gpus, gpuMilli, models } = request;
    const key = [cpuMilli, gpuMilli, gpus, models.join('|')].join();
    const known = merged.get(key);
    const count = counts[request.id]!;
    if (known) known.count += count;
    else if (count > 0) merged.set(key, { request, count });
  }
  const sorted = [...merged.values()].sort((a, b) => b.count - a.count || compare(b.request, a.request));
  const total = sorted.reduce((sum, { count }) => sum + count, 0);
  let taken = 0;
  let kept = 0;
  while (taken < (total * POPULAR_PERCENT) / 100 && kept < sorted.length) taken += sorted[kept++]!.count;
  const part = kept < sorted.length ? taken / total : 1;
  return sorted.slice(0, kept).map(({ request: { cpuMilli, gpus, gpuMilli, models }, count }) => ({
    cpu: cpuMilli,
    milli: gpuMilli,
    gpus,
    models,
    share: count / total / part,
  }));
}

const compare = (a: RequestClass, b: RequestClass): number =>
  a.cpuMilli - b.cpuMilli ||
  a.gpuMilli - b.gpuMilli ||
  a.gpus - b.gpus ||
  (a.models.join('|') < b.models.join('|') ? -1 : 1);

/** Between two neighbouring amounts of CPU that typical pods ask for, a host's fragmentation does not change. */
class CpuSteps {
  private readonly steps: Uint16Array;
  readonly count: number;

  constructor(typical: readonly Typical[], most: number) {
    const asked = [...new Set(typical.map(({ cpu }) => cpu))].sort((a, b) => a - b);
    this.count = asked.length + 1;
    this.steps = new Uint16Array(most + 1);
    for (let cpu = 0, step = 0; cpu <= most; cpu++) {
      while (step < asked.length && asked[step]! <= cpu) step++;
      this.steps[cpu] = step;
    }
  }

  of(cpu: number): number {
    return this.steps[cpu]!;
  }
}

export class Fragmentation {
  private readonly steps: CpuSteps;
  private readonly known = new NumberMap();
  private readonly sums = new Float64Array(CASES);
  private readonly typical: readonly Typical[];

  constructor(
    private readonly fleet: Fleet,
    load: Load,
  ) {
    this.typical = typicalPods(load);
    this.steps = new CpuSteps(this.typical, Math.max(...fleet.shapes.map(({ cpuMilli }) => cpuMilli)));
  }

  /** Thousandths of GPUs that are fragments on a host with these devices and so much CPU left. */
  of(occupancy: number, cpu: number): number {
    const key = occupancy * this.steps.count + this.steps.of(cpu);
    const known = key > MOST_KEYS ? Number.NaN : this.known.get(key);
    if (!Number.isNaN(known)) return known;
    const sum = this.work(occupancy, cpu);
    if (key <= MOST_KEYS) this.known.set(key, sum);
    return sum;
  }

  private work(occupancy: number, cpu: number): number {
    const { occupancies, shapes } = this.fleet;
    const { sums } = this;
    const { slots, model } = shapes[occupancies.shapeOf[occupancy]!]!;
    const left: number[] = [];
    for (const [i, { kind }] of slots.entries())
      if (kind === GPU) left.push(occupancies.cells[occupancy * occupancies.stride + i]! & UNITS);
    const all = left.reduce((sum, each) => sum + each, 0);
    sums.fill(0);
    for (const { cpu: asked, milli, gpus, models, share } of this.typical) {
      const enough = cpu >= asked;
      if (milli === 0) sums[enough ? FITS_CPU : WANTS_CPU]! += share * all;
      else if (models.length > 0 && !models.includes(model)) sums[WRONG_MODEL]! += share * all;
      else {
        let fitting = 0;
        let unusable = 0;
        for (const each of left)
          if (each >= milli) fitting++;
          else unusable += each;
        if (fitting >= gpus && fitting > 0) {
          if (enough) {
            sums[LACKS_GPU]! += share * unusable;
            sums[USABLE]! += share * (all - unusable);
          } else sums[LACKS_CPU]! += share * all;
        } else sums[enough ? LACKS_GPU : LACKS_BOTH]! += share * all;
      }
    }
    let sum = 0;
    for (let i = 0; i < CASES; i++) if (i !== USABLE) sum += sums[i]!;
    return sum;
  }
}

function scorer(fleet: Fleet, fits: Fits, load: Load): Scorer {
  const fragments = new Fragmentation(fleet, load);
  const { occupancy, cpuLeft, count } = fleet;
  /** Of hosts as they are, where it has been worked out: most are scored for many classes before they change. */
  const now = new Float64Array(count);
  const nowOf = new Int32Array(count).fill(-1);
  const cpuOf = new Int32Array(count);
  const current = (host: number): number => {
    if (nowOf[host] === occupancy[host] && cpuOf[host] === cpuLeft[host]) return now[host]!;
    nowOf[host] = occupancy[host]!;
    cpuOf[host] = cpuLeft[host]!;
    return (now[host] = fragments.of(occupancy[host]!, cpuLeft[host]!));
  };
  return {
    score(host, request, row) {
      const before = occupancy[host]!;
      const after = request.ask.items.length === 0 ? before : fits.after(row, before, request.ask.passthrough);
      const less = current(host) - fragments.of(after, cpuLeft[host]! - request.cpuMilli);
      return Math.trunc((1 / (1 + Math.exp(-less / MILLI))) * HIGHEST);
    },
  };
}

export const fgd: Policy = {
  name: 'fgd',
  about: 'the least new fragments for the pods that usually come',
  sight: 'counts',
  chooser: eachKind,
  scorer,
};

/**
 * Why pods are on no host: for each, how many hosts of each shape lack what.
 *
 * Rule: numbers are kept, and words made when somebody asks: most are never read.
 */
import type { Fleet } from './fleet.js';
import { LIMITS } from './limits.js';
import { widened } from './occupancies.js';
import { REASONS } from './reasons.js';
import { FITS } from './score-tree.js';

/** First number of a refusal, where a rejection has how many pairs follow. */
const REFUSAL = -1;
/** Where an arrival's numbers would begin. */
const NOT_KEPT = -1;

export class Reports {
  /** Where an arrival's numbers begin, + 1. */
  private readonly at: Int32Array;
  private numbers = new Int32Array(1024);
  private used = 0;

  constructor(
    private readonly fleet: Pick<Fleet, 'shapes' | 'nameOf'>,
    arrivals: number,
    private readonly most: number = LIMITS.reportNumbers,
  ) {
    this.at = new Int32Array(arrivals);
  }

  /** `tally`: hosts by shape and reason, rows of FITS. */
  rejections(arrival: number, tally: Int32Array): void {
    if (!this.room(arrival, 1 + 2 * tally.length)) return;
    this.at[arrival] = this.used + 1;
    const start = this.used++;
    for (let i = 0; i < tally.length; i++) {
      if (tally[i] === 0) continue;
      this.numbers[this.used++] = i;
      this.numbers[this.used++] = tally[i]!;
    }
    this.numbers[start] = (this.used - start - 1) / 2;
  }

  /** A host that was chosen would not take it. */
  refusal(arrival: number, host: number, reason: number): void {
    if (!this.room(arrival, 3)) return;
    this.at[arrival] = this.used + 1;
    this.numbers[this.used++] = REFUSAL;
    this.numbers[this.used++] = host;
    this.numbers[this.used++] = reason;
  }

  /** `G2 x8 96 CPUs: cpu 12 devices 537; ...`, `host-7 refused: numa`, or nothing where it was placed. */
  text(arrival: number): string {
    const at = this.at[arrival]! - 1;
    if (at === NOT_KEPT - 1) return 'too many to keep';
    if (at < 0) return '';
    const { numbers, fleet } = this;
    if (numbers[at] === REFUSAL) return `${fleet.nameOf(numbers[at + 1]!)} refused: ${REASONS[numbers[at + 2]!]}`;
    const byShape = new Map<number, string>();
    for (let pair = 0; pair < numbers[at]!; pair++) {
      const [code, count] = [numbers[at + 1 + 2 * pair]!, numbers[at + 2 + 2 * pair]!];
      const shape = Math.floor(code / FITS);
      byShape.set(shape, `${byShape.get(shape) ?? ''} ${REASONS[code % FITS]} ${count}`);
    }
    return [...byShape].map(([shape, text]) => `${fleet.shapes[shape]!.name}:${text}`).join('; ');
  }

  /** False: no more is kept. */
  private room(arrival: number, more: number): boolean {
    if (this.used + more > this.most) {
      this.at[arrival] = NOT_KEPT;
      return false;
    }
    while (this.used + more > this.numbers.length) this.numbers = widened(this.numbers, 2 * this.numbers.length);
    return true;
  }
}

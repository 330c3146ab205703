/**
 * A rule that acts: what it is about, and how often it was met.
 *
 * Rule: each service counts for itself, so that the counts of a rule are the same whether services share a process or not. Whoever
 * is refused or crashed into is so at a frame's first coming; what is done to frames is done to their repetitions too.
 */
import { isClient, serviceOf } from '../address.js';
import { REQUEST } from '../frame.js';
import { type Refusable, refusableAt } from './refusable.js';
import { ruleWords } from './rule-words.js';
import { type Acting, isServiceRule, type RuleStatus } from './rule.js';
import { isMeant, patternOf, type Side, type Sighting } from './sightings.js';

interface Tally {
  seen: number;
  fired: number;
}

export interface RuleState {
  readonly name: string;
  readonly raw: Acting['raw'];
  readonly since: number;
  readonly tallies: readonly (readonly [string, Tally])[];
}

export class ActiveRule {
  private readonly tallies = new Map<string, Tally>();
  private readonly fits: (side: Side, sighting: Sighting) => boolean;

  constructor(
    readonly rule: Acting,
    /** When it was given, ms. */
    readonly since: number,
    tallies: RuleState['tallies'] = [],
  ) {
    this.fits = fitsOf(rule);
    for (const [who, tally] of tallies) this.tallies.set(who, { ...tally });
  }

  get begins(): number {
    return this.since + this.rule.often.afterMs;
  }

  get ends(): number {
    return this.begins + this.rule.often.forMs;
  }

  /** Counts what it is about; true: it is its turn. */
  meets(side: Side, sighting: Sighting, now: number): boolean {
    if (now < this.begins || now >= this.ends || !this.fits(side, sighting)) return false;
    const { nth, every, times } = this.rule.often;
    const tally = this.tally(serviceOf(side === 'arriving' ? sighting.to : sighting.from));
    const past = ++tally.seen - nth;
    return past >= 0 && past % every === 0 && tally.fired < times;
  }

  /** It has done what it is for, at one of its occurrences. */
  acted(who: string): void {
    this.tally(who).fired++;
  }

  get hasActed(): boolean {
    return [...this.tallies.values()].some(({ fired }) => fired > 0);
  }

  private tally(who: string): Tally {
    let tally = this.tallies.get(who);
    if (!tally) this.tallies.set(who, (tally = { seen: 0, fired: 0 }));
    return tally;
  }

  status(held: number): RuleStatus {
    const all = [...this.tallies.values()];
    const sum = (of: keyof Tally): number => all.reduce((n, each) => n + each[of], 0);
    return { name: this.rule.name, words: ruleWords(this.rule), seen: sum('seen'), fired: sum('fired'), held };
  }

  state(): RuleState {
    const { rule, since, tallies } = this;
    return { name: rule.name, raw: rule.raw, since, tallies: [...tallies] };
  }
}

/** A frame is judged where it arrives; one to a client where it leaves, as clients are not ours. */
const judgedHere = (side: Side, { to }: Sighting): boolean => (side === 'leaving') === isClient(to);

/** How this request can be refused; undefined: it cannot. */
export const refusableOf = ({ to, header, frame }: Sighting): Refusable | undefined =>
  header.kind === REQUEST ? refusableAt(to, header.method, frame) : undefined;

function fitsOf(rule: Acting): (side: Side, sighting: Sighting) => boolean {
  if (rule.verb === 'partition') {
    const { one, other } = rule;
    return (side, sighting) => {
      const { from, to } = sighting;
      const between = (isMeant(one, from) && isMeant(other, to)) || (isMeant(one, to) && isMeant(other, from));
      return judgedHere(side, sighting) && between;
    };
  }
  if (isServiceRule(rule)) {
    if (!rule.at) return () => false;
    const where: Side = rule.at.kinds === 'requests' ? 'arriving' : 'leaving';
    const fits = patternOf(rule.at);
    return (side, sighting) => side === where && !sighting.repetition && fits(sighting);
  }
  const fits = patternOf(rule.pattern);
  if (rule.verb !== 'refuse') return (side, sighting) => judgedHere(side, sighting) && fits(sighting);
  return (side, sighting) =>
    side === 'arriving' && !sighting.repetition && fits(sighting) && refusableOf(sighting) !== undefined;
}

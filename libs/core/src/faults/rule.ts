/**
 * Rules of a fault plan: what shall go wrong, where, and how often.
 *
 * Words: a *verb* says what happens; its *object* is which frames it happens to, or which service or device. An *end* is who sends
 * or receives: a service, `device:BDF`, or a client. *Clauses* narrow a rule down. An *occurrence* is a frame that a rule is about.
 * Rule: a rule reads as a sentence, `{ delay: requests, to: iommu, by: 40ms, times: 20 }`, and is plain JSON wherever it goes.
 */
import type { Errno } from '@vfiolab/uapi';
import type { Address } from '../address.js';
import type { FaultParameter } from '../protocol/device-faults.js';

/** What happens to frames; to the way between two ends; to a service; to a device. */
export const FRAME_VERBS = ['drop', 'delay', 'repeat', 'hold', 'refuse'] as const;
export const SERVICE_VERBS = ['crash', 'pause', 'fill-disk'] as const;
export const VERBS = [...FRAME_VERBS, 'partition', ...SERVICE_VERBS, 'break'] as const;
export type FrameVerb = (typeof FRAME_VERBS)[number];
export type ServiceVerb = (typeof SERVICE_VERBS)[number];
export type Verb = (typeof VERBS)[number];

export const FRAME_KINDS = ['messages', 'requests', 'answers', 'events'] as const;
export type FrameKinds = (typeof FRAME_KINDS)[number];

/** A rule as people write it. */
export type RawRule = Readonly<Partial<Record<Verb | Clause | FaultParameter, string | number | boolean>>>;
export type Clause =
  'from' | 'to' | 'of' | 'by' | 'with' | 'at' | 'nth' | 'every' | 'times' | 'after' | 'for' | FaultParameter;
export type RawRules = Readonly<Record<string, RawRule>>;

/** Rules of one plan. */
export const MAX_RULES = 64;
/** Longest delay of a frame, absence of a service, or fault of its disk, ms. */
export const MAX_DELAY_MS = 60_000;
/** Longest time before a rule begins, and until it ends, ms. */
export const MAX_WINDOW_MS = 3_600_000;
export const MAX_TIMES = 1_000_000;
/** How long a service stays away, when the rule does not say, ms. */
export const DOWN_MS = 200;

/** What a frame must be. Left out: it may be any. */
export interface FramePattern {
  readonly kinds: FrameKinds;
  readonly from: Address | undefined;
  readonly to: Address | undefined;
  /** A method such as `pages.pin`, or an ioctl by its name. */
  readonly of: string | undefined;
}

/** When a rule acts: from the `nth` occurrence on at every `every`-th, `times` times, from `afterMs` on for `forMs`. */
export interface Often {
  readonly nth: number;
  readonly every: number;
  readonly times: number;
  readonly afterMs: number;
  readonly forMs: number;
}

interface Named {
  readonly name: string;
  readonly raw: RawRule;
  readonly often: Often;
}

export interface FrameRule extends Named {
  readonly verb: FrameVerb;
  readonly pattern: FramePattern;
  /** Of `delay`; of `repeat` the time between the two. */
  readonly byMs: number;
  /** Of `refuse`. */
  readonly errno: Errno | undefined;
}

export interface PartitionRule extends Named {
  readonly verb: 'partition';
  readonly one: Address;
  /** Undefined: everybody. */
  readonly other: Address | undefined;
}

export interface ServiceRule extends Named {
  readonly verb: ServiceVerb;
  /** A service, all `device`s or one. */
  readonly target: Address;
  /** The frame at which it happens: a request that comes in, or an answer that leaves; undefined: when the rule's time has come. */
  readonly at: FramePattern | undefined;
  readonly troubleMs: number;
}

export interface BreakRule extends Named {
  readonly verb: 'break';
  readonly device: string;
}

export type FaultRule = FrameRule | PartitionRule | ServiceRule | BreakRule;
export type Acting = Exclude<FaultRule, BreakRule>;

export const isServiceRule = (rule: FaultRule): rule is ServiceRule => SERVICE_VERBS.some((verb) => verb === rule.verb);

/** What became of a rule. */
export interface RuleStatus {
  readonly name: string;
  readonly words: string;
  /** Occurrences so far, and how often something was done to one. */
  readonly seen: number;
  readonly fired: number;
  /** Frames that wait. */
  readonly held: number;
}

/** The same rule in several places: what they did together. */
export function mergeStatus(all: readonly (readonly RuleStatus[])[]): RuleStatus[] {
  const merged = new Map<string, RuleStatus>();
  for (const each of all.flat()) {
    const known = merged.get(each.name) ?? { ...each, seen: 0, fired: 0, held: 0 };
    const { seen, fired, held } = each;
    merged.set(each.name, { ...known, seen: known.seen + seen, fired: known.fired + fired, held: known.held + held });
  }
  return [...merged.values()];
}

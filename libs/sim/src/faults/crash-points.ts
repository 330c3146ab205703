/**
 * Where a service can be made to crash: at every record that it writes, and at every frame that it sends or takes.
 *
 * Words: a *point* is a moment at one of these; the *n-th* one is counted from the first that the service came to, across its
 * instances.
 * Rule: a record that was written in part is not there after the crash, and one that was written is.
 */
import { type Address, ByteReader } from '@vfiolab/core';
import { hashText, mix } from '../dice.js';
import { frameKey, frameName, kindAndId, Occurrences } from './frame-identity.js';
import type { Faults } from './faults.js';

export const CRASH_POINTS = [
  'before writing',
  'while writing',
  'after writing',
  'before sending',
  'after sending',
  'taking',
] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

/** A crash that somebody has planned: at the n-th such point of the service, counted from 1. */
export interface PlannedCrash {
  readonly address: Address;
  readonly point: CrashPoint;
  readonly nth: number;
  readonly downMs: number;
}

/** Unwinds whatever the service was doing. */
export class Crashed extends Error {}
export const CRASHED = new Crashed('crashed');

const SALT = 10;
const DOWN = 20;

/** What one service comes to. */
export class CrashPoints {
  /** How often the service came to each point. */
  readonly passed: Record<CrashPoint, number> = {
    'before writing': 0,
    'while writing': 0,
    'after writing': 0,
    'before sending': 0,
    'after sending': 0,
    taking: 0,
  };
  plan: PlannedCrash | undefined;
  private readonly occurrences = new Occurrences();
  private readonly hash: number;

  constructor(
    private readonly address: Address,
    private readonly faults: Faults,
    private readonly options: { readonly crash: number; readonly downMs: number },
    /** There have not been too many crashes. */
    private readonly allowed: () => boolean,
  ) {
    this.hash = hashText(address);
  }

  /** A record is written: ms for which the service is down, or undefined when it does not crash here. */
  writing(point: CrashPoint, body: Uint8Array): number | undefined {
    const planned = this.pass(point);
    if (planned !== undefined || !this.mayCrash) return planned;
    const r = new ByteReader(body);
    r.num();
    r.u32();
    return this.decide(point, r.str(), this.address, r.bytes());
  }

  /** A frame is sent or taken. */
  carrying(point: CrashPoint, from: Address, to: Address, frame: Uint8Array): number | undefined {
    const planned = this.pass(point);
    return planned !== undefined || !this.mayCrash ? planned : this.decide(point, from, to, frame);
  }

  private get mayCrash(): boolean {
    return this.options.crash > 0 && !this.faults.over && this.allowed();
  }

  private pass(point: CrashPoint): number | undefined {
    const n = ++this.passed[point];
    const { plan } = this;
    if (plan?.point !== point || plan.nth !== n) return undefined;
    this.plan = undefined;
    return plan.downMs;
  }

  private decide(point: CrashPoint, from: Address, to: Address, frame: Uint8Array): number | undefined {
    const salt = SALT + CRASH_POINTS.indexOf(point);
    const what = kindAndId(frame);
    const same = mix(hashText(from), hashText(to));
    const occurrence = this.occurrences.next(frameKey(same, what, salt));
    const key = frameKey(mix(this.hash, same), what, occurrence);
    const name = (): string => `crash ${this.address} ${point} ${frameName(from, to, what, occurrence)}`;
    if (!this.faults.chance(this.options.crash, salt, key, name)) return undefined;
    return 1 + this.faults.dice.unitOf(DOWN, key) * this.options.downMs;
  }
}

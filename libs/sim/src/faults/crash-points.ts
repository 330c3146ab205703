/**
 * Where a service can be made to crash: at every record that it writes, and at every frame that it sends or takes.
 *
 * Words: a *point* is a moment at one of these; the *n-th* one is counted from the first that the service came to, across its
 * instances.
 * Rule: a record that was written in part is not there after the crash, and one that was written is.
 */
import { type Address, ByteReader } from '@vfiolab/core';
import { hashText, mix } from '../dice.js';
import { frameKey, frameName, kindAndId } from './frame-identity.js';
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
const MOST_HASHES = 256;

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
  /** Where it has crashed: the same frame does not crash it there again. */
  private readonly done = new Set<number>();
  /** Hashes of the addresses that it speaks with. */
  private readonly hashes = new Map<Address, number>();
  /** The first input of the record that is being written. */
  private first: { readonly body: Uint8Array; readonly from: Address; readonly frame: Uint8Array } | undefined;
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
    if (this.first?.body !== body) this.first = { body, ...firstInput(body) };
    return this.decide(point, this.first.from, this.address, this.first.frame);
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
    const link = mix(this.hash, from === this.address ? this.hashOf(to) : -this.hashOf(from));
    const key = frameKey(link, what, salt);
    const name = (): string => `crash ${this.address} ${point} ${frameName(from, to, what, 0)}`;
    if (this.done.has(key) || !this.faults.chance(this.options.crash, salt, key, name)) return undefined;
    this.done.add(key);
    return 1 + this.faults.dice.unitOf(DOWN, key) * this.options.downMs;
  }

  private hashOf(address: Address): number {
    let hash = this.hashes.get(address);
    if (hash !== undefined) return hash;
    hash = hashText(address);
    if (this.hashes.size >= MOST_HASHES) this.hashes.clear();
    this.hashes.set(address, hash);
    return hash;
  }
}

function firstInput(body: Uint8Array): { from: Address; frame: Uint8Array } {
  const r = new ByteReader(body);
  r.num();
  r.u32();
  return { from: r.str(), frame: r.bytes() };
}

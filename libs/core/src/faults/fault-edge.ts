/**
 * The edge between actors and their bus, where a fault plan acts.
 *
 * Words: frames *arrive* at an actor and *leave* it. A frame that *waits* is delayed or held here; it goes on when its time has come,
 * its rule ends, or somebody lets it go. A *trouble* is a service that is paused or whose disk is full.
 * Rule: a frame may be lost, late or doubled here, never changed. A request that was refused is never carried out, however often it
 * comes. When its rules are gone, nothing of a plan is left but what it did.
 */
import { type Address, serviceOf } from '../address.js';
import { WireError } from '../bytes.js';
import { REQUEST } from '../frame.js';
import { ActiveRule, refusableOf, type RuleState } from './active-rule.js';
import { type RuleProblem, readRules, ruleProblemText } from './read-rule.js';
import type { Authority } from './refusable.js';
import { type FaultRule, isServiceRule, MAX_RULES, type RawRules, type RuleStatus, type ServiceRule } from './rule.js';
import { type Refused, Refusals } from './refusals.js';
import { type Side, type Sighting, Sightings } from './sightings.js';

/** Frames that wait at an edge; more are dropped and come again. */
export const MAX_WAITING = 4096;
/** Their bytes. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** An answer to an operator has left its process after so long, ms. */
const ANSWER_MS = 10;

export interface EdgePorts {
  /** ms; goes on across restarts when the edge's state does. */
  now(): number;
  after(ms: number, run: () => void): void;
  /** Hands an arrived frame to its actor. */
  deliver(from: Address, to: Address, frame: Uint8Array): void;
  /** Sends a frame that has left its actor. */
  carry(from: Address, to: Address, frame: Uint8Array): void;
  /** Has the actor taken this request up before? */
  knows(actor: Address, from: Address, id: number): boolean;
  /** Undefined: the actor does not answer anybody now. */
  authority(actor: Address): Authority | undefined;
  /** Do actors of this service, or this device, run behind the edge? */
  serves(target: Address): boolean;
  /** Kills them without warning; they come back after `downMs`. Undefined: they would come back empty. */
  readonly crash: ((target: Address, downMs: number) => void) | undefined;
  trouble(what: Trouble, target: Address, on: boolean): void;
  /** The state is another, so that a restart should know it. */
  changed(): void;
}

export type Trouble = 'pause' | 'fill-disk';

interface Waiting {
  readonly side: Side;
  readonly from: Address;
  readonly to: Address;
  readonly frame: Uint8Array;
  readonly rule: ActiveRule;
}

export interface EdgeState {
  readonly rules: readonly RuleState[];
  readonly refused: readonly Refused[];
  readonly known: readonly string[];
}

export class FaultEdge {
  /** False: every frame passes, and need not be shown. */
  active = false;
  private readonly rules = new Map<string, ActiveRule>();
  private readonly waiting = new Set<Waiting>();
  private waitingBytes = 0;
  private readonly troubles = new Set<{ readonly rule: ActiveRule; readonly end: () => void }>();
  private readonly sightings = new Sightings();
  private readonly refusals = new Refusals();

  constructor(private readonly ports: EdgePorts) {}

  /**
   * Begins these rules, in place of those with the same names; all or none. Answers what is wrong with them. A rule that there is
   * already, to the letter, goes on: the request may have been repeated.
   */
  add(raw: RawRules): RuleProblem[] {
    const others = [...this.rules.keys()].filter((name) => !Object.hasOwn(raw, name));
    const { rules, problems } = readRules(raw, others.length);
    for (const { verb, name } of rules)
      if (verb === 'crash' && !this.ports.crash)
        problems.push(wrong(name, verb, 'no journal is kept: who is killed would come back empty', 'Keep journals.'));
      else if (verb === 'break')
        problems.push(wrong(name, verb, 'this is no fault of the bus', 'Ask the lab service.'));
    if (problems.length > 0) return problems;
    const now = this.ports.now();
    for (const rule of rules) {
      if (rule.verb === 'break' || this.has(rule)) continue;
      this.clear([rule.name]);
      this.begin(new ActiveRule(rule, now));
    }
    this.ports.changed();
    return [];
  }

  private has({ name, raw }: FaultRule): boolean {
    const known = this.rules.get(name);
    return known !== undefined && JSON.stringify(known.rule.raw) === JSON.stringify(raw);
  }

  private begin(active: ActiveRule): void {
    const { rule } = active;
    const { ports } = this;
    this.rules.set(rule.name, active);
    this.active = true;
    if (isServiceRule(rule) && !rule.at && ports.serves(rule.target) && !active.hasActed) this.strikeIn(active, rule);
    if (rule.verb === 'hold' && active.ends < Infinity)
      ports.after(Math.max(0, active.ends - ports.now()), () => this.letGo(active));
  }

  /** A trouble whose time has come begins at once; nobody is killed before whoever asked for it has an answer. */
  private strikeIn(active: ActiveRule, rule: ServiceRule): void {
    const ms = active.begins - this.ports.now();
    if (ms <= 0 && rule.verb !== 'crash') return this.strike(active, rule);
    this.ports.after(rule.verb === 'crash' ? Math.max(ANSWER_MS, ms) : ms, () => {
      if (this.rules.get(rule.name) === active) this.strike(active, rule);
    });
  }

  /** Ends rules; all when none are named. What waits for them goes on, and their troubles end. */
  clear(names: readonly string[] = [...this.rules.keys()]): void {
    for (const name of names) {
      const active = this.rules.get(name);
      if (!active) continue;
      this.rules.delete(name);
      for (const trouble of this.troubles) if (trouble.rule === active) trouble.end();
      this.letGo(active);
    }
    this.settle();
    this.ports.changed();
  }

  /** Lets go of what waits; the rules stay. */
  release(names: readonly string[] = [...this.rules.keys()]): void {
    for (const name of names) if (this.rules.has(name)) this.letGo(this.rules.get(name)!);
  }

  private letGo(rule: ActiveRule): void {
    for (const each of [...this.waiting]) if (each.rule === rule) this.goOn(each);
  }

  private settle(): void {
    this.active = this.rules.size > 0 || this.refusals.size > 0;
  }

  status(): RuleStatus[] {
    const held = (of: ActiveRule): number => [...this.waiting].filter(({ rule }) => rule === of).length;
    return [...this.rules.values()].map((active) => active.status(held(active)));
  }

  /** Shows a frame that arrives. True: it may go on now. */
  arrives(from: Address, to: Address, frame: Uint8Array): boolean {
    return !this.active || this.judge('arriving', from, to, frame);
  }

  /** The same for a frame that leaves. */
  leaves(from: Address, to: Address, frame: Uint8Array): boolean {
    return !this.active || this.judge('leaving', from, to, frame);
  }

  private judge(side: Side, from: Address, to: Address, frame: Uint8Array): boolean {
    const sighting = this.see(side, from, to, frame);
    if (!sighting) return true;
    if (side === 'arriving' && this.refusedBefore(sighting)) return false;
    // Every rule counts what it is about, whatever others do; the first whose turn it is acts.
    const now = this.ports.now();
    const due = [...this.rules.values()].filter((active) => active.meets(side, sighting, now));
    const acting = due.find((active) => this.can(active, sighting));
    if (!acting) return true;
    acting.acted(serviceOf(side === 'arriving' ? to : from));
    return this.act(acting, side, sighting);
  }

  /** Undefined: whatever it is, its receiver will say so. */
  private see(side: Side, from: Address, to: Address, frame: Uint8Array): Sighting | undefined {
    try {
      const heard = side === 'leaving' || this.ports.authority(to) !== undefined;
      return this.sightings.see(side, from, to, frame, heard);
    } catch (e) {
      if (e instanceof WireError) return undefined;
      throw e;
    }
  }

  private refusedBefore({ from, to, header }: Sighting): boolean {
    if (header.kind !== REQUEST || this.refusals.size === 0) return false;
    this.refusals.forgetBelow(from, to, header.floor);
    const again = this.refusals.again(from, to, header.id);
    const by = again && this.ports.authority(to);
    if (by) this.ports.carry(to, from, again(by));
    this.settle();
    return again !== undefined;
  }

  /** Only what its service has never seen is refused, and only while it could have answered itself. */
  private can({ rule: { verb } }: ActiveRule, { from, to, header }: Sighting): boolean {
    if (verb !== 'refuse') return true;
    const { ports } = this;
    return !this.refusals.full && ports.authority(to) !== undefined && !ports.knows(to, from, header.id);
  }

  private act(active: ActiveRule, side: Side, sighting: Sighting): boolean {
    const { rule } = active;
    const { from, to, frame } = sighting;
    switch (rule.verb) {
      case 'drop':
      case 'partition':
        return false;
      case 'delay':
      case 'hold':
        this.wait({ side, from, to, frame, rule: active }, rule.verb === 'delay' ? rule.byMs : undefined);
        return false;
      case 'repeat':
        this.wait({ side, from, to, frame, rule: active }, rule.byMs);
        return true;
      case 'refuse':
        this.refusals.add({
          from,
          to,
          id: sighting.header.id,
          method: refusableOf(sighting)!.method.name,
          errno: rule.errno!,
        });
        this.ports.changed();
        this.refusedBefore(sighting);
        return false;
      default:
        this.strike(active, rule, false);
        // Who was killed has not heard it, or not said it.
        return rule.verb !== 'crash';
    }
  }

  /** `count`: it has not been counted yet. */
  private strike(active: ActiveRule, { verb, target, troubleMs }: ServiceRule, count = true): void {
    const { ports } = this;
    if (count) active.acted(serviceOf(target));
    ports.changed();
    if (verb === 'crash') return ports.crash!(target, troubleMs);
    const trouble = {
      rule: active,
      end: (): void => {
        if (this.troubles.delete(trouble)) ports.trouble(verb, target, false);
      },
    };
    this.troubles.add(trouble);
    ports.trouble(verb, target, true);
    ports.after(troubleMs, trouble.end);
  }

  private wait(each: Waiting, ms: number | undefined): void {
    if (this.waiting.size >= MAX_WAITING || this.waitingBytes + each.frame.length > MAX_WAITING_BYTES) return;
    this.waiting.add(each);
    this.waitingBytes += each.frame.length;
    if (ms !== undefined) this.ports.after(ms, () => this.goOn(each));
  }

  private goOn(each: Waiting): void {
    if (!this.waiting.delete(each)) return;
    const { side, from, to, frame } = each;
    this.waitingBytes -= frame.length;
    if (side === 'leaving') return this.ports.carry(from, to, frame);
    // A repetition may have been refused while this one waited.
    const sighting = this.see(side, from, to, frame)!;
    if (!this.refusedBefore(sighting)) this.ports.deliver(from, to, frame);
  }

  /** What a restart must know. Frames that wait are lost by it, as frames may be. */
  state(): EdgeState {
    const rules = [...this.rules.values()].map((active) => active.state());
    return { rules, refused: this.refusals.state(), known: this.active ? this.sightings.state() : [] };
  }

  /** Goes on as `state` was. Throws when it is none of ours. */
  restore({ rules, refused, known }: EdgeState): void {
    this.sightings.restore(known);
    this.refusals.restore(refused);
    for (const { name, raw, since, tallies } of rules.slice(0, MAX_RULES)) {
      const read = readRules({ [name]: raw });
      if (read.problems.length > 0) throw new Error(read.problems.map(ruleProblemText).join('\n'));
      for (const rule of read.rules) if (rule.verb !== 'break') this.begin(new ActiveRule(rule, since, tallies));
    }
    this.settle();
  }
}

const wrong = (rule: string, key: string, what: string, hint: string): RuleProblem => ({ rule, key, what, hint });

/**
 * Invariants while a swarm runs.
 *
 * Words: a service is *quiet* when no operation is in flight at it, the host when none is anywhere.
 * Rule: what is cheap is looked at with every frame (I53, I54, I55, and what only messages show); the invariants of a service, and
 * whether what devices reach is pinned (I02), after some of its turns; and whether all services agree at some of the quiet
 * moments. How often is a number that a run may set to 1.
 */
import { type Actor, type Address, EVENT, IOMMU, PAGES, REPLY, REQUEST } from '@vfiolab/core';
import { kindAndId } from '../faults/frame-identity.js';
import { lostByRestart } from '../hunt/restart.js';
import { Watch } from '../hunt/vfio/watch.js';
import { hashBytes } from '../sim-journal.js';
import type { SimHost } from '../sim-host.js';

export interface MonitorOptions {
  /** What services ask each other is looked at, too; what that takes grows with the run. */
  readonly messages: boolean;
  /** A service is checked after one in so many of its turns. */
  readonly turnsPerCheck: number;
  /** Services are compared at one in so many quiet moments. */
  readonly quietPerCheck: number;
}

/** Of a header, what a repeated answer may say anew: epoch, clock and what has been heard. */
const [METHOD_AT, PAYLOAD_AT] = [2, 48];
/** Answers whose repetition is compared, by link; older ones are forgotten. */
const REMEMBERED = 256;
const MOST = 20;

export class Monitor {
  readonly findings: string[] = [];
  checks = 0;
  private turns = 0;
  private moves = 0;
  private quiet = 0;
  private readonly answers = new Map<Address, Map<Address, Map<number, number>>>();
  private readonly epochs = new Map<Address, number>();

  constructor(
    private readonly host: SimHost,
    private readonly options: MonitorOptions,
  ) {
    if (options.messages) Watch.on(host, (what) => this.find(what));
    host.onTurn = (address) => this.afterTurn(address);
    host.onSaid = (from, to, frame) => this.said(from, to, frame);
  }

  /** A client has ended. */
  forget(client: Address): void {
    for (const links of this.answers.values()) links.delete(client);
  }

  find(what: string): void {
    if (this.findings.length < MOST && !this.findings.includes(what))
      this.findings.push(`${what} (at ${this.host.agenda.now.toFixed(2)} ms)`);
  }

  private said(from: Actor, to: Address, frame: Uint8Array): void {
    const { address } = from;
    const { seq } = this.host.journal(address).head();
    if (seq < from.seq) this.find(`I53: ${address} speaks at record ${from.seq}, its journal ends at ${seq}`);
    const kind = frame[0];
    if (kind === REPLY) this.answered(address, to, frame);
    if (kind !== REQUEST && kind !== EVENT) return;
    const epoch = (frame[4]! | (frame[5]! << 8) | (frame[6]! << 16) | (frame[7]! << 24)) >>> 0;
    if (epoch < (this.epochs.get(address) ?? 0))
      this.find(`I55: ${address} speaks under epoch ${epoch} after a newer one`);
    else this.epochs.set(address, epoch);
  }

  /** I54: a request has one answer, however often it is given. A refusal is no answer. */
  private answered(from: Address, to: Address, frame: Uint8Array): void {
    if (frame[METHOD_AT] !== 0) return;
    let links = this.answers.get(from);
    if (!links) this.answers.set(from, (links = new Map()));
    let known = links.get(to);
    if (!known) links.set(to, (known = new Map()));
    const what = kindAndId(frame);
    const hash = hashBytes(frame.subarray(PAYLOAD_AT), 1);
    const before = known.get(what);
    if (before !== undefined && before !== hash)
      this.find(`I54: ${from}>${to} answers request ${Math.floor(what / 4)} twice, differently`);
    known.set(what, hash);
    if (known.size > REMEMBERED) links.set(to, new Map([...known].slice(REMEMBERED / 2)));
  }

  private afterTurn(address: Address): void {
    const machine = this.host.actor(address)?.machine;
    if (!machine) return;
    if (address === PAGES || address === IOMMU) this.looksAtPins();
    if (!machine.idle) return;
    if (++this.turns % this.options.turnsPerCheck === 0) {
      this.checks++;
      for (const each of machine.core.check()) this.find(`${each} (${address})`);
    }
    if (this.host.idle && ++this.quiet % this.options.quietPerCheck === 0) this.compare();
  }

  /** Between the pages service and the IOMMU nothing may be out of order at any moment. */
  private looksAtPins(): void {
    if (++this.moves % this.options.turnsPerCheck !== 0) return;
    for (const each of this.host.unpinned()) this.find(each);
  }

  private compare(): void {
    this.checks++;
    for (const each of this.host.disagreements()) this.find(each);
  }

  /** Nothing is left of anybody, and a restart would lose nothing. */
  judgeRest(): void {
    const { host } = this;
    for (const each of [...host.failures, ...host.broken(), ...host.disagreements()]) this.find(`${each} (at rest)`);
    for (const address of host.addresses()) {
      const core = host.actor(address)?.machine.core;
      if (!core) continue;
      for (const lost of lostByRestart(address, core)) this.find(`I53: ${lost}`);
      const left = Object.entries(core.figures()).filter(([, n]) => n !== 0);
      if (left.length > 0)
        this.find(`I27: at rest ${address} still has ${left.map(([what, n]) => `${n} ${what}`).join(', ')}`);
    }
  }
}

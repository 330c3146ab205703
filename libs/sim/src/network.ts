/**
 * The simulated network between the actors and clients of one host.
 *
 * Words: a *link* is one way from a sender to a receiver. A *cut* link loses what is sent, a *clogged* one holds it until it
 * lets go.
 * Rule: a frame may be lost, doubled, or held back past later ones; it is never changed.
 */
import { type Address, serviceOf } from '@vfiolab/core';
import type { Agenda } from './agenda.js';
import { hashText } from './dice.js';
import { frameKey, frameName, kindAndId, Occurrences } from './faults/frame-identity.js';
import type { Faults } from './faults/faults.js';
import type { SimOptions } from './options.js';

/** One way through the network without trouble, ms. */
const HOP_MS = 0.05;
/** What is decided about a frame. */
const [LOSE, DOUBLE, DELAY, DELAY_BY, DELAY_AGAIN, DELAY_AGAIN_BY] = [1, 2, 3, 4, 5, 6];

export interface NetworkFigures {
  sent: number;
  lost: number;
  doubled: number;
  delayed: number;
}

interface Link {
  readonly from: Address;
  readonly to: Address;
  readonly hash: number;
  readonly occurrences: Occurrences;
}

/** A link between services, or services and all `client`s or `device`s. */
export interface Between {
  readonly from: string;
  readonly to: string;
}

interface Trouble extends Between {
  /** When it lets go of what is sent meanwhile; undefined: that is lost. */
  readonly letsGo: number | undefined;
}

export class Network {
  readonly figures: NetworkFigures = { sent: 0, lost: 0, doubled: 0, delayed: 0 };
  private readonly links = new Map<Address, Map<Address, Link>>();
  private readonly troubles = new Set<Trouble>();

  constructor(
    private readonly agenda: Agenda,
    private readonly faults: Faults,
    private readonly options: SimOptions,
    private readonly deliver: (from: Address, to: Address, frame: Uint8Array) => void,
  ) {}

  /** From now on the network is in order: the second phase of a run. */
  get healed(): boolean {
    return this.faults.over;
  }

  set healed(healed: boolean) {
    this.faults.over = healed;
    if (healed) this.troubles.clear();
  }

  /** Loses everything on the link for so many ms, or holds it until then. */
  disturb(between: Between, what: 'cut' | 'clog', ms: number): void {
    const trouble = { ...between, letsGo: what === 'clog' ? this.agenda.now + ms : undefined };
    this.troubles.add(trouble);
    this.agenda.after(ms, () => this.troubles.delete(trouble));
  }

  /** `work`: ms that the sender was busy before. Answers the identity of this occurrence of the frame. */
  send(from: Address, to: Address, frame: Uint8Array, work = 0): void {
    this.figures.sent++;
    if (this.faults.over) return this.pass(from, to, frame, work + HOP_MS);
    const link = this.link(from, to);
    const what = kindAndId(frame);
    const occurrence = link.occurrences.next(what);
    const held = this.troubles.size > 0 ? this.held(from, to) : 0;
    const key = frameKey(link.hash, what, occurrence);
    const name = (): string => frameName(from, to, what, occurrence);
    const { faults, options } = this;
    if (held === undefined || faults.chance(options.loss, LOSE, key, () => `lose ${name()}`)) {
      this.figures.lost++;
      return;
    }
    this.pass(from, to, frame, held + work + this.delayOf(key, DELAY, DELAY_BY, () => `delay ${name()}`));
    if (!faults.chance(options.duplication, DOUBLE, key, () => `double ${name()}`)) return;
    this.figures.doubled++;
    const again = this.delayOf(key, DELAY_AGAIN, DELAY_AGAIN_BY, () => `delay the double of ${name()}`);
    this.pass(from, to, frame, held + work + again);
  }

  /** Nobody will be sent anything, or send, under this address any more. */
  forget(address: Address): void {
    this.links.delete(address);
    for (const links of this.links.values()) links.delete(address);
  }

  private link(from: Address, to: Address): Link {
    let links = this.links.get(from);
    if (!links) this.links.set(from, (links = new Map()));
    let link = links.get(to);
    if (!link) links.set(to, (link = { from, to, hash: hashText(`${from}>${to}`), occurrences: new Occurrences() }));
    return link;
  }

  /** How long a clogged link holds the frame, ms; undefined: it is lost. */
  private held(from: Address, to: Address): number | undefined {
    let ms = 0;
    for (const trouble of this.troubles) {
      if (trouble.from !== serviceOf(from) || trouble.to !== serviceOf(to)) continue;
      if (trouble.letsGo === undefined) return undefined;
      ms = Math.max(ms, trouble.letsGo - this.agenda.now);
    }
    return ms;
  }

  private delayOf(key: number, salt: number, by: number, name: () => string): number {
    if (!this.faults.chance(this.options.delay, salt, key, name)) return HOP_MS;
    this.figures.delayed++;
    return HOP_MS + this.faults.dice.unitOf(by, key) * this.options.delayMs;
  }

  private pass(from: Address, to: Address, frame: Uint8Array, ms: number): void {
    this.agenda.after(ms, () => this.deliver(from, to, frame));
  }
}

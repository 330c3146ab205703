/**
 * The simulated network between the actors and clients of one host.
 *
 * Words: the *n*-th frame of a link is its occurrence: with the seed it decides what happens to it.
 * Rule: a frame may be lost, doubled, or held back past later ones; it is never changed.
 */
import type { Address } from '@vfiolab/core';
import type { Agenda } from './agenda.js';
import type { Dice } from './dice.js';
import type { SimOptions } from './options.js';

/** One way through the network without trouble, ms. */
const HOP_MS = 0.05;

export interface NetworkFigures {
  sent: number;
  lost: number;
  doubled: number;
  delayed: number;
}

export class Network {
  readonly figures: NetworkFigures = { sent: 0, lost: 0, doubled: 0, delayed: 0 };
  private readonly occurrences = new Map<string, number>();
  /** From now on the network is in order: the second phase of a run. */
  healed = false;

  constructor(
    private readonly agenda: Agenda,
    private readonly dice: Dice,
    private readonly options: SimOptions,
    private readonly deliver: (from: Address, to: Address, frame: Uint8Array) => void,
  ) {}

  /** `work`: ms that the sender was busy before. */
  send(from: Address, to: Address, frame: Uint8Array, work = 0): void {
    const link = `${from}>${to}`;
    const n = (this.occurrences.get(link) ?? 0) + 1;
    this.occurrences.set(link, n);
    this.figures.sent++;
    const key = `${link}#${n}`;
    const { loss, duplication } = this.options;
    if (!this.healed && this.dice.chance(`lose ${key}`, loss)) {
      this.figures.lost++;
      return;
    }
    this.pass(from, to, frame, work + this.delayOf(key));
    if (this.healed || !this.dice.chance(`double ${key}`, duplication)) return;
    this.figures.doubled++;
    this.pass(from, to, frame, work + this.delayOf(`again ${key}`));
  }

  private delayOf(key: string): number {
    const { delay, delayMs } = this.options;
    if (this.healed || !this.dice.chance(`delay ${key}`, delay)) return HOP_MS;
    this.figures.delayed++;
    return HOP_MS + this.dice.unit(`delayBy ${key}`) * delayMs;
  }

  private pass(from: Address, to: Address, frame: Uint8Array, ms: number): void {
    this.agenda.after(ms, () => this.deliver(from, to, frame));
  }
}

/**
 * Trouble that lasts for a while: drawn before the run, and begun when its time has come.
 *
 * Words: a *window* is such a trouble: what, to whom, from when on and how long.
 * Rule: a window depends on the seed alone.
 */
import type { Address } from '@vfiolab/core';
import { SERVICES } from '@vfiolab/host';
import type { Dice } from '../dice.js';
import type { Between } from '../network.js';
import type { SimOptions } from '../options.js';

/** `cut` and `clog` are of links, `jump` is of the clock, `power` of the whole host, the others of services. */
export const WINDOW_KINDS = ['cut', 'clog', 'pause', 'slow-disk', 'full-disk', 'jump', 'power'] as const;
export type WindowKind = (typeof WINDOW_KINDS)[number];

export interface Window {
  readonly kind: WindowKind;
  readonly service: Address;
  readonly link: Between;
  /** When it begins and how long it lasts, ms of virtual time; a jump of the clock: how far, and which way. */
  readonly at: number;
  readonly ms: number;
  readonly name: string;
}

/** What a link may lead from and to; all devices, and all clients, are one. */
const ENDS = [...SERVICES, 'device', 'client'];
const OF_SERVICES = [...SERVICES, 'device'];
/** A wall clock is set by so much at most, ms. */
const MOST_JUMP = 120_000;

export function drawWindows(dice: Dice, { windows, windowMs, horizonMs }: SimOptions): Window[] {
  return WINDOW_KINDS.flatMap((kind) =>
    Array.from({ length: windows[kind] ?? 0 }, (_, n) => drawWindow(dice, kind, n, windowMs, horizonMs)),
  );
}

function drawWindow(dice: Dice, kind: WindowKind, n: number, windowMs: number, horizonMs: number): Window {
  const key = `${kind} ${n}`;
  const service = OF_SERVICES[dice.below(`service ${key}`, OF_SERVICES.length)]!;
  const from = ENDS[dice.below(`from ${key}`, ENDS.length)]!;
  // A client speaks with services only, and a service with itself over no link.
  const others = ENDS.filter((end) => end !== from && !(from === 'client' && end === 'client'));
  const link = { from, to: others[dice.below(`to ${key}`, others.length)]! };
  const at = Math.floor(dice.unit(`at ${key}`) * horizonMs);
  const ms =
    kind === 'jump'
      ? Math.round((2 * dice.unit(`ms ${key}`) - 1) * MOST_JUMP)
      : 1 + Math.floor(dice.unit(`ms ${key}`) * windowMs);
  const whom = kind === 'cut' || kind === 'clog' ? ` ${link.from}>${link.to}` : '';
  const where = kind === 'jump' || kind === 'power' ? '' : whom || ` ${service}`;
  return { kind, service, link, at, ms, name: `${kind}${where} at ${at} ms for ${ms} ms` };
}

/**
 * What goes wrong with devices meanwhile: an operator's faults, most of them short.
 *
 * Rule: a function that had a fault, and all that hang on the same bus, may do what they like from then on: nothing is foretold of
 * them. In the end every fault is cleared, so that the host can come to rest.
 */
import {
  DEVICE_FAULTS,
  type DeviceFault,
  type FaultKind,
  type FaultName,
  faultNames,
  faultOf,
  type FaultParameter,
  LAB,
  labApi,
} from '@vfiolab/core';
import type { Chance } from '../chance.js';
import { range } from './memory-moves.js';
import { any, type Move } from './moves.js';
import type { Program } from './program.js';
import type { Yard } from './places.js';
import { RICH } from './rich-function.js';

const OPERATOR = 'operator';
/** The longest of a fault, ms; a reset that gets stuck for longer than a minute is given up by the kernel. */
const SHORT = 2000;
const LONG = 70_000;

const isPci = (name: string): boolean => !name.includes('-');
const busOf = (bdf: string): string => bdf.slice(0, bdf.lastIndexOf(':'));

/** Those whose device may do anything now. */
function noteFault({ yard, around }: Program, bdf: string): void {
  for (const name of yard.names) if (isPci(name) && busOf(name) === busOf(bdf)) yard.faulty.add(name);
  yard.faulty.add(bdf);
  for (const { model } of around.running)
    for (const device of model.devices) if (yard.faulty.has(device.name)) device.odd = true;
}

const ask = async (yard: Yard, fault: DeviceFault): Promise<string> =>
  (await yard.host.env.link(OPERATOR).call(LAB, labApi.fault, fault)).error;

function draw(p: Program, name: FaultParameter): number | bigint | boolean {
  const { chance } = p;
  const mapped = any(chance, p.model.devices)?.space?.maps;
  const draws: Readonly<Record<FaultParameter, () => number | bigint | boolean>> = {
    ms: () => 1 + chance.below(chance.once(12) ? LONG : SHORT),
    count: () => 1 + chance.below(12),
    every: () => 1 + chance.below(30),
    delay: () => 1 + chance.below(40),
    vector: () => chance.below(3),
    iova: () => any(chance, mapped ?? [])?.iova ?? range(p).iova & 0xffff_ffffn,
    bytes: () => 1 + chance.below(9000),
    write: () => chance.once(2),
    pasid: () => chance.pick([0, 1, 5]),
  };
  return draws[name]();
}

/** Never without an end, but for a link that somebody else puts right. */
function drawFault(p: Program): DeviceFault {
  const { chance, yard } = p;
  const kind: FaultName = chance.pick(faultNames);
  const { takes, needs = [] }: FaultKind = DEVICE_FAULTS[kind];
  const used = takes.filter((name) => name === 'ms' || needs.includes(name) || chance.once(2));
  const open = any(chance, p.model.devices);
  const somewhere = open && isPci(open.name) && !chance.once(3) ? open.name : chance.pick(yard.names.filter(isPci));
  const device = chance.once(4) && !yard.power ? RICH : somewhere;
  return faultOf(device, kind, Object.fromEntries(used.map((name) => [name, draw(p, name)])));
}

async function fault(p: Program): Promise<void> {
  const wanted = drawFault(p);
  noteFault(p, wanted.device);
  p.later(async () => {
    const error = await ask(p.yard, wanted);
    p.around.tally.answered(`fault ${wanted.kind}`, error === '' ? undefined : 'EINVAL');
  });
  await p.sys(p.around.yard.host.pause(1));
}

/** Every fault ends, and every link comes up. */
export async function clearFaults(yard: Yard): Promise<void> {
  for (const device of [...yard.faulty].sort()) await ask(yard, faultOf(device, 'clear'));
}

export const FAULT_MOVES: readonly Move[] = [
  { name: 'fault', weight: 9, has: (_, { yard }) => yard.breaks, run: fault },
];

/** Does hardware break in this run? */
export const drawBreaks = (chance: Chance): boolean => chance.once(2);

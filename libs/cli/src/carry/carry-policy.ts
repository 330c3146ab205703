/** `--carry`: placements of one policy carried out, with how far it is; and what came of it in words. */
import {
  CLUSTER_LIMITS,
  InputError,
  isNvmlProfile,
  type Policy,
  type RunInput,
  samplePlacements,
  type Shape,
  shapeMachine,
  type Names,
} from '@vfiolab/cluster';
import { findMachine, iommuOf, readMachine } from '@vfiolab/scenario';
import { type Context, type Input, UsageError, wholeNumber } from '../command.js';
import { progressLine } from '../progress-line.js';
import { Carrier, type Carried } from './carry.js';
import type { Machine } from './carried-host.js';

/** Where a machine's description names no IOMMU, or none that is on. */
const DEFAULT_IOMMU = 'intel-vtd';
/** Refusals that are printed. */
const MOST_SHOWN = 10;

/** Machines of shapes, each read or made once. An InputError of theirs is a usage error. */
function machines(kinds: Names): (shape: Shape) => Machine {
  const known = new Map<Shape, Machine>();
  return (shape) => {
    const machine = known.get(shape) ?? machineOf(shape, kinds);
    known.set(shape, machine);
    return machine;
  };
}

function machineOf(shape: Shape, kinds: Names): Machine {
  const file = shape.machine === undefined ? undefined : findMachine(shape.machine, '.');
  const text = file === undefined ? undefined : readMachine(file);
  // What the maker's tools tell of GPUs is no description of a machine's PCI.
  if (text !== undefined && !isNvmlProfile(text)) {
    const iommu = iommuOf(text);
    return {
      text,
      iommu: iommu === undefined || iommu === 'none' ? DEFAULT_IOMMU : iommu,
      bdfs: shape.slots.map(({ name }) => name),
    };
  }
  try {
    return { ...shapeMachine(shape, kinds), iommu: DEFAULT_IOMMU };
  } catch (error) {
    if (error instanceof InputError) throw new UsageError(`--carry: ${error.message}.`);
    throw error;
  }
}

/** Placements that `--carry` asks for; 0: none. */
export function carryCount(input: Input, timed: boolean): number {
  const count = wholeNumber('carry', input.text('carry') ?? '0', CLUSTER_LIMITS.pods);
  if (count > 0 && timed) throw new UsageError('--carry is for runs without time: in time hosts change.');
  return count;
}

/** Draws placements of a policy's run and carries them out; `placed`: the host of each arrival. */
export async function carried(
  { terminal }: Context,
  given: RunInput,
  policy: Policy,
  placed: Int32Array,
  count: number,
): Promise<Carried> {
  const began = performance.now();
  const sample = samplePlacements(given, policy, placed, count);
  const all = sample.reduce((sum, { pods }) => sum + pods.length, 0);
  const carrier = new Carrier(given.kinds, machines(given.kinds));
  for (const host of sample) {
    const seconds = (performance.now() - began) / 1000;
    terminal.progress(progressLine(`${policy.name} carried out`, carrier.result.carried, all, seconds));
    await carrier.carry(host);
  }
  terminal.clear();
  return carrier.result;
}

/** Says what came of `--carry`; false: something was refused. */
export function tellCarried(
  { terminal, json }: Context,
  results: readonly { readonly policy: string; readonly carried?: Carried }[],
): boolean {
  let well = true;
  for (const { policy, carried: truth } of results) {
    if (!truth) continue;
    well &&= truth.refused === 0 && truth.problems.length === 0;
    if (!json) for (const line of inWords(policy, truth)) terminal.out(line);
  }
  return well;
}

function inWords(policy: string, truth: Carried): string[] {
  const { sampled, hosts, devices, mappedMib, refused, refusals, problems } = truth;
  const others = truth.carried - sampled;
  return [
    `${policy}: ${sampled} placements carried out on ${hosts} emulated hosts (and ${others} that were there before): ` +
      `${devices} devices opened, ${mappedMib} MiB mapped, ${refused} refused`,
    ...refusals.slice(0, MOST_SHOWN).map(({ host, pod, call, errno }) => `  ${pod} on ${host}: ${call}: ${errno}`),
    ...(refused > MOST_SHOWN ? [`  and ${refused - MOST_SHOWN} more`] : []),
    ...problems.map((problem) => `  ${problem}`),
  ];
}

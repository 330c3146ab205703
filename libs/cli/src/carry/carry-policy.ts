/** `--carry`: placements of one policy carried out, with how far it is; and what came of it in words. */
import {
  InputError,
  type Policy,
  type RunInput,
  samplePlacements,
  type Shape,
  shapeMachine,
  type Names,
} from '@vfiolab/cluster';
import { findMachine, iommuOf, readMachine } from '@vfiolab/scenario';
import { UsageError } from '../command.js';
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
  if (shape.machine !== undefined) {
    const text = readMachine(findMachine(shape.machine, '.')!);
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

/** `placed`: the host of each arrival of the policy's run. */
export async function carryOut(
  given: RunInput,
  policy: Policy,
  placed: Int32Array,
  count: number,
  progress: (done: number, all: number) => void,
): Promise<Carried> {
  const sample = samplePlacements(given, policy, placed, count);
  const all = sample.reduce((sum, { pods }) => sum + pods.length, 0);
  const carrier = new Carrier(given.kinds, machines(given.kinds));
  for (const host of sample) {
    progress(carrier.result.carried, all);
    await carrier.carry(host);
  }
  return carrier.result;
}

export function carriedInWords(policy: string, carried: Carried): string[] {
  const { sampled, hosts, devices, mappedMib, refused, refusals, problems } = carried;
  const others = carried.carried - sampled;
  return [
    `${policy}: ${sampled} placements carried out on ${hosts} emulated hosts (and ${others} that were there before): ` +
      `${devices} devices opened, ${mappedMib} MiB mapped, ${refused} refused`,
    ...refusals.slice(0, MOST_SHOWN).map(({ host, pod, call, errno }) => `  ${pod} on ${host}: ${call}: ${errno}`),
    ...(refused > MOST_SHOWN ? [`  and ${refused - MOST_SHOWN} more`] : []),
    ...problems.map((problem) => `  ${problem}`),
  ];
}

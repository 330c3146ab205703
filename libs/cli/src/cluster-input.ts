/** What the options and files of `vfiolab cluster` say. */
import {
  CLUSTER_LIMITS,
  drawArrivals,
  gpuCapacity,
  hostCosts,
  type HostList,
  importEvents,
  importNodes,
  importNvmlProfile,
  importOrder,
  importPods,
  importRank,
  importSlices,
  InputError,
  isNvmlProfile,
  isYaml,
  type MachineShapes,
  machineShape,
  MEMORY_COSTS,
  type Names,
  newKinds,
  policies,
  type PodList,
  type Policy,
  type Processor,
  Random,
  type RunInput,
  type TimelineInput,
} from '@vfiolab/cluster';
import { importTopology, TopologyError } from '@vfiolab/pci';
import { findMachine, machineNames, readMachine, suggestion } from '@vfiolab/scenario';
import { readText } from './cluster-files.js';
import { type Input, UsageError, wholeNumber } from './command.js';

export const DEFAULT_SEED = 42;
/** The GPUs asked for, as a multiple of those there are. */
const MOST_DEMAND = 1000;
export const PROCESSORS = Object.keys(MEMORY_COSTS) as Processor[];
/** Kinds of device whose state can be moved to another host. */
export const MIGRATABLE = 'vf';

export function required(input: Input, option: string): string {
  const text = input.text(option);
  if (text === undefined) throw new UsageError(`--${option} is missing. See vfiolab cluster --help.`);
  return text;
}

export function policiesOf(text: string): Policy[] {
  const chosen = text.split(',').map((name) => {
    const found = policies.find((each) => each.name === name.trim().toLowerCase());
    if (found) return found;
    const names = policies.map((each) => each.name);
    throw new UsageError(`--policy: there is no ${JSON.stringify(name)}. ${suggestion(name, names)}`);
  });
  const twice = chosen.find((each, i) => chosen.indexOf(each) !== i);
  if (twice) throw new UsageError(`--policy: ${twice.name} is named twice.`);
  return chosen;
}

function demandOf(input: Input): number | undefined {
  const text = input.text('demand');
  if (text === undefined) return undefined;
  const demand = /^\d{1,4}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (demand > 0 && demand <= MOST_DEMAND) return demand;
  throw new UsageError(`--demand: ${JSON.stringify(text)} is no number above 0 and up to ${MOST_DEMAND}.`);
}

/** Shapes of machines that a node list names: lspci output, fixtures, profiles of NVML, or the catalogue. Each is read once. */
function machines(): MachineShapes {
  const known = new Map<string, ReturnType<MachineShapes>>();
  const load: MachineShapes = (name, kinds) => {
    const file = findMachine(name, '.');
    if (file === undefined)
      throw new InputError(`there is no such file or machine. ${suggestion(name, machineNames())}`, { file: name });
    try {
      const text = readMachine(file);
      if (isNvmlProfile(text)) return importNvmlProfile(text, file, kinds);
      return machineShape(name, importTopology(text), kinds);
    } catch (error) {
      if (error instanceof TopologyError) throw new InputError(error.message, { file });
      throw error;
    }
  };
  return (name, kinds) => {
    const shape = known.get(name) ?? load(name, kinds);
    known.set(name, shape);
    return shape;
  };
}

function hostsOf(file: string, kinds: Names): HostList {
  const text = readText('nodes', file);
  return isYaml(text) ? importSlices(text, file, kinds) : importNodes(text, file, kinds, machines());
}

/** Hosts, and the pods that usually come if there is a list of them. */
export function readHosts(input: Input): { hosts: HostList; kinds: Names; pods?: PodList } {
  const nodes = required(input, 'nodes');
  const pods = input.text('pods');
  return told(() => {
    const kinds = newKinds();
    const hosts = hostsOf(nodes, kinds);
    return { hosts, kinds, ...(pods !== undefined && { pods: importPods(readText('pods', pods), pods, kinds) }) };
  });
}

/** What is wrong in a file is a usage error: its message names file, line and field. */
function told<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof InputError) throw new UsageError(`${error.message}.`);
    throw error;
  }
}

/** Everything that the files and options say. */
export function readInput(input: Input): RunInput {
  const [nodes, pods] = [required(input, 'nodes'), required(input, 'pods')];
  const seed = input.given('seed') ? wholeNumber('seed', input.text('seed')!) : DEFAULT_SEED;
  const share = demandOf(input);
  const retries = wholeNumber('retries', input.text('retries') ?? '0', CLUSTER_LIMITS.hosts);
  const order = input.text('order');
  const rankFile = input.text('rank');
  return told(() => {
    const kinds = newKinds();
    const hosts = hostsOf(nodes, kinds);
    const list = importPods(readText('pods', pods), pods, kinds);
    const random = new Random(seed);
    const arrivals =
      order === undefined
        ? drawArrivals(list, random, share === undefined ? undefined : { share, capacity: gpuCapacity(hosts) })
        : importOrder(readText('order', order), order, list);
    const rank =
      rankFile === undefined
        ? random.shuffle(Int32Array.from(hosts.names.keys()))
        : importRank(readText('rank', rankFile), rankFile, hosts);
    return { hosts, kinds, pods: list, arrivals, rank, seed, retries };
  });
}

/** Models that pods ask for and no host has. */
export function unknownModels({ hosts, pods }: RunInput): string[] {
  const known = new Set(hosts.shapes.map(({ model }) => model));
  const asked = new Set(pods.requests.classes.flatMap(({ models }) => models));
  return [...asked].filter((model) => !known.has(model)).sort();
}

/** The run in time that the options ask for; undefined: none. */
export function timelineOf(input: Input, given: RunInput): TimelineInput | undefined {
  const file = input.text('events');
  if (!input.given('time') && file === undefined) return undefined;
  const name = input.text('processor') ?? PROCESSORS[0]!;
  const processor = PROCESSORS.find((each) => each === name);
  if (!processor)
    throw new UsageError(`--processor: there is no ${JSON.stringify(name)}. ${suggestion(name, PROCESSORS)}`);
  const kinds = (input.text('migratable') ?? MIGRATABLE).split(',').map((kind) => given.kinds.id(kind.trim()));
  try {
    const events = file === undefined ? [] : importEvents(readText('events', file), file, given.hosts);
    return { ...given, events, costs: hostCosts(processor), migratable: new Set(kinds) };
  } catch (error) {
    if (error instanceof InputError) throw new UsageError(`${error.message}.`);
    throw error;
  }
}

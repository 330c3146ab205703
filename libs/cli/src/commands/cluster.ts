/** `vfiolab cluster`: pods placed on the hosts of a cluster, by one policy or by several beside one another. */
import { join } from 'node:path';
import { importTopology, TopologyError } from '@vfiolab/pci';
import {
  CLUSTER_LIMITS,
  comparison,
  drawArrivals,
  exportSlices,
  gpuCapacity,
  type HostList,
  importNodes,
  importOrder,
  importPods,
  importRank,
  importSlices,
  InputError,
  isYaml,
  type MachineShapes,
  machineShape,
  type Names,
  newKinds,
  policies,
  type Policy,
  type PolicyResult,
  Random,
  run,
  type Run,
  type RunInput,
} from '@vfiolab/cluster';
import { findMachine, machineNames, readMachine, suggestion } from '@vfiolab/scenario';
import { makeFolder, readText, writeJson, writeResult, writeText } from '../cluster-files.js';
import { type Command, type Context, type Input, OK, UsageError, wholeNumber } from '../command.js';

const DEFAULT_SEED = 42;
/** The GPUs asked for, as a multiple of those there are. */
const MOST_DEMAND = 1000;
const BAR = 24;

function required(input: Input, option: string): string {
  const text = input.text(option);
  if (text === undefined) throw new UsageError(`--${option} is missing. See vfiolab cluster --help.`);
  return text;
}

function policiesOf(text: string): Policy[] {
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

/** Shapes of machines that a node list names: lspci output, fixtures, or the catalogue. Each is read once. */
function machines(): MachineShapes {
  const known = new Map<string, ReturnType<MachineShapes>>();
  const load: MachineShapes = (name, kinds) => {
    const file = findMachine(name, '.');
    if (file === undefined)
      throw new InputError(`there is no such file or machine. ${suggestion(name, machineNames())}`, { file: name });
    try {
      return machineShape(name, importTopology(readMachine(file)), kinds);
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

/** Everything that the files and options say. An InputError is a usage error: its message names file, line and field. */
function readInput(input: Input): RunInput {
  const [nodes, pods] = [required(input, 'nodes'), required(input, 'pods')];
  const seed = input.given('seed') ? wholeNumber('seed', input.text('seed')!) : DEFAULT_SEED;
  const share = demandOf(input);
  const retries = wholeNumber('retries', input.text('retries') ?? '0', CLUSTER_LIMITS.hosts);
  const order = input.text('order');
  const rankFile = input.text('rank');
  try {
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
  } catch (error) {
    if (error instanceof InputError) throw new UsageError(`${error.message}.`);
    throw error;
  }
}

/** `fgd [#####-------] 41 %  4,455 of 10,866 pods, 31,000/s, 0.2 s left`. */
export function progressLine(policy: string, done: number, all: number, seconds: number): string {
  const share = all === 0 ? 1 : done / all;
  const bar = '#'.repeat(Math.round(share * BAR)).padEnd(BAR, '-');
  const rate = seconds > 0 ? done / seconds : 0;
  const left = rate > 0 ? `, ${((all - done) / rate).toFixed(1)} s left` : '';
  return `${policy} [${bar}] ${(100 * share).toFixed(0)} %  ${count(done)} of ${count(all)} pods, ${count(Math.round(rate))}/s${left}`;
}

const count = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ',');

function place({ terminal }: Context, input: RunInput, policy: Policy): Run {
  const began = performance.now();
  const all = input.arrivals.pods.length;
  const made = run(input, policy, (done) =>
    terminal.progress(progressLine(policy.name, done, all, (performance.now() - began) / 1000)),
  );
  terminal.clear();
  return made;
}

function print({ terminal }: Context, input: RunInput, results: readonly PolicyResult[]): void {
  const gpus = gpuCapacity(input.hosts) / 1000;
  const demand = results[0]?.gpuDemand ?? 0;
  terminal.out(
    `${count(input.hosts.names.length)} hosts with ${count(gpus)} GPUs, ${count(input.arrivals.pods.length)} pods that ask for ${demand.toFixed(1)} % of them`,
  );
  const [head, ...rows] = comparison(results);
  terminal.out(terminal.style('bold', head!));
  for (const row of rows) terminal.out(row);
  for (const { policy, reasons } of results) {
    const parts = Object.entries(reasons).map(([reason, pods]) => `${reason} ${count(pods)}`);
    if (parts.length > 0)
      terminal.out(terminal.style('dim', `${policy}: pods not placed for want of ${parts.join(', ')}`));
  }
}

async function runCluster(input: Input, context: Context): Promise<number> {
  const chosen = policiesOf(required(input, 'policy'));
  const out = input.text('out');
  const given = readInput(input);
  if (out !== undefined) makeFolder(out);
  const slices = input.text('slices');
  if (slices !== undefined) writeText('slices', slices, exportSlices(given.hosts, given.kinds));
  const results: PolicyResult[] = [];
  for (const policy of chosen) {
    const made = place(context, given, policy);
    const result = { policy: policy.name, ...made.tally() };
    results.push(result);
    if (out !== undefined) await writeResult(chosen.length === 1 ? out : join(out, policy.name), made, result);
  }
  if (out !== undefined && chosen.length > 1) writeJson(join(out, 'summary.json'), { policies: results });
  if (context.json) context.terminal.json({ hosts: given.hosts.names.length, policies: results });
  else print(context, given, results);
  return OK;
}

export const cluster: Command = {
  name: 'cluster',
  summary: 'place pods with GPUs and other devices on the hosts of a cluster',
  positionals: [],
  options: {
    nodes: { value: 'CSV', about: 'hosts: sn,cpu_milli,memory_mib,gpu,model[,machine,...], or ResourceSlices in YAML' },
    pods: { value: 'CSV', about: 'pods: name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec,...]' },
    policy: { value: 'NAME[,NAME...]', about: 'one policy, or several beside one another' },
    demand: { value: 'SHARE', about: 'GPUs asked for as a multiple of those there are: pods are left out, or copied' },
    seed: { value: 'N', about: `of the order of pods and hosts; default: ${DEFAULT_SEED}` },
    order: { value: 'FILE', about: 'CSV whose column pod has the pods as they come' },
    rank: { value: 'FILE', about: 'CSV rank,node: of equally good hosts that of the smallest rank wins' },
    retries: { value: 'N', about: 'other hosts that a pod is offered to after one refused it; default: 0' },
    slices: { value: 'FILE', about: "write the hosts' devices there as Kubernetes ResourceSlices" },
    out: { value: 'DIR', about: 'write placements.csv (pod,node,reason) and summary.json there' },
  },
  details: `
Policies:
${policies.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n')}

Files may be packed by gzip. A pod named NAME-tuned-N in --order is a copy of NAME; --order says all pods that come, and
--demand is not used then. In placements.csv a pod without node is on none, and reason says how many hosts of each kind lack
what. Policies that only count devices may choose a host that then refuses, for its groups, NUMA nodes or switches. With several policies DIR gets a folder for each. All columns and a policy of your own: docs/cluster.md.

With --json the report is {"hosts", "policies": [{"policy", "pods", "placed", "unschedulable", "refused", "gpuAllocation",
"refusals", "cpuAllocation", "gpuDemand", "hostsUsed", "reasons"}]}; allocations are percent. At most ${count(CLUSTER_LIMITS.hosts)} hosts.

  vfiolab cluster --nodes nodes.csv --pods pods.csv --policy fgd --demand 1.3 --out results
  vfiolab cluster --nodes nodes.csv --pods pods.csv --policy gpupacking,bestfit,fgd --demand 1.3`,
  run: runCluster,
};

/** `vfiolab cluster`: pods placed on the hosts of a cluster, by one policy or by several beside one another. */
import { join } from 'node:path';
import {
  CLUSTER_LIMITS,
  comparison,
  exportSlices,
  gpuCapacity,
  InputError,
  policies,
  type Policy,
  type PolicyResult,
  run,
  type RunInput,
  timedComparison,
  type TimedResult,
  Timeline,
  type TimelineInput,
} from '@vfiolab/cluster';
import { makeFolder, writeJson, writeResult, writeText } from '../cluster-files.js';
import {
  DEFAULT_SEED,
  MIGRATABLE,
  policiesOf,
  PROCESSORS,
  readInput,
  required,
  timelineOf,
  unknownModels,
} from '../cluster-input.js';
import { type Command, type Context, type Input, OK, UsageError } from '../command.js';

const BAR = 24;

/** `fgd [#####-------] 41 %  4,455 of 10,866 pods, 31,000/s, 0.2 s left`. */
export function progressLine(policy: string, done: number, all: number, seconds: number): string {
  const share = all === 0 ? 1 : done / all;
  const bar = '#'.repeat(Math.round(share * BAR)).padEnd(BAR, '-');
  const rate = seconds > 0 ? done / seconds : 0;
  const left = rate > 0 ? `, ${((all - done) / rate).toFixed(1)} s left` : '';
  return `${policy} [${bar}] ${(100 * share).toFixed(0)} %  ${count(done)} of ${count(all)} pods, ${count(Math.round(rate))}/s${left}`;
}

const count = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ',');

/** Calls the work with what shows how far it is. */
function watched<T>({ terminal }: Context, policy: Policy, all: number, work: (say: (done: number) => void) => T): T {
  const began = performance.now();
  const made = work((done) =>
    terminal.progress(progressLine(policy.name, done, all, (performance.now() - began) / 1000)),
  );
  terminal.clear();
  return made;
}

const load = ({ hosts, arrivals }: RunInput): string =>
  `${count(hosts.names.length)} hosts with ${count(gpuCapacity(hosts) / 1000)} GPUs, ${count(arrivals.pods.length)} pods`;

function printTable({ terminal }: Context, [head, ...rows]: readonly string[]): void {
  terminal.out(terminal.style('bold', head!));
  for (const row of rows) terminal.out(row);
}

function print(context: Context, given: RunInput, results: readonly PolicyResult[]): void {
  const { terminal } = context;
  terminal.out(`${load(given)} that ask for ${results[0]!.gpuDemand.toFixed(1)} % of them`);
  printTable(context, comparison(results));
  for (const { policy, reasons } of results) {
    const parts = Object.entries(reasons).map(([reason, pods]) => `${reason} ${count(pods)}`);
    if (parts.length > 0)
      terminal.out(terminal.style('dim', `${policy}: pods not placed for want of ${parts.join(', ')}`));
  }
}

function printTimed(context: Context, given: TimelineInput, results: readonly TimedResult[]): void {
  const { terminal } = context;
  terminal.out(`${load(given)}, ${count(given.events.length)} events`);
  printTable(context, timedComparison(results));
  for (const { policy, startupParts } of results) {
    const parts = Object.entries(startupParts).map(([part, seconds]) => `${part} ${seconds.toFixed(2)}`);
    terminal.out(terminal.style('dim', `${policy}: a start takes, in seconds on average: ${parts.join(', ')}`));
  }
}

/** One policy: what it decided, and the result. */
function placed(context: Context, given: RunInput, policy: Policy) {
  const made = watched(context, policy, given.arrivals.pods.length, (say) => run(given, policy, say));
  return { made, result: { policy: policy.name, ...made.tally() }, samples: undefined };
}

function timed(context: Context, given: TimelineInput, policy: Policy) {
  const all = given.arrivals.pods.length;
  const made = watched(context, policy, all, (say) => new Timeline(given, policy).run(say));
  const { samples } = made.statistics;
  return { made, result: { policy: policy.name, ...made.tally() }, samples };
}

/** All policies, one after the other. Throws UsageError when a run comes to a bound. */
function results({ chosen, out, given, timeline }: Runs, context: Context): (PolicyResult | TimedResult)[] {
  try {
    return chosen.map((policy) => {
      const { made, result, samples } = timeline ? timed(context, timeline, policy) : placed(context, given, policy);
      if (out !== undefined) writeResult(chosen.length === 1 ? out : join(out, policy.name), made, result, samples);
      return result;
    });
  } catch (error) {
    if (error instanceof InputError) throw new UsageError(`${error.message}.`);
    throw error;
  }
}

interface Runs {
  readonly chosen: readonly Policy[];
  readonly out: string | undefined;
  readonly given: RunInput;
  readonly timeline: TimelineInput | undefined;
}

function runCluster(input: Input, context: Context): Promise<number> {
  const chosen = policiesOf(required(input, 'policy'));
  const out = input.text('out');
  const given = readInput(input);
  const timeline = timelineOf(input, given);
  const unknown = unknownModels(given);
  if (unknown.length > 0) context.terminal.error(`note: no host has a GPU of model ${unknown.join(', ')}.`);
  if (out !== undefined) makeFolder(out);
  const slices = input.text('slices');
  if (slices !== undefined) writeText('slices', slices, exportSlices(given.hosts, given.kinds));
  const made = results({ chosen, out, given, timeline }, context);
  if (out !== undefined && chosen.length > 1) writeJson(join(out, 'summary.json'), { policies: made });
  if (context.json) context.terminal.json({ hosts: given.hosts.names.length, policies: made });
  else if (timeline) printTimed(context, timeline, made as TimedResult[]);
  else print(context, given, made as PolicyResult[]);
  return Promise.resolve(OK);
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
    time: { about: 'pods come, start, end and wait in time: creation_time and deletion_time of the pods, in seconds' },
    events: {
      value: 'FILE',
      about: 'CSV time,event,node,device,seconds[,share] of failures, drains and migrations; in time',
    },
    processor: {
      value: 'NAME',
      about: `in time: what clears and pins memory, ${PROCESSORS.join(' or ')}; default: ${PROCESSORS[0]!}`,
    },
    migratable: { value: 'KIND,...', about: `in time: kinds of device that can migrate; default: ${MIGRATABLE}` },
    out: { value: 'DIR', about: 'write placements.csv (pod,node,reason), devices.csv and summary.json there' },
  },
  details: `
Policies:
${policies.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n')}

Files may be packed by gzip. A pod named NAME-tuned-N in --order is a copy of NAME; --order says all pods that come, and
--demand is not used then. In placements.csv a pod without node is on none, and reason says how many hosts of each kind lack
what. Policies that only count devices may choose a host that then refuses, for its groups, NUMA nodes or switches. With several policies DIR gets a folder for each. All columns and a policy of your own: docs/cluster.md.

In time DIR also gets timeline.csv, and the report says how long pods waited and started.

With --json the report is {"hosts", "policies": [{"policy", "pods", "placed", "unschedulable", "refused", "gpuAllocation",
"refusals", "cpuAllocation", "gpuDemand", "hostsUsed", "reasons"}]}; allocations are percent. At most ${count(CLUSTER_LIMITS.hosts)} hosts.

  vfiolab cluster --nodes nodes.csv --pods pods.csv --policy fgd --demand 1.3 --out results
  vfiolab cluster --nodes nodes.csv --pods pods.csv --policy gpupacking,bestfit,fgd --demand 1.3`,
  run: runCluster,
};

/** `vfiolab cluster`: pods placed on the hosts of a cluster, by one policy or by several beside one another. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  CLUSTER_LIMITS,
  comparison,
  exportSlices,
  inLines,
  InputError,
  policies,
  type Policy,
  type PolicyResult,
  prometheus,
  run,
  type RunInput,
  timedComparison,
  type TimedResult,
  Timeline,
  type TimelineInput,
} from '@vfiolab/cluster';
import { carried, carryCount, tellCarried } from '../carry/carry-policy.js';
import type { Carried } from '../carry/carry.js';
import { pointsOf, sweep, sweepCsv, sweepTable } from '../cluster-sweep.js';
import { type Made, PageReport } from '../cluster-page.js';
import { serveCluster } from '../extender/cluster-serve.js';
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
import { type Command, type Context, FAILED, type Input, OK, UsageError, wholeNumber } from '../command.js';
import { count, load, progressLine } from '../progress-line.js';

/** Calls the work with what shows how far it is. */
function watched<T>({ terminal }: Context, policy: Policy, all: number, work: (say: (done: number) => void) => T): T {
  const began = performance.now();
  const made = work((done) =>
    terminal.progress(progressLine(policy.name, done, all, (performance.now() - began) / 1000)),
  );
  terminal.clear();
  return made;
}

function printTable({ terminal }: Pick<Context, 'terminal'>, [head, ...rows]: readonly string[]): void {
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
function made(context: Context, { given, timeline }: Runs, policy: Policy): Made {
  const all = given.arrivals.pods.length;
  if (!timeline) return { run: watched(context, policy, all, (say) => run(given, policy, say)) };
  return { timeline: watched(context, policy, all, (say) => new Timeline(timeline, policy).run(say)) };
}

type Result = (PolicyResult | TimedResult) & { readonly carried?: Carried };

/** All policies, one after the other. Throws UsageError when a run comes to a bound. */
async function results(runs: Runs, context: Context, page: PageReport | undefined): Promise<Result[]> {
  const { chosen, out, given, carry } = runs;
  const found: Result[] = [];
  try {
    for (const policy of chosen) {
      const each = made(context, runs, policy);
      const { run, timeline } = each;
      const truth = run && carry > 0 ? await carried(context, given, policy, run.hosts, carry) : undefined;
      const sums = (run ?? timeline!).tally() as PolicyResult | TimedResult;
      const result = { ...sums, policy: policy.name, ...(truth && { carried: truth }) };
      found.push({ ...result });
      page?.add(given, policy.name, each, truth);
      const samples = timeline?.statistics.samples;
      if (out !== undefined)
        writeResult(chosen.length === 1 ? out : join(out, policy.name), run ?? timeline!, result, samples);
    }
  } catch (error) {
    if (error instanceof InputError) throw new UsageError(`${error.message}.`);
    throw error;
  }
  return found;
}

interface Runs {
  readonly chosen: readonly Policy[];
  readonly out: string | undefined;
  readonly given: RunInput;
  readonly timeline: TimelineInput | undefined;
  /** Placements of each policy to carry out. */
  readonly carry: number;
}

async function runCluster(input: Input, context: Context): Promise<number> {
  const [what] = input.positionals;
  if (what === 'serve') return serveCluster(input, context);
  if (what !== undefined)
    throw new UsageError(`${JSON.stringify(what)} is none of: serve. See vfiolab cluster --help.`);
  const points = input.text('sweep');
  if (points !== undefined) return runSweep(input, context, points);
  const chosen = policiesOf(required(input, 'policy'));
  const out = input.text('out');
  const given = readInput(input);
  const timeline = timelineOf(input, given);
  const carry = carryCount(input, timeline !== undefined);
  const unknown = unknownModels(given);
  if (unknown.length > 0) context.terminal.error(`note: no host has a GPU of model ${unknown.join(', ')}.`);
  if (out !== undefined) makeFolder(out);
  const slices = input.text('slices');
  if (slices !== undefined) writeText('slices', slices, exportSlices(given.hosts, given.kinds));
  const file = input.text('report');
  const page = file === undefined ? undefined : new PageReport();
  const found = await results({ chosen, out, given, timeline, carry }, context, page);
  if (page) writeText('report', file!, [page.html(given, found, timeline !== undefined)]);
  if (out !== undefined) writeText('out', join(out, 'metrics.prom'), [prometheus(found)]);
  if (out !== undefined && chosen.length > 1) writeJson(join(out, 'summary.json'), { policies: found });
  if (context.json) context.terminal.json({ hosts: given.hosts.names.length, policies: found });
  else if (timeline) printTimed(context, timeline, found as TimedResult[]);
  else print(context, given, found as PolicyResult[]);
  return tellCarried(context, found) ? OK : FAILED;
}

/** What one run alone has. */
const NOT_SWEPT = ['time', 'events', 'carry', 'report', 'slices', 'order'];

async function runSweep(input: Input, { terminal, json }: Context, text: string): Promise<number> {
  const odd = NOT_SWEPT.find((option) => input.given(option));
  if (odd !== undefined) throw new UsageError(`--sweep and --${odd} do not go together.`);
  const points = pointsOf(text, input, DEFAULT_SEED);
  const threads = wholeNumber('threads', input.text('threads') ?? String(availableParallelism()), MOST_THREADS) || 1;
  const out = input.text('out');
  if (out !== undefined) makeFolder(out);
  const given = Object.fromEntries(
    ['nodes', 'pods', 'demand', 'rank', 'retries'].flatMap((option) => {
      const value = input.text(option);
      return value === undefined ? [] : [[option, value]];
    }),
  );
  const began = performance.now();
  const rows = await sweep(given, points, threads, (done) =>
    terminal.progress(progressLine('sweep', done, points.length, (performance.now() - began) / 1000, 'runs')),
  );
  terminal.clear();
  if (out !== undefined) writeText('out', join(out, 'sweep.csv'), [sweepCsv(rows)]);
  if (json) terminal.json({ runs: rows });
  else printTable({ terminal }, inLines(sweepTable(rows)));
  return OK;
}

const MOST_THREADS = 256;

export const cluster: Command = {
  name: 'cluster',
  summary: 'place pods with GPUs and other devices on the hosts of a cluster',
  positionals: ['[serve]'],
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
    carry: {
      value: 'N',
      about: 'carry N placements out on emulated hosts by the real calls; one that the kernel refuses ends with 1',
    },
    port: { value: 'N', about: 'serve: of the loopback; 0: any; default: 9797' },
    report: { value: 'FILE', about: 'write a page (HTML) with plots and tables that opens without a network' },
    sweep: {
      value: 'AXES',
      about: 'many runs: seeds=1-10,demand=0.8:1.4:0.1,policy=fgd|bestfit; a table, and DIR/sweep.csv',
    },
    threads: { value: 'N', about: 'sweep: threads; default: as many as there are processors' },
    out: {
      value: 'DIR',
      about: 'write placements.csv (pod,node,reason), devices.csv, summary.json and metrics.prom there',
    },
  },
  details: `
Policies:
${policies.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n')}

Files may be packed by gzip. A pod named NAME-tuned-N in --order is a copy of NAME; --order says all pods that come, and
--demand is not used then. In placements.csv a pod without node is on none, and reason says how many hosts of each kind lack
what. Policies that only count devices may choose a host that then refuses, for its groups, NUMA nodes or switches. With several policies DIR gets a folder for each. All columns and a policy of your own: docs/cluster.md.

With serve, a policy answers a kube-scheduler as its extender: filter, prioritize and bind, over HTTP. --pods are then the pods
that usually come; by default those with 1, 2, 4 and 8 GPUs.

In time DIR also gets timeline.csv, and the report says how long pods waited and started.

With --json the report is {"hosts", "policies": [{"policy", "pods", "placed", "unschedulable", "refused", "gpuAllocation",
"refusals", "cpuAllocation", "gpuDemand", "hostsUsed", "reasons"}]}; allocations are percent. At most ${count(CLUSTER_LIMITS.hosts)} hosts.

  vfiolab cluster --nodes nodes.csv --pods pods.csv --policy fgd --demand 1.3 --out results
  vfiolab cluster --nodes nodes.csv --pods pods.csv --policy gpupacking,bestfit,fgd --demand 1.3`,
  run: runCluster,
};

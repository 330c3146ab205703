/** What runs came to in the text format of Prometheus. Shares are from 0 to 1, times in seconds. */
import type { PolicyResult, TimedResult } from './report.js';
import type { Distribution } from './timeline-statistics.js';

/** Placements that were carried out on emulated hosts. */
interface Carried {
  readonly sampled: number;
  readonly refused: number;
}

type Labels = Readonly<Record<string, string>>;

interface Metric {
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly samples: [Labels, number][];
}

const PREFIX = 'vfiolab_cluster_';
const QUANTILES = [['0.5', 'p50'], ['0.99', 'p99'], ['1', 'most']] as const; // prettier-ignore

class Metrics {
  private readonly metrics = new Map<string, Metric>();

  add(name: string, help: string, labels: Labels, value: number): void {
    let metric = this.metrics.get(name);
    const type = name.endsWith('_total') ? 'counter' : 'gauge';
    if (!metric) this.metrics.set(name, (metric = { type, help, samples: [] }));
    metric.samples.push([labels, value]);
  }

  get text(): string {
    return [...this.metrics]
      .map(([name, { type, help, samples }]) =>
        [
          `# HELP ${PREFIX}${name} ${help}`,
          `# TYPE ${PREFIX}${name} ${type}`,
          ...samples.map(([labels, value]) => `${PREFIX}${name}{${inBraces(labels)}} ${value}`),
        ].join('\n'),
      )
      .join('\n')
      .concat('\n');
  }
}

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
const inBraces = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join();

export type Measured = (PolicyResult | TimedResult) & { readonly carried?: Carried };

export function prometheus(results: readonly Measured[]): string {
  const metrics = new Metrics();
  for (const result of results) {
    const { policy } = result;
    metrics.add('refusals_total', 'Times that a chosen host refused.', { policy }, result.refusals);
    metrics.add(
      'gpu_allocation_ratio',
      'GPUs allocated, of all; in time on average.',
      { policy },
      result.gpuAllocation / 100,
    );
    if ('startup' in result) inTime(metrics, result);
    else atOnce(metrics, result);
    if (!result.carried) continue;
    const { sampled, refused } = result.carried;
    metrics.add('carried_out_total', 'Placements carried out on emulated hosts.', { policy }, sampled);
    metrics.add('carried_out_refused_total', 'Placements that the kernel refused.', { policy }, refused);
  }
  return metrics.text;
}

function atOnce(metrics: Metrics, { policy, ...result }: PolicyResult): void {
  for (const state of ['placed', 'unschedulable', 'refused'] as const)
    metrics.add('pods', 'Pods by what became of them.', { policy, state }, result[state]);
  for (const [reason, pods] of Object.entries(result.reasons))
    metrics.add('unplaced_pods', 'Pods on no host, by what most hosts lack.', { policy, reason }, pods);
  metrics.add('cpu_allocation_ratio', 'Processors allocated, of all.', { policy }, result.cpuAllocation / 100);
  metrics.add('gpu_demand_ratio', 'GPUs asked for, of all.', { policy }, result.gpuDemand / 100);
  metrics.add('hosts_used', 'Hosts that have a pod.', { policy }, result.hostsUsed);
}

function inTime(metrics: Metrics, { policy, ...result }: TimedResult): void {
  metrics.add('pods', 'Pods by what became of them.', { policy, state: 'started' }, result.started);
  metrics.add('pods', 'Pods by what became of them.', { policy, state: 'waiting' }, result.waitingAtEnd);
  metrics.add('restarts_total', 'Pods that began again.', { policy }, result.restarts);
  metrics.add('migrations_total', 'Pods that moved.', { policy }, result.migrations);
  metrics.add('quarantined_total', 'Devices that failed their reset.', { policy }, result.quarantined);
  metrics.add('gpu_peak_ratio', 'The most GPUs allocated at once, of all.', { policy }, result.gpuPeak / 100);
  distribution(metrics, 'wait_seconds', 'From arrival to placement.', policy, result.wait);
  distribution(metrics, 'startup_seconds', 'From placement until the guest is ready.', policy, result.startup);
  for (const [part, seconds] of Object.entries(result.startupParts))
    metrics.add('startup_part_seconds', 'Mean of what a start spends its time on.', { policy, part }, seconds);
}

function distribution(metrics: Metrics, name: string, help: string, policy: string, of: Distribution): void {
  metrics.add(`${name}_mean`, `${help} Mean.`, { policy }, of.mean);
  for (const [quantile, field] of QUANTILES) metrics.add(name, help, { policy, quantile }, of[field]);
}

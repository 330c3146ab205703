/**
 * Two failures of schedulers that count devices, as clusters on which every policy is tried: GPUs stranded in IOMMU groups of others, and jobs that
 * want their GPUs on one NUMA node.
 */
import { drawArrivals } from './demand.js';
import { importNodes } from './import-nodes.js';
import { importPods } from './import-pods.js';
import { policies } from './policies/index.js';
import { Random } from './random.js';
import { gpuCapacity, run, type RunInput } from './run.js';
import { newKinds } from './shape.js';

export interface KnownFailure {
  readonly title: string;
  readonly about: string;
  readonly rows: readonly FailureRow[];
}

export interface FailureRow {
  readonly policy: string;
  /** It sees groups and NUMA nodes. */
  readonly sees: boolean;
  readonly placed: number;
  readonly pods: number;
  /** GPUs allocated, in percent. */
  readonly allocation: number;
  /** Of the pods that want several GPUs together, those on no host. */
  readonly rejected: number;
  /** Times that a chosen host refused. */
  readonly refusals: number;
}

const SEED = 7;
const HOSTS = 60;
const NODES = 'sn,cpu_milli,memory_mib,gpu,model,numa_nodes,per_group';
const PODS = 'name,cpu_milli,memory_mib,num_gpu,gpu_milli,passthrough,near';

interface Trial {
  readonly nodes: readonly string[];
  /** Pods with so many GPUs; `near` of those with 4. */
  readonly pods: readonly (readonly [gpus: number, count: number])[];
  readonly near: string;
  readonly demand: number;
  readonly retries: number;
}

function inputOf({ nodes, pods, near, demand, retries }: Trial): RunInput {
  const kinds = newKinds();
  const hosts = importNodes([NODES, ...nodes].join('\n'), 'nodes', kinds);
  const lines = pods.flatMap(([gpus, count]) =>
    Array.from({ length: count }, (_, i) => `gpus${gpus}-${i},4000,16384,${gpus},1000,1,${gpus === 4 ? near : ''}`),
  );
  const list = importPods([PODS, ...lines].join('\n'), 'pods', kinds);
  const random = new Random(SEED);
  const arrivals = drawArrivals(list, random, { share: demand, capacity: gpuCapacity(hosts) });
  const rank = Int32Array.from(hosts.names.keys());
  return { hosts, kinds, pods: list, arrivals, rank, seed: SEED, retries };
}

const rowsOf = (trial: Trial): FailureRow[] => {
  const input = inputOf(trial);
  return policies.map((policy) => {
    const made = run(input, policy);
    const { placed, pods, gpuAllocation, refusals } = made.tally();
    const rejected = [...made.decisions()].filter(({ pod, node }) => pod.startsWith('gpus4') && node === undefined);
    return {
      ...{ policy: policy.name, sees: policy.sight === 'topology', placed, pods, refusals },
      ...{ allocation: gpuAllocation, rejected: rejected.length },
    };
  });
};

const node = (i: number, numaNodes: number, perGroup: number): string =>
  `host${i},128000,1048576,8,H100,${numaNodes},${perGroup}`;

export const knownFailures = (): KnownFailure[] => [
  {
    title: 'GPUs stranded in IOMMU groups',
    about: `${HOSTS} hosts of 8 GPUs in groups of 1, 2 and 4; guests with 1, 2 and 4 GPUs passed through ask for 130 % of them. Every guest may try all hosts.`,
    rows: rowsOf({
      nodes: Array.from({ length: HOSTS }, (_, i) => node(i, 1, 2 ** Math.floor((3 * i) / HOSTS))),
      pods: [[1, 60], [2, 20], [4, 10]], // prettier-ignore
      ...{ near: '', demand: 1.3, retries: HOSTS },
    }),
  },
  {
    title: 'Jobs of 4 GPUs on one NUMA node',
    about: `${HOSTS} hosts of 2 x 4 H100; jobs of 1 to 4 GPUs ask for 95 % of them, and those of 4 want them on one NUMA node. A job that its host refuses is lost.`,
    rows: rowsOf({
      nodes: Array.from({ length: HOSTS }, (_, i) => node(i, 2, 1)),
      pods: [[1, 30], [2, 20], [3, 20], [4, 30]], // prettier-ignore
      ...{ near: 'numa', demand: 0.95, retries: 0 },
    }),
  },
];

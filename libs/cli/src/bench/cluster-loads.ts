/**
 * One load of `vfiolab bench cluster`, in a process of its own so that its memory and CPU are its own: reads what to do from
 * its argument, and prints one JSON line.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import {
  drawArrivals,
  gpuCapacity,
  type HostList,
  importNodes,
  importOrder,
  importPods,
  importRank,
  newKinds,
  policies,
  Random,
  run,
  type RunInput,
  type Shape,
} from '@vfiolab/cluster';

export interface LoadAsked {
  /** openb as it was recorded, openb's mix on so many hosts, or hosts of 16 devices with all constraints. */
  readonly kind: 'openb' | 'mix' | 'passthrough';
  readonly hosts: number;
  readonly policy: string;
}

export interface LoadDone {
  readonly pods: number;
  /** Of placing alone; of `openb` the whole process. */
  readonly cpuSeconds: number;
  readonly megabytes: number;
}

const read = (name: string): string =>
  gunzipSync(readFileSync(fileURLToPath(new URL(`../../../../test/cluster/${name}`, import.meta.url)))).toString();

function openb(): RunInput {
  const kinds = newKinds();
  const hosts = importNodes(read('openb-nodes.csv.gz'), 'nodes', kinds);
  const pods = importPods(read('openb-pods-default.csv.gz'), 'pods', kinds);
  const arrivals = importOrder(read('golden-default-130.csv.gz'), 'order', pods);
  return { kinds, hosts, pods, arrivals, rank: importRank(read('golden-rank.csv.gz'), 'rank', hosts), seed: 1 };
}

const repeated = (base: HostList, count: number): HostList => ({
  shapes: base.shapes,
  names: Array.from({ length: count }, (_, i) => `h${i}`),
  shapeOf: Uint16Array.from({ length: count }, (_, i) => base.shapeOf[i % base.names.length]!),
});

/** The openb pods as often as it takes, each a pod of its own. */
function mix(count: number): RunInput {
  const base = openb();
  const hosts = repeated(base.hosts, count);
  const random = new Random(1);
  const demand = { share: 1.3, capacity: gpuCapacity(hosts) };
  const rank = random.shuffle(Int32Array.from({ length: count }, (_, i) => i));
  return { ...base, hosts, arrivals: drawArrivals(base.pods, random, demand), rank };
}

/** Hosts of the run before the one that is measured: compiling is not placing. */
const WARM_UP = 1000;
const DEVICES = 16;
const COLUMNS = 'name,cpu_milli,memory_mib,num_gpu,gpu_milli,passthrough,near,pinned_mib,devices,huge';

/** 12 GPUs and 4 NICs, in groups of 1, 2 or 4, on 2 NUMA nodes with 2 switches each. */
function passthrough(count: number): RunInput {
  const kinds = newKinds();
  const nic = kinds.id('nic');
  const shapes = [1, 2, 4].map((perGroup): Shape => {
    const slots = Array.from({ length: DEVICES }, (_, i) => ({
      name: `device${i}`,
      kind: i % 4 === 3 ? nic : 0,
      units: 1000,
      group: Math.floor(i / perGroup),
      numa: i >> 3,
      switch: i >> 2,
      link: 0,
    }));
    const memory = [500_000, 500_000];
    return { name: `${perGroup}`, model: 'H100', cpuMilli: 192_000, memory, hugepages: memory, memlock: 1e9, slots };
  });
  const hosts = repeated({ shapes, names: ['a', 'b', 'c'], shapeOf: Uint16Array.of(0, 1, 2) }, count);
  const lines = [COLUMNS];
  for (const gpus of [1, 1, 2, 2, 3, 4, 6])
    for (const near of ['any', 'numa', gpus > 3 ? 'numa' : 'switch'])
      for (const devices of ['', 'nic*1'])
        for (const cpu of [4000, 8000])
          lines.push(
            `p${lines.length},${gpus * cpu},${gpus * 10_000},${gpus},1000,1,${near},${gpus * 8000},${devices},${lines.length % 2}`,
          );
  const pods = importPods(lines.join('\n'), 'pods', kinds);
  const random = new Random(1);
  const arrivals = drawArrivals(pods, random, { share: 1, capacity: gpuCapacity(hosts) });
  return { kinds, hosts, pods, arrivals, rank: Int32Array.from({ length: count }, (_, i) => i), seed: 1 };
}

function measure({ kind, hosts, policy }: LoadAsked): LoadDone {
  const made = policies.find(({ name }) => name === policy)!;
  const inputOf = (count: number): RunInput => (kind === 'mix' ? mix(count) : passthrough(count));
  if (kind !== 'openb') run(inputOf(WARM_UP), made);
  const input = kind === 'openb' ? openb() : inputOf(hosts);
  const before = kind === 'openb' ? undefined : process.cpuUsage();
  run(input, made);
  const { user, system } = process.cpuUsage(before);
  const megabytes = process.resourceUsage().maxRSS / 1024;
  return { pods: input.arrivals.pods.length, cpuSeconds: (user + system) / 1e6, megabytes };
}

console.log(JSON.stringify(measure(JSON.parse(process.argv[2]!) as LoadAsked)));

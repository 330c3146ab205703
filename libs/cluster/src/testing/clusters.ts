/** Small clusters for tests. */
import { drawArrivals } from '../demand.js';
import type { HostList } from '../import-nodes.js';
import { importPods } from '../import-pods.js';
import { Random } from '../random.js';
import { gpuCapacity, type RunInput } from '../run.js';
import { GPU, MILLI, newKinds, type Shape } from '../shape.js';

/** GPUs in groups, NUMA nodes and switches of equal size. */
export function gpuShape(
  name: string,
  gpus: number,
  { perGroup = 1, numaNodes = 1, perSwitch = gpus, more = {} as Partial<Shape> } = {},
): Shape {
  return {
    name,
    model: 'H100',
    cpuMilli: 128_000,
    memory: Array.from({ length: numaNodes }, () => 500_000),
    hugepages: Array.from({ length: numaNodes }, () => 0),
    memlock: 400_000,
    slots: Array.from({ length: gpus }, (_, i) => ({
      name: `gpu${i}`,
      kind: GPU,
      units: MILLI,
      group: Math.floor(i / perGroup),
      numa: Math.floor((i * numaNodes) / gpus),
      switch: Math.floor(i / perSwitch),
      link: 0,
    })),
    ...more,
  };
}

/** `counts` hosts of each shape. */
export function hostsOf(shapes: readonly Shape[], counts: readonly number[]): HostList {
  const shapeOf = counts.flatMap((count, shape) => Array.from({ length: count }, () => shape));
  return {
    shapes,
    names: shapeOf.map((shape, i) => `${shapes[shape]!.name}-${i}`),
    shapeOf: Uint16Array.from(shapeOf),
  };
}

export const COLUMNS =
  'name,cpu_milli,memory_mib,num_gpu,gpu_milli,passthrough,near,pinned_mib,devices,huge,whole_group';

/** `times` pods that pass through `gpus` GPUs each. */
export const podLines = (times: number, gpus: number, near: string): string[] =>
  Array.from({ length: times }, (_, i) => `${near}-${gpus}-${i},4000,1000,${gpus},1000,1,${near},0,,0,0`);

/** All pods, shuffled; with `demand` as many as that. */
export function runInput(
  hosts: HostList,
  lines: readonly string[],
  demand?: number,
  retries = 0,
  columns = COLUMNS,
): RunInput {
  const kinds = newKinds();
  const pods = importPods([columns, ...lines].join('\n'), 'pods.csv', kinds);
  const random = new Random(7);
  const arrivals = drawArrivals(pods, random, demand ? { share: demand, capacity: gpuCapacity(hosts) } : undefined);
  const rank = Int32Array.from(hosts.names.keys());
  return { hosts, kinds, pods, arrivals, rank, seed: 7, retries };
}

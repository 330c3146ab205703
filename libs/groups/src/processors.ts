/**
 * Processors and NUMA nodes, as tools read them in /sys: which node a function is near.
 *
 * Rule: descriptions of machines name the node of each function and nothing of processors, so every node that is named has
 * one processor, numbered in the order of the nodes; a machine without nodes has one. A function of no node is near to all.
 */
import type { PciFunction, Topology } from '@vfiolab/pci';
import { type DirNode, fixedDir, link, listDir, type Node, text } from './nodes.js';

/** The machine's nodes in their order; none: it is one whole. */
function nodesOf({ functions }: Topology): number[] {
  const named = functions.flatMap(({ numaNode }) => (numaNode === null ? [] : [numaNode]));
  return [...new Set(named)].sort((a, b) => a - b);
}

const processors = (topology: Topology): number[] => [...(nodesOf(topology).length ? nodesOf(topology) : [0]).keys()];

/** `0-3`, `1`, `0,2`: as the kernel prints lists of numbers. */
export function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const n of numbers) {
    const last = runs.at(-1);
    if (last && last[1] === n - 1) last[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(',');
}

/** A mask of bits in words of 32, the highest first: `3`, `1,00000000`. */
export function mask(numbers: readonly number[]): string {
  const words = Array.from({ length: Math.floor((numbers.at(-1) ?? 0) / 32) + 1 }, () => 0);
  for (const n of numbers) words[n >>> 5]! |= 1 << (n & 31);
  return words
    .reverse()
    .map((word, i) => (word >>> 0).toString(16).padStart(i === 0 ? 1 : 8, '0'))
    .join(',');
}

/** Files of a function's directory. */
export function nearFiles(topology: Topology, { numaNode }: PciFunction): Record<string, () => Node> {
  const near = (): number[] => (numaNode === null ? processors(topology) : [nodesOf(topology).indexOf(numaNode)]);
  return { local_cpulist: () => text(() => ranges(near())), local_cpus: () => text(() => mask(near())) };
}

/** /sys/devices/system. */
export const machineDir = (topology: Topology): DirNode =>
  fixedDir({
    cpu: () => cpusDir(topology),
    node: () => (nodesOf(topology).length ? nodesDir(topology) : undefined),
  });

const list = (numbers: readonly number[]) => () => text(() => ranges(numbers));

function cpusDir(topology: Topology): DirNode {
  const cpus = processors(topology);
  const lists = fixedDir({ online: list(cpus), possible: list(cpus), present: list(cpus) });
  return numbered('cpu', cpus, lists, (cpu) => cpuDir(cpu));
}

/** Each is a package of one core with one thread. */
const cpuDir = (cpu: number): DirNode => {
  const alone = { mask: () => text(() => mask([cpu])), list: list([cpu]) };
  return fixedDir({
    topology: () =>
      fixedDir({
        core_cpus: alone.mask,
        core_cpus_list: alone.list,
        core_id: () => text(() => '0'),
        package_cpus: alone.mask,
        package_cpus_list: alone.list,
        physical_package_id: () => text(() => String(cpu)),
      }),
  });
};

function nodesDir(topology: Topology): DirNode {
  const nodes = nodesOf(topology);
  const lists = fixedDir({ has_cpu: list(nodes), online: list(nodes), possible: list(nodes) });
  return numbered('node', nodes, lists, (node) => {
    const cpu = nodes.indexOf(node);
    return fixedDir({
      cpulist: list([cpu]),
      cpumap: () => text(() => mask([cpu])),
      [`cpu${cpu}`]: () => link(`../../cpu/cpu${cpu}`, () => cpuDir(cpu)),
    });
  });
}

/** A directory with `NAME<n>` for each number, and files. */
const numbered = (name: string, numbers: readonly number[], files: DirNode, dir: (n: number) => DirNode): DirNode =>
  listDir(
    () => [...files.names(), ...numbers.map((n) => `${name}${n}`)],
    (wanted) => {
      const n = numbers.find((each) => wanted === `${name}${each}`);
      return n === undefined ? files.child(wanted) : dir(n);
    },
  );

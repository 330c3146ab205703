/**
 * Where the directories of functions lie in /sys/devices: below their bridges, root buses and host bridges.
 *
 * Rule: a machine's branches are made once, for they follow from its topology, which never changes.
 */
import type { PciFunction, Topology } from '@vfiolab/pci';
import { devicePath } from './host-topology.js';

export interface Branch {
  /** By name, in address order. */
  readonly below: ReadonlyMap<string, Branch>;
}

interface Growing extends Branch {
  readonly below: Map<string, Growing>;
}

interface Tree {
  readonly root: Growing;
  readonly of: ReadonlyMap<string, Branch>;
}

const known = new WeakMap<Topology, Tree>();

/** What is in /sys/devices. */
export const deviceBranches = (topology: Topology): Branch => treeOf(topology).root;

const NOTHING: Branch = { below: new Map() };

/** What is in a function's own directory; nothing, when it has gone. */
export const branchOf = (topology: Topology, { bdf }: PciFunction): Branch => treeOf(topology).of.get(bdf) ?? NOTHING;

function treeOf(topology: Topology): Tree {
  const had = known.get(topology);
  if (had) return had;
  const root: Growing = { below: new Map() };
  const of = new Map(topology.functions.map((f) => [f.bdf, grow(root, devicePath(topology, f))]));
  const tree = { root, of };
  known.set(topology, tree);
  return tree;
}

/** The branch at a path `devices/...`. */
function grow(root: Growing, path: string): Growing {
  let at = root;
  for (const name of path.split('/').slice(1)) {
    const next = at.below.get(name) ?? { below: new Map<string, Growing>() };
    at.below.set(name, next);
    at = next;
  }
  return at;
}

/**
 * Which functions of a machine have a way to each other beside the bus: a PF and its VFs inside of their card, and those that send
 * each other frames.
 *
 * Words: a *network* joins the ports of the functions that name it, as a hub does. VFs have no port on it: they share their PF's.
 */
import { formatBdf } from './bdf.js';
import { LIMITS } from './limits.js';
import type { PciFunction } from './pci-function.js';
import type { Topology } from './topology.js';
import { TopologyError } from './topology-error.js';
import { vfAddress } from './virtual-functions.js';

export interface Wiring {
  readonly connected: boolean;
  /** The functions at the end of each way: the network; then, of a PF, each VF; of a VF only its PF. */
  readonly ports: string[][];
  readonly vf: number | undefined;
}

/** Undefined: the function has no way to another. */
export function wiringOf(topology: Topology, f: PciFunction): Wiring | undefined {
  if (f.vfOf !== null) return wiringOfVf(topology.get(f.vfOf), f);
  if (f.network === null && f.sriov === null) return undefined;
  const peers = f.network === null ? [] : onNetwork(topology.functions, f.network).filter((bdf) => bdf !== f.bdf);
  return { connected: f.network !== null, ports: [peers, ...vfsOf(f).map((bdf) => [bdf])], vf: undefined };
}

function wiringOfVf(pf: PciFunction | undefined, f: PciFunction): Wiring | undefined {
  const vf = pf ? vfsOf(pf).indexOf(f.bdf) : -1;
  return !pf || vf < 0 ? undefined : { connected: pf.network !== null, ports: [[pf.bdf]], vf };
}

/** Those that the PF has ways to, switched on or not. */
const vfsOf = (pf: PciFunction): string[] =>
  Array.from({ length: Math.min(pf.sriov?.totalVfs ?? 0, LIMITS.vfPorts) }, (_, n) => formatBdf(vfAddress(pf, n)));

/** Functions with a port on the network, by address. */
const onNetwork = (functions: readonly PciFunction[], name: string): string[] =>
  functions
    .filter(({ network, isVf }) => network === name && !isVf)
    .map(({ bdf }) => bdf)
    .sort();

/** Throws TopologyError: more functions on a network than it joins. */
export function checkNetworks({ functions }: Topology): void {
  for (const name of new Set(functions.flatMap(({ network }) => network ?? []))) {
    const count = onNetwork(functions, name).length;
    if (count <= LIMITS.ports) continue;
    const what = `The network "${name}" has ${count} functions; at most ${LIMITS.ports} are joined`;
    throw new TopologyError(what, { path: 'functions' }, 'Give some of them a network of their own.');
  }
}

/**
 * AtomicOps: which of them a function may send to the memory behind its root port. [pci.c pci_enable_atomic_ops_to_root]
 *
 * Words: *sizes* are bits: 1 = 32, 2 = 64, 4 = 128 bits. A port *routes* AtomicOps, and may *block* them on their way up.
 * Rule: read from the dumped capabilities of every port on the way; a port whose config space nobody dumped does nothing.
 */
import { standardCaps } from './config-space.js';
import type { PciFunction } from './pci-function.js';
import type { Topology } from './topology.js';

const EXPRESS = 0x10;
/** Of the PCI Express capability. */
const [FLAGS, DEVICE_CAP_2, DEVICE_CONTROL_2] = [0x02, 0x24, 0x28];
const VERSION = 0xf;
const ROUTES = 0x40;
/** In the second capability register: the three sizes that a function can complete. */
const COMPLETES_SHIFT = 7;
const ALL_SIZES = 7;
const [MAY_SEND, BLOCKED] = [0x40, 0x80];

interface Express2 {
  readonly capability: number;
  readonly control: number;
}
const NONE: Express2 = { capability: 0, control: 0 };

/** The second set of device registers, which version 1 of the capability has not got. */
function express2({ config }: PciFunction): Express2 {
  const at = config && standardCaps(config).find(({ id }) => id === EXPRESS)?.offset;
  if (!config || typeof at !== 'number' || at + DEVICE_CONTROL_2 + 2 > config.length) return NONE;
  const read16 = (offset: number): number => config[at + offset]! | (config[at + offset + 1]! << 8);
  return (read16(FLAGS) & VERSION) < 2 ? NONE : { capability: read16(DEVICE_CAP_2), control: read16(DEVICE_CONTROL_2) };
}

const completes = (f: PciFunction): number => (express2(f).capability >> COMPLETES_SHIFT) & ALL_SIZES;

const REQUESTERS: ReadonlySet<string | null> = new Set(['endpoint', 'legacy_endpoint', 'rciep']);

/** Sizes that the function itself completes, and that reach a root port which completes them. A VF has its PF's. */
export function atomicOps(topology: Topology, f: PciFunction): number {
  const pf = f.isVf ? topology.get(f.vfOf ?? '') : f;
  if (!pf || !REQUESTERS.has(pf.pcieType)) return 0;
  const above = topology.bridgesAbove(pf);
  const root = above.findIndex(({ pcieType }) => pcieType === 'root_port');
  // A root port that nobody shows: whoever switched the function on has seen to it.
  if (root < 0) return express2(pf).control & MAY_SEND ? completes(pf) : 0;
  return above.slice(0, root).every(letsPass) ? completes(pf) & completes(above[root]!) : 0;
}

function letsPass(port: PciFunction): boolean {
  if (port.pcieType !== 'upstream' && port.pcieType !== 'downstream') return true;
  const { capability, control } = express2(port);
  return (capability & ROUTES) !== 0 && !(port.pcieType === 'upstream' && (control & BLOCKED) !== 0);
}

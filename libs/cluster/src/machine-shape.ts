/**
 * The shape of a real machine: its PCI functions as lspci or a fixture tells them, in the IOMMU groups that the kernel makes.
 *
 * Rule: a function is a device to give away when people pass such functions through: GPUs and accelerators, network and
 * InfiniBand, NVMe. The VFs of one PF are one slot with as many units; such a PF stays with its host.
 */
import { classOf, computeGroups, type PciFunction, type Topology } from '@vfiolab/pci';
import { InputError } from './input-error.js';
import { LIMITS } from './limits.js';
import { MILLI, type Names, type Shape, type Slot } from './shape.js';

/** Kinds by PCI base class and sub-class. */
const KINDS = new Map([
  [0x0300, 'gpu'],
  [0x0302, 'gpu'],
  [0x0380, 'gpu'],
  [0x1200, 'gpu'],
  [0x0200, 'nic'],
  [0x0207, 'nic'],
  [0x0108, 'nvme'],
]);
/** Makers of graphics for a server's console: ASPEED and Matrox. */
const CONSOLES = new Set([0x1a03, 0x102b]);

/** Throws InputError when the machine has more devices than a host may have. */
export function machineShape(name: string, topology: Topology, kinds: Names): Pick<Shape, 'memory' | 'slots'> {
  const groups = new Map<string, number>();
  for (const { id, devices } of computeGroups(topology)) for (const bdf of devices) groups.set(bdf, id);
  const given = topology.functions.filter((f) => groups.has(f.bdf) && kindOf(f) !== undefined && !f.isVf);
  if (given.length > LIMITS.devices) throw new InputError(`has more than ${LIMITS.devices} devices`, { file: name });
  const switches = new Map<string, number>();
  const nodes = Math.max(0, ...topology.functions.map(({ numaNode }) => numaNode ?? 0)) + 1;
  if (nodes > LIMITS.numaNodes) throw new InputError(`has more than ${LIMITS.numaNodes} NUMA nodes`, { file: name });
  const slots: Slot[] = given.map((f) => {
    const above = switchOf(topology, f);
    if (!switches.has(above)) switches.set(above, switches.size);
    const vfs = f.sriov?.numVfs ?? 0;
    const kind = vfs > 0 ? 'vf' : kindOf(f)!;
    return {
      name: f.bdf,
      kind: kinds.id(kind),
      units: vfs > 0 ? Math.min(vfs, LIMITS.units) : MILLI,
      group: groups.get(f.bdf)!,
      numa: Math.max(0, f.numaNode ?? 0),
      switch: switches.get(above)!,
      link: -1,
    };
  });
  return { memory: Array.from({ length: nodes }, () => 0), slots };
}

function kindOf(f: PciFunction): string | undefined {
  const code = classOf(f);
  return code === null || CONSOLES.has(f.vendor ?? 0) ? undefined : KINDS.get(code);
}

/** The PCIe switch nearest to the root that a function is behind; without one, its root port, or itself. */
function switchOf(topology: Topology, f: PciFunction): string {
  const above = topology.bridgesAbove(f);
  return (above.findLast(({ pcieType }) => pcieType === 'upstream') ?? above.at(-1) ?? f).bdf;
}

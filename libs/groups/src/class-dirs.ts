/**
 * /sys/class: one directory for each class of devices that the kernel has.
 *
 * Rule: classes of devices that the lab does not model are there and empty.
 */
import type { PciFunction, Topology } from '@vfiolab/pci';
import type { Host } from './host.js';
import { classNames } from './kernel-build.js';
import { type DirNode, fixedDir, link, listDir, type Node } from './nodes.js';

const EMPTY = fixedDir({});

/** `modelled`: the classes with something in them. */
export function classTree(host: Host, modelled: Readonly<Record<string, () => Node>>): DirNode {
  const known = fixedDir({ iommu: () => iommuClass(host), ...modelled });
  const classes = classNames(host.profile, host.setup);
  return listDir(
    () => [...classes],
    (name) => (classes.includes(name) ? (known.child(name) ?? EMPTY) : undefined),
  );
}

/** The IOMMUs. Their own directories are not modelled. */
function iommuClass({ iommu: { unit }, topology }: Host): DirNode {
  const names = unit ? numbersOf(unit.many, topology).map((number) => unit.name + number) : [];
  return listDir(
    () => names,
    (name) =>
      names.includes(name) ? link(`../../devices/${unit!.parent(name)}/iommu/${name}`, () => EMPTY) : undefined,
  );
}

/** The link from a function's directory to its IOMMU, of machines that have one of it. `up`: to /sys. */
export function iommuLink({ iommu: { unit }, topology }: Host, f: PciFunction, up: string): Node | undefined {
  if (!unit || unit.many === false) return undefined;
  const numbers = numbersOf(unit.many, topology);
  const number = unit.many === 'domains' ? f.bdf.slice(0, f.bdf.indexOf(':')) : numbers.length === 1 ? '0' : undefined;
  if (number === undefined) return undefined;
  const name = unit.name + number;
  return link(`${up.slice('../'.length)}${unit.parent(name)}/iommu/${name}`, () => EMPTY);
}

function numbersOf(many: false | 'units' | 'domains', { unitOrder, functions }: Topology): string[] {
  if (many === 'domains') return [...new Set(functions.map(({ domain }) => domain.toString(16).padStart(4, '0')))];
  const count = many === 'units' ? Math.max(1, unitOrder.length) : 1;
  return Array.from({ length: count }, (_, n) => String(n));
}

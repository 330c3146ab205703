/**
 * /sys/class: one directory for each class of devices that the kernel has.
 *
 * Rule: classes of devices that the lab does not model are there and empty.
 */
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
  const count = unit?.many ? Math.max(1, topology.unitOrder.length) : 1;
  const names = unit ? Array.from({ length: count }, (_, n) => `${unit.name}${n}`) : [];
  return listDir(
    () => names,
    (name) =>
      names.includes(name) ? link(`../../devices/${unit!.parent(name)}/iommu/${name}`, () => EMPTY) : undefined,
  );
}

/**
 * Paths whose numbers are known only on the running host.
 *
 * Rule: what cannot be resolved becomes a name that does not exist, so the call answers ENOENT as it would on a machine.
 */
import type { Process } from '@vfiolab/client';

const devicePath = (bdf: string): string => `/sys/bus/pci/devices/${bdf}`;

async function groupOf(process: Process, bdf: string): Promise<string> {
  const link = await process.readlink(`${devicePath(bdf)}/iommu_group`);
  return link.ok ? link.value.slice(link.value.lastIndexOf('/') + 1) : 'NOGROUP';
}

async function cdevOf(process: Process, bdf: string): Promise<string> {
  const names = await process.listdir(`${devicePath(bdf)}/vfio-dev`);
  return (names.ok && names.value[0]) || 'NOCDEV';
}

/** Replaces {cdev:BDF} and {group:BDF}. */
export async function resolvePath(process: Process, path: string): Promise<string> {
  let resolved = '';
  let rest = path;
  for (let match = PLACE.exec(rest); match; match = PLACE.exec(rest)) {
    const name = match[1] === 'cdev' ? await cdevOf(process, match[2]!) : await groupOf(process, match[2]!);
    resolved += rest.slice(0, match.index) + name;
    rest = rest.slice(match.index + match[0].length);
  }
  return resolved + rest;
}

const PLACE = /\{(cdev|group):([^{}]*)\}/;

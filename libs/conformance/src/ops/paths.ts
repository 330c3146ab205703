/**
 * Paths with `{group:BDF}` and `{cdev:BDF}`: what a program would find out in sysfs before it opens a node.
 *
 * Rule: it is found out with the same system calls. A device that has no such name gives a path that nothing has.
 */
import type { Process } from '@vfiolab/client';

const devicePath = (device: string): string => (device.startsWith('/') ? device : `/sys/bus/pci/devices/${device}`);

async function groupOf(process: Process, device: string): Promise<string> {
  const target = await process.readlink(`${devicePath(device)}/iommu_group`);
  return target.ok ? target.value.slice(target.value.lastIndexOf('/') + 1) : 'NOGROUP';
}

async function cdevOf(process: Process, device: string): Promise<string> {
  const names = await process.listdir(`${devicePath(device)}/vfio-dev`);
  return (names.ok ? names.value[0] : undefined) ?? 'NOCDEV';
}

export async function expandPath(process: Process, path: string): Promise<string> {
  let expanded = path;
  for (const [whole, kind, device] of path.matchAll(/\{(group|cdev):([^}]+)\}/g)) {
    const name = kind === 'group' ? await groupOf(process, device!) : await cdevOf(process, device!);
    expanded = expanded.replace(whole, name);
  }
  return expanded;
}

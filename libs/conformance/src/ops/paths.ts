/**
 * Paths with `{group:BDF}` and `{cdev:BDF}`: what a program would find out in sysfs before it opens a node; and with
 * `{var:name}`: a number that it knows.
 *
 * Rule: it is found out with the same system calls. A device that has no such name gives a path that nothing has.
 */
import type { Process } from '@vfiolab/client';
import type { Task } from '../program.js';

const devicePath = (device: string): string => (device.startsWith('/') ? device : `/sys/bus/pci/devices/${device}`);

async function groupOf(process: Process, device: string): Promise<string> {
  const target = await process.readlink(`${devicePath(device)}/iommu_group`);
  return target.ok ? target.value.slice(target.value.lastIndexOf('/') + 1) : 'NOGROUP';
}

async function cdevOf(process: Process, device: string): Promise<string> {
  const names = await process.listdir(`${devicePath(device)}/vfio-dev`);
  return (names.ok ? names.value[0] : undefined) ?? 'NOCDEV';
}

async function nameOf({ process, variables }: Task, kind: string, of: string): Promise<string> {
  if (kind === 'var') return String(variables.get(of));
  return kind === 'group' ? groupOf(process, of) : cdevOf(process, of);
}

export async function expandPath(task: Task, path: string): Promise<string> {
  let expanded = path;
  for (const [whole, kind, of] of path.matchAll(/\{(group|cdev|var):([^}]+)\}/g))
    expanded = expanded.replace(whole, await nameOf(task, kind!, of!));
  return expanded;
}

/**
 * Which instance each host of a lab goes to.
 *
 * Rule: a host that says where it runs goes there; one that runs stays; the others go, in the order of the file, where the
 * fewest hosts are in proportion to the room. The same plan and placements give the same answer.
 */
import type { LabPlan } from '@vfiolab/scenario';

export interface Placed {
  readonly host: string;
  /** Empty: nowhere. */
  readonly instance: string;
  readonly epoch: number;
}

/** Instance by host, for every host of the plan, which has room for all of them. */
export function spread(
  { instances, hosts }: Pick<LabPlan, 'instances' | 'hosts'>,
  now: readonly Placed[],
): Map<string, string> {
  const free = new Map(instances.map(({ name, hosts: room }) => [name, room]));
  const where = new Map<string, string>();
  const put = (host: string, instance: string): void => {
    where.set(host, instance);
    free.set(instance, free.get(instance)! - 1);
  };
  for (const { name, instance } of hosts) if (instance !== undefined) put(name, instance);
  const running = new Map(now.map(({ host, instance }) => [host, instance]));
  for (const { name } of hosts) {
    const instance = running.get(name);
    if (!where.has(name) && instance !== undefined && (free.get(instance) ?? 0) > 0) put(name, instance);
  }
  const share = (instance: string, room: number): number => free.get(instance)! / room;
  for (const { name } of hosts) {
    if (where.has(name)) continue;
    const emptiest = instances.reduce((a, b) => (share(b.name, b.hosts) > share(a.name, a.hosts) ? b : a));
    put(name, emptiest.name);
  }
  return where;
}

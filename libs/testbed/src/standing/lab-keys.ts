/**
 * Who may do what on the NATS server of a lab that has one of its own.
 *
 * Words: the *operator* is the process that keeps the lab. Clients are those that the plan names.
 * Rule: a process of an instance may speak as its service on every host of the lab and answer operators of its instance;
 * a client may speak as itself on every host. Nobody gets in without a key.
 */
import { join } from 'node:path';
import { clientAddress, LAB } from '@vfiolab/core';
import type { LabPlan } from '@vfiolab/scenario';
import {
  clientPermissions,
  guardConfig,
  KeyFolder,
  type NatsUser,
  operatorPermissions,
  type Permissions,
  servicePermissions,
} from '@vfiolab/shell';
import { PROCESSES } from '../service-processes.js';

export const OPERATOR_KEY = 'operator';
export const serviceKey = (instance: string, service: string): string => `${instance}.${service}`;
export const clientKey = (client: string): string => `client.${client}`;

export const keysOf = ({ data }: LabPlan): KeyFolder => new KeyFolder(join(data, 'keys'));

/**
 * The server's configuration for a plan, and for instances that have not ended yet. `registry`: the instance whose only
 * service knows the placements.
 */
export function guardOf(plan: LabPlan, registry: string, ending: Iterable<string> = []): string {
  const instances = [...new Set([...plan.instances.map(({ name }) => name), ...ending])];
  const keys = keysOf(plan);
  const scope = { tenant: plan.tenant, lab: plan.name, host: registry };
  const user = (name: string, permissions: Permissions): NatsUser => ({ key: keys.publicOf(name), permissions });
  return guardConfig({
    [plan.tenant]: [
      user(OPERATOR_KEY, operatorPermissions(scope)),
      user(serviceKey(registry, LAB), servicePermissions(scope, LAB)),
      ...instances.flatMap((name) =>
        PROCESSES.map((service) =>
          user(serviceKey(name, service), servicePermissions({ ...scope, host: name }, service, 'lab')),
        ),
      ),
      ...plan.clients.map((name) => user(clientKey(name), clientPermissions(scope, clientAddress(name), 'lab'))),
    ],
  });
}

/**
 * What a lab that stays is doing: what is where, and what is wrong.
 *
 * Rule: everybody is asked now, at the same time; who does not answer is a problem and keeps nobody from being shown.
 */
import { type ActorStatus, type NatsBus } from '@vfiolab/shell';
import { problemsOf } from '../attach.js';
import { PROCESSES } from '../service-processes.js';
import type { ProcessStatus } from './instance.js';
import type { StandingLab } from './standing-lab.js';

export interface HostStatus {
  readonly name: string;
  readonly machine: string;
  readonly instance: string;
  /** Of its placement. */
  readonly epoch: number;
  readonly actors: number;
  readonly serving: number;
  /** Inputs that its services have taken. */
  readonly inputs: number;
  readonly inFlight: number;
  readonly problems: readonly string[];
}

export interface InstanceStatus {
  readonly name: string;
  readonly hosts: number;
  readonly room: number;
  readonly processes: readonly ProcessStatus[];
  readonly problems: readonly string[];
}

export interface LabStatus {
  readonly name: string;
  readonly tenant: string;
  readonly nats: string;
  /** Of the server, when it is the lab's own. */
  readonly natsPid?: number | undefined;
  /** Of the process that keeps the lab. */
  readonly pid: number;
  readonly data: string;
  readonly instances: readonly InstanceStatus[];
  readonly hosts: readonly HostStatus[];
}

/** Longer than a pause for a snapshot, shorter than the patience of who asks, ms. */
const ASK_MS = 2000;

export async function statusOf(lab: StandingLab): Promise<LabStatus> {
  const { plan } = lab;
  const placements = await lab.placements();
  const instances = [...lab.instances.values()].map((instance): InstanceStatus => {
    const processes = instance.status();
    const hosts = placements.filter(({ instance: at }) => at === instance.name).length;
    return { name: instance.name, hosts, room: instance.config.hosts - 1, processes, problems: troubles(processes) };
  });
  const hosts = await Promise.all(
    plan.hosts.map(async ({ name, spec }): Promise<HostStatus> => {
      const placed = placements.find(({ host }) => host === name);
      const { instance, epoch } = placed ?? { instance: '', epoch: 0 };
      const base = { name, machine: spec.machine, instance, epoch };
      const serving = lab.instances.get(instance);
      if (!serving)
        return { ...base, actors: 0, serving: 0, inputs: 0, inFlight: 0, problems: ['no instance serves it'] };
      const answers = await Promise.all(PROCESSES.map((service) => ask(serving.bus, service, name)));
      const states = answers.flatMap(({ states: of }) => of);
      return {
        ...base,
        actors: states.length,
        serving: states.filter(({ state }) => state === 'serving').length,
        inputs: states.reduce((sum, { seq }) => sum + seq, 0),
        inFlight: states.reduce((sum, { inFlight }) => sum + inFlight, 0),
        problems: [...answers.flatMap(({ problem }) => problem), ...states.flatMap(problemsOf)],
      };
    }),
  );
  const { name, tenant, data } = plan;
  return { name, tenant, nats: lab.url, natsPid: lab.serverPid, pid: process.pid, data, instances, hosts };
}

const troubles = (processes: readonly ProcessStatus[]): string[] =>
  processes.flatMap(({ service, running, lastEnd }) => (running ? [] : [`${service} is not running: ${lastEnd}`]));

async function ask(
  bus: NatsBus,
  service: string,
  host: string,
): Promise<{ states: readonly ActorStatus[]; problem: readonly string[] }> {
  try {
    return { states: (await bus.control(service, 'status', { host }, ASK_MS)) as ActorStatus[], problem: [] };
  } catch (e) {
    return { states: [], problem: [`${service} does not answer: ${(e as Error).message}`] };
  }
}

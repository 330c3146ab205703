/**
 * A host whose services somebody else runs: containers, an orchestrator, a lab that stays.
 *
 * Rule: nothing of the host is started or ended here. What ends is this visit: its links are closed, and the services are
 * asked what is wrong.
 */
import type { CrashPlan, Environment, RunEnd } from '@vfiolab/scenario';
import { type ActorStatus, NatsBus, type Scope } from '@vfiolab/shell';
import { NatsEnvironment } from './nats-environment.js';
import { devicesOf, PROCESSES } from './service-processes.js';

export interface AttachOptions extends Scope {
  readonly url: string;
  /** How a service of the host is killed and brought back; undefined: the visitor cannot. */
  readonly crash?: (plan: CrashPlan) => Promise<void>;
  /** How long the server may take for the first answer, ms. */
  readonly connectMs?: number;
}

/** Throws when there is no server, or when a service of the host does not answer. */
export async function attachNats({ crash, ...options }: AttachOptions): Promise<Environment> {
  const bus = await NatsBus.connect({ ...options, name: 'vfiolab visitor' });
  const { host } = options;
  try {
    await statesOf(bus, host);
  } catch (e) {
    await bus.close();
    throw new Error(`host ${host} of lab ${options.tenant}/${options.lab} does not answer: ${(e as Error).message}`, {
      cause: e,
    });
  }
  return new NatsEnvironment(bus, {
    devices: () => devicesOf(bus, host),
    crash,
    ask: (service, pattern, data) => bus.control(service, pattern, { ...data, host }),
    mended: () => Promise.resolve(),
    end: async (): Promise<RunEnd> => {
      const broken = (await statesOf(bus, host)).flatMap(problemsOf);
      await bus.close();
      return { actors: [], broken };
    },
  });
}

/** All actors of a host, as the processes of its services tell. */
export async function statesOf(bus: NatsBus, host: string): Promise<ActorStatus[]> {
  const states = await Promise.all(PROCESSES.map((service) => bus.control(service, 'status', { host })));
  return states.flat() as ActorStatus[];
}

/** What is wrong with an actor, in words. */
export const problemsOf = ({ address, state, broken }: ActorStatus): string[] =>
  state === 'serving' ? [...broken] : [`${address} is ${state}`, ...broken];

/**
 * An operator of a lab that somebody else has started on NATS: for its fault plan, and nothing else.
 *
 * Words: a lab's *url* is `nats://HOST:PORT/TENANT/LAB/HOST`: its server, and the one host that is meant.
 * Rule: it leaves nothing behind in the lab but the rules that it was told to leave.
 */
import { randomBytes } from 'node:crypto';
import { clientAddress, LAB, labApi, type RawRules, type RuleStatus } from '@vfiolab/core';
import { OPERATOR, PlanRun } from '@vfiolab/scenario';
import { isToken, NatsBus, type Scope } from '@vfiolab/shell';
import { NatsEnvironment } from './nats-environment.js';
import { devicesOf } from './service-processes.js';

const CONNECT_MS = 3000;
/** A service that does not answer for so long is away, ms. */
const ASK_MS = 5000;

export interface FaultOperator {
  /** Begins rules; those that break a device too. Rejects with what is wrong. */
  add(rules: RawRules): Promise<void>;
  /** All when none are named. */
  clear(names: readonly string[]): Promise<void>;
  release(names: readonly string[]): Promise<void>;
  /** The rules that there are, and the devices that this operator has broken. */
  status(): Promise<RuleStatus[]>;
  close(): Promise<void>;
}

/** Throws an Error for people when it is no such url. */
export function parseLabUrl(text: string): { nats: string; scope: Scope } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const [tenant = '', lab = '', host = '', ...more] = url?.pathname.split('/').slice(1) ?? [];
  if (!url || !/^(nats|tls):$/.test(url.protocol) || ![tenant, lab, host].every(isToken) || more.length > 0)
    throw new Error(`${JSON.stringify(text)} is no lab. Give nats://SERVER:PORT/TENANT/LAB/HOST, as the run shows it.`);
  const user = url.username === '' ? '' : `${url.username}:${url.password}@`;
  return { nats: `${url.protocol}//${user}${url.host}`, scope: { tenant, lab, host } };
}

export interface FaultOperatorOptions {
  readonly url: string;
  /** Instance of the services that has the host, in a lab that stays; left out: the host has services of its own. */
  readonly instance?: string | undefined;
  /** File with the operator's key, when the server asks for one. */
  readonly keyFile?: string | undefined;
}

/** Rejects when there is no server. */
export async function faultOperator({ url, instance, keyFile }: FaultOperatorOptions): Promise<FaultOperator> {
  const { nats, scope } = parseLabUrl(url);
  const desk = { ...scope, host: instance ?? scope.host };
  const bus = await NatsBus.connect({ ...desk, url: nats, keyFile, name: 'vfiolab fault', connectMs: CONNECT_MS });
  const environment = new NatsEnvironment(bus.forHost(scope.host), {
    devices: () => devicesOf(bus, scope.host),
    crash: undefined,
    ask: (service, pattern, data) => bus.control(service, pattern, { ...data, host: scope.host }, ASK_MS),
    mended: () => Promise.resolve(),
    end: () => Promise.resolve({ actors: [], broken: [] }),
  });
  const name = `${OPERATOR}-${randomBytes(6).toString('hex')}`;
  const plan = new PlanRun(environment, name);
  let spoke = false;
  return {
    add: async (rules) => {
      spoke ||= Object.values(rules).some((rule) => rule.break !== undefined);
      await plan.add(rules);
      await plan.settled();
      if (plan.problem !== undefined) throw new Error(plan.problem);
    },
    clear: (names) => environment.faults.clear(names.length > 0 ? names : undefined),
    release: (names) => environment.faults.release(names.length > 0 ? names : undefined),
    status: async () => [...(await environment.faults.status()), ...plan.broken()],
    close: async () => {
      if (spoke) await environment.link(name).call(LAB, labApi.endClient, { client: clientAddress(name) });
      environment.abandon(new Error('the operator has left'));
      await bus.close();
    },
  };
}

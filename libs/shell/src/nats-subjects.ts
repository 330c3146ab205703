/**
 * Subjects: addresses as NATS tokens.
 *
 * Words: a *scope* is one host of one lab of one tenant. An address is two tokens: its service and its name in it, `_`
 * when the service has one actor only.
 * Rule: a frame travels on `vfl.<tenant>.<lab>.<host>.<to: 2 tokens>.<from: 2 tokens>`, so that NATS permissions decide
 * who may speak as whom: identity is in the subject and nowhere else.
 */
import { type Address, isAddress } from '@vfiolab/core';

export interface Scope {
  readonly tenant: string;
  readonly lab: string;
  readonly host: string;
}

const ONLY = '_';
/** Control requests of operators: `<scope>.ctl.<service>.<pattern>`, answered on `<scope>.ctl-inbox.>`. */
const CONTROL = 'ctl';
const CONTROL_INBOX = 'ctl-inbox';

export const isToken = (s: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(s);

/** `vfl.<tenant>.<lab>.<host>`; throws when a part is not a token. */
export function scopeSubject({ tenant, lab, host }: Scope): string {
  for (const [name, value] of Object.entries({ tenant, lab, host }))
    if (!isToken(value))
      throw new Error(`${name} '${value}': only letters, digits, - and _ (at most 64) can be in a NATS subject`);
  return `vfl.${tenant}.${lab}.${host}`;
}

/** An address as two tokens: `pages` is `pages._`, `device:0000:65:00_0` is `device.0000:65:00_0`. */
export function addressSubject(address: Address): string {
  const colon = address.indexOf(':');
  const [service, name] = colon < 0 ? [address, ONLY] : [address.slice(0, colon), address.slice(colon + 1)];
  const plain = isAddress(address) && service !== '' && name !== '' && (colon < 0 || name !== ONLY);
  if (!plain)
    throw new Error(`'${address}' is not an address: <service> or <service>:<name>, of letters, digits, -, _ and :`);
  return `${service}.${name}`;
}

export const addressOf = (service: string, name: string): Address => (name === ONLY ? service : `${service}:${name}`);

export const frameSubject = (scope: string, to: Address, from: Address): string =>
  `${scope}.${addressSubject(to)}.${addressSubject(from)}`;

/** What an address subscribes to: everything sent to it, by anybody who may. */
export const addressInbox = (scope: string, address: Address): string => `${scope}.${addressSubject(address)}.*.*`;
export const serviceInbox = (scope: string, service: string): string => `${scope}.${service}.*.*.*`;

/** Receiver and sender of a frame's subject, which has `depth` tokens before them. */
export function parseFrameSubject(subject: string, depth: number): { to: Address; from: Address } {
  const t = subject.split('.');
  return { to: addressOf(t[depth]!, t[depth + 1]!), from: addressOf(t[depth + 2]!, t[depth + 3]!) };
}

export const controlSubject = (scope: string, service: string, pattern: string): string =>
  `${scope}.${CONTROL}.${service}.${pattern}`;
export const controlInbox = (scope: string): string => `${scope}.${CONTROL_INBOX}`;

export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/**
 * What the NATS user of a service's process needs, and no more. `hosts`: whether it serves its home alone, or whatever
 * hosts of its lab it is told to.
 */
export function servicePermissions(scope: Scope, service: string, hosts: 'home' | 'lab' = 'home'): Permissions {
  const s = scopeSubject(scope);
  const served = hosts === 'home' ? s : labSubject(scope);
  return {
    publish: [`${served}.*.*.${service}.*`, `${controlInbox(s)}.>`],
    subscribe: [serviceInbox(served, service), `${s}.${CONTROL}.${service}.*`],
  };
}

/** What the NATS user of a client needs, and no more; `hosts`: its host alone, or whatever hosts the lab has. */
export function clientPermissions(scope: Scope, client: Address, hosts: 'home' | 'lab' = 'home'): Permissions {
  const s = hosts === 'home' ? scopeSubject(scope) : labSubject(scope);
  return { publish: [`${s}.*.*.${addressSubject(client)}`], subscribe: [addressInbox(s, client)] };
}

/** What the NATS user needs who runs a lab: the control plane of all its processes, and to be a client of all its hosts. */
export function operatorPermissions(scope: Scope): Permissions {
  const s = labSubject(scope);
  return {
    publish: [`${s}.${CONTROL}.*.*`, `${s}.*.*.client.*`],
    subscribe: [`${s}.${CONTROL_INBOX}.>`, serviceInbox(s, 'client')],
  };
}

/** All hosts of a lab. */
const labSubject = ({ tenant, lab, host }: Scope): string => scopeSubject({ tenant, lab, host }).replace(/[^.]+$/, '*');

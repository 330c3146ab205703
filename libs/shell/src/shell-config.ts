/**
 * What a process of a lab is told by its environment.
 *
 * Rule: every mistake is reported at once, with the variable's name and what it may be; nothing starts half configured.
 */
import { isIPv4 } from 'node:net';
import { type Durability, DURABILITIES } from './sqlite-journal.js';
import { LOG_FORMATS, type LogFormat } from './log.js';
import { isToken, type Scope } from './nats-subjects.js';

/** Hosts that a process can be allowed to serve. */
export const MAX_HOSTS = 256;

/** Where a process shows how it is. */
export interface WatchAt {
  readonly address: string;
  readonly port: number;
}

export interface ShellConfig extends Scope {
  /** Address of the NATS server; undefined: everything is in this process. */
  readonly nats: string | undefined;
  /** Files with the seed of this process's key, and with the authorities that vouch for the server. */
  readonly keyFile?: string | undefined;
  readonly caFile?: string | undefined;
  /** Folder of the journals; undefined only when nothing is kept. */
  readonly data: string | undefined;
  readonly durability: Durability;
  /** Journals keep every record, so that the run can be replayed from its beginning. */
  readonly record: boolean;
  /** Hosts that the process serves at most, `host` included. */
  readonly hosts: number;
  /** Undefined: nowhere. */
  readonly watch?: WatchAt | undefined;
  /** How it says what happens; default for people. */
  readonly log?: LogFormat;
  /** The process ends when its standard input does: with whoever started it. */
  readonly lifeline?: boolean;
}

/** The environment does not say what a process needs to know. */
export class ConfigError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads `VFIOLAB_*`; `nats: true` when there must be a server. */
export function configFromEnvironment(env: Environment, needs: { readonly nats: boolean }): ShellConfig {
  const problems: string[] = [];
  const config = {
    nats: optionalUrl(env.VFIOLAB_NATS, problems),
    tenant: token(env, 'VFIOLAB_TENANT', 'default', problems),
    lab: token(env, 'VFIOLAB_LAB', 'lab', problems),
    host: token(env, 'VFIOLAB_HOST', 'host0', problems),
    keyFile: env.VFIOLAB_NATS_KEY || undefined,
    caFile: env.VFIOLAB_NATS_CA || undefined,
    data: env.VFIOLAB_DATA || undefined,
    durability: durability(env.VFIOLAB_DURABILITY, problems),
    record: flag(env, 'VFIOLAB_RECORD', problems),
    hosts: hosts(env.VFIOLAB_HOSTS || '1', problems),
    log: oneOf(env, 'VFIOLAB_LOG', LOG_FORMATS, problems),
    lifeline: flag(env, 'VFIOLAB_LIFELINE', problems),
    watch: watchAt(env.VFIOLAB_WATCH, problems),
  };
  if (needs.nats && !env.VFIOLAB_NATS)
    problems.push('VFIOLAB_NATS is not set: the address of the NATS server, like nats://127.0.0.1:4222');
  if (config.durability !== 'none' && config.data === undefined)
    problems.push(`VFIOLAB_DATA is not set: the folder for journals (or VFIOLAB_DURABILITY=none to keep nothing)`);
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return config;
}

function optionalUrl(value: string | undefined, problems: string[]): string | undefined {
  if (!value) return undefined;
  for (const url of value.split(','))
    if (!/^(nats|tls):\/\/[^/\s]+$/.test(url.trim()))
      problems.push(`VFIOLAB_NATS is '${url}': must be like nats://127.0.0.1:4222`);
  return value;
}

function token(env: Environment, name: string, otherwise: string, problems: string[]): string {
  const value = env[name] ?? otherwise;
  if (!isToken(value)) problems.push(`${name} is '${value}': must be 1 to 64 letters, digits, - or _`);
  return value;
}

function durability(value: string | undefined, problems: string[]): Durability {
  const known = DURABILITIES.find((d) => d === (value ?? 'process'));
  if (known === undefined) problems.push(`VFIOLAB_DURABILITY is '${value}': must be ${DURABILITIES.join(', ')}`);
  return known ?? 'process';
}

/** The first one when nothing is said. */
function oneOf<T extends string>(env: Environment, name: string, known: readonly T[], problems: string[]): T {
  const value = env[name] || known[0]!;
  const found = known.find((each) => each === value);
  if (found === undefined) problems.push(`${name} is '${value}': must be ${known.join(' or ')}`);
  return found ?? known[0]!;
}

function flag(env: Environment, name: string, problems: string[]): boolean {
  const value = env[name] ?? '0';
  if (value !== '0' && value !== '1') problems.push(`${name} is '${value}': must be 0 or 1`);
  return value === '1';
}

function hosts(value: string, problems: string[]): number {
  const number = /^\d{1,4}$/.test(value) ? Number(value) : 0;
  if (number < 1 || number > MAX_HOSTS)
    problems.push(`VFIOLAB_HOSTS is '${value}': must be a whole number from 1 to ${MAX_HOSTS}`);
  return number;
}

/** `ADDRESS:PORT` with an IPv4 address: a name could mean another place than was thought of. */
function watchAt(value: string | undefined, problems: string[]): WatchAt | undefined {
  if (!value) return undefined;
  const [, address = '', port = ''] = /^([\d.]+):(\d{1,5})$/.exec(value) ?? [];
  if (isIPv4(address) && Number(port) <= 65_535) return { address, port: Number(port) };
  problems.push(`VFIOLAB_WATCH is '${value}': must be an IPv4 address and a port, like 127.0.0.1:9464`);
  return undefined;
}

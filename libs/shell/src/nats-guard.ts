/**
 * Who may do what on a NATS server that labs of several tenants share: its configuration.
 *
 * Words: a *user* is one key (nkey) with the subjects that it may use; a tenant has an *account*, and subjects of different
 * accounts never meet. A *seed* is the secret half of a key, kept in a file of mode 0600.
 * Rule: every process has a key of its own, which allows what it needs and no more; who has no key gets no connection.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nkeys } from '@nats-io/transport-node';
import type { Permissions } from './nats-subjects.js';

export interface NatsUser {
  /** The public half of its key: `U...`. */
  readonly key: string;
  readonly permissions: Permissions;
}

export interface GuardLimits {
  /** Connections at once, of all tenants. */
  readonly connections: number;
  /** Subscriptions of one connection. */
  readonly subscriptions: number;
  /** Bytes that may wait for one reader; one that falls further behind is dropped. */
  readonly pending: number;
  /** How long one write to a reader may take, seconds. */
  readonly writeSeconds: number;
}

export const GUARD_LIMITS: GuardLimits = {
  connections: 1024,
  subscriptions: 8192,
  pending: 64 * 1024 * 1024,
  writeSeconds: 5,
};

/** Users by tenant. What is left out is not allowed. */
export type Accounts = Readonly<Record<string, readonly NatsUser[]>>;

/** Lines for the server's configuration file. */
export function guardConfig(accounts: Accounts, limits: GuardLimits = GUARD_LIMITS): string {
  const blocks = Object.entries(accounts).map(
    ([tenant, users]) => `  ${JSON.stringify(tenant)}: {\n    users: [\n${users.map(userLine).join('')}    ]\n  }\n`,
  );
  return [
    `max_connections: ${limits.connections}`,
    `max_subscriptions: ${limits.subscriptions}`,
    `max_pending: ${limits.pending}`,
    `write_deadline: "${limits.writeSeconds}s"`,
    `accounts: {\n${blocks.join('')}}`,
    '',
  ].join('\n');
}

const userLine = ({ key, permissions: { publish, subscribe } }: NatsUser): string =>
  `      { nkey: ${key}, permissions: { publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)} } }\n`;

/** Keys in a folder, one file each: made when they are first needed, and the same ever after. */
export class KeyFolder {
  constructor(private readonly path: string) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  /** The file with the seed. */
  fileOf(name: string): string {
    return join(this.path, `${name}.nk`);
  }

  /** The public half. */
  publicOf(name: string): string {
    const file = this.fileOf(name);
    if (!existsSync(file)) writeFileSync(file, nkeys.createUser().getSeed(), { mode: 0o600, flag: 'wx' });
    return nkeys.fromSeed(readFileSync(file)).getPublicKey();
  }
}

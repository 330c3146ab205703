/**
 * Lab files: which hosts a lab has that stays, and which instances of the services serve them.
 *
 * Rule: as with scenarios, all problems of a file are found before anything is started, and all are reported at once.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ScenarioError } from './errors.js';
import { iommuOf, readMachine } from './machine-file.js';
import { hostOf, hostProblems, type RawHost } from './read.js';
import type { HostSpec } from './scenario.js';
import { schemaProblems } from './schema.js';
import { Source } from './source.js';
import { suggestion } from './words.js';

export interface LabInstance {
  readonly name: string;
  /** Hosts at most. */
  readonly hosts: number;
}

export interface LabHost {
  readonly name: string;
  readonly spec: HostSpec & { readonly iommu: string };
  /** Undefined: wherever there is room. */
  readonly instance: string | undefined;
}

export interface LabPlan {
  readonly file: string;
  readonly name: string;
  readonly tenant: string;
  /** Address of a server, or `auto`. */
  readonly nats: string;
  /** Folder of everything that the lab keeps, absolute. */
  readonly data: string;
  readonly durability: 'process' | 'power';
  /** Names of the clients that may use its hosts. */
  readonly clients: readonly string[];
  readonly instances: readonly LabInstance[];
  readonly hosts: readonly LabHost[];
}

interface RawLab {
  readonly name: string;
  readonly tenant?: string;
  readonly nats?: string;
  readonly data?: string;
  readonly durability?: LabPlan['durability'];
  readonly clients?: readonly string[];
  readonly instances?: Readonly<Record<string, { readonly hosts?: number }>>;
  readonly hosts: Readonly<Record<string, { readonly host: RawHost; readonly instance?: string }>>;
}

const DEFAULT_ROOM = 64;

/** Reads a lab from its text. `file` is its name in messages, and where relative paths start. Throws ScenarioError. */
export function readLab(text: string, file: string): LabPlan {
  const source = Source.parse(text, file);
  const broken = schemaProblems(source, 'lab');
  if (broken.length > 0) throw new ScenarioError(broken);
  const raw = source.value as RawLab;
  const instances = Object.entries(raw.instances ?? { main: {} }).map(([name, { hosts = DEFAULT_ROOM }]) => ({
    name,
    hosts,
  }));
  const names = instances.map(({ name }) => name);
  const problems = Object.entries(raw.hosts).flatMap(([name, { host, instance }]) => {
    const at = ['hosts', name, 'host'] as const;
    const found = hostProblems(host, source, at);
    if (found.length === 0 && iommuFor(host, file) === undefined)
      found.push(source.problem(at, 'the machine does not say which IOMMU it has', 'Give iommu.'));
    if (names.includes(name))
      found.push(source.problem(['hosts', name], 'an instance has this name', 'Call the host otherwise.', true));
    if (instance !== undefined && !names.includes(instance))
      found.push(
        source.problem(['hosts', name, 'instance'], `there is no instance ${instance}`, suggestion(instance, names)),
      );
    return found;
  });
  const room = instances.reduce((sum, { hosts }) => sum + hosts, 0);
  const many = Object.keys(raw.hosts).length;
  if (many > room)
    problems.push(source.problem(['hosts'], `${many} hosts, but room for ${room}`, 'Add instances, or raise hosts.'));
  for (const { name, hosts } of instances) {
    const pinned = Object.values(raw.hosts).filter(({ instance }) => instance === name).length;
    if (pinned > hosts)
      problems.push(
        source.problem(
          ['instances', name],
          `${pinned} hosts are to run here, but at most ${hosts} may`,
          'Raise hosts.',
        ),
      );
  }
  if (problems.length > 0) throw new ScenarioError(problems.sort((a, b) => a.line - b.line || a.column - b.column));
  return {
    file,
    name: raw.name,
    tenant: raw.tenant ?? 'default',
    nats: raw.nats ?? 'auto',
    data: resolve(dirname(file), raw.data ?? `.vfiolab/${raw.name}`),
    durability: raw.durability ?? 'process',
    clients: raw.clients ?? [],
    instances,
    hosts: Object.entries(raw.hosts).map(([name, { host, instance }]) => ({
      name,
      spec: { ...hostOf(host, file), iommu: iommuFor(host, file)! },
      instance,
    })),
  };
}

/** Throws ScenarioError, also for a file that cannot be read. */
export function readLabFile(file: string): LabPlan {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const what = `the file cannot be read: ${(error as Error).message}`;
    throw new ScenarioError([{ file, line: 1, column: 1, path: '', what, hint: 'Give the path of a lab file.' }]);
  }
  return readLab(text, file);
}

const iommuFor = (host: RawHost, file: string): string | undefined =>
  host.iommu ?? iommuOf(readMachine(hostOf(host, file).machineFile));

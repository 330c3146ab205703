/** The order in which pods come, and the order in which equally good hosts are taken. */
import { readCsv } from './csv.js';
import { InputError, quote } from './input-error.js';
import { LIMITS } from './limits.js';
import type { HostList } from './import-nodes.js';
import type { PodList } from './import-pods.js';

/** Pods as they come: each an index in the list, and the name it comes under. */
export interface Arrivals {
  readonly pods: Int32Array;
  /** A copy's own name. */
  nameOf(arrival: number): string;
}

const COPY = /^(.+)-tuned-\d+$/;

/** From the `pod` column. `NAME-tuned-N` is a copy of NAME. Throws InputError. */
export function importOrder(text: string, file: string, list: PodList): Arrivals {
  const indexOf = new Map(list.names.map((name, i) => [name, i]));
  const seen = new Set<string>();
  const pods: number[] = [];
  for (const row of readCsv(text, file, ['pod'])) {
    const name = row.name('pod');
    const pod = indexOf.get(name) ?? indexOf.get(COPY.exec(name)?.[1] ?? '');
    if (pod === undefined) throw row.wrong('pod', `there is no pod ${quote(name)}`);
    if (seen.has(name)) throw row.wrong('pod', `${quote(name)} comes twice`);
    if (pods.push(pod) > LIMITS.pods) throw row.wrong('pod', `more than ${LIMITS.pods} pods`);
    seen.add(name);
  }
  const names = [...seen];
  return { pods: Int32Array.from(pods), nameOf: (arrival) => names[arrival]! };
}

/** Hosts by rank, the one that wins a tie first. Every host needs a rank of its own. Throws InputError. */
export function importRank(text: string, file: string, { names }: Pick<HostList, 'names'>): Int32Array {
  const indexOf = new Map(names.map((name, i) => [name, i]));
  const rankOf = new Map<number, number>();
  const ranks = new Set<number>();
  for (const row of readCsv(text, file, ['rank', 'node'])) {
    const name = row.name('node');
    const host = indexOf.get(name);
    if (host === undefined) throw row.wrong('node', `there is no host ${quote(name)}`);
    if (rankOf.has(host)) throw row.wrong('node', `${quote(name)} comes twice`);
    const rank = row.whole('rank', LIMITS.hosts);
    if (ranks.has(rank)) throw row.wrong('rank', `${rank} comes twice`);
    ranks.add(rank);
    rankOf.set(host, rank);
  }
  const missing = names.findIndex((_, host) => !rankOf.has(host));
  if (missing >= 0) throw new InputError(`host ${quote(names[missing]!)} has no rank`, { file });
  return Int32Array.from(names.keys()).sort((a, b) => rankOf.get(a)! - rankOf.get(b)!);
}

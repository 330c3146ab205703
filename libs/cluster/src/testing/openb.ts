/** The openb cluster of test/cluster. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { importNodes } from '../import-nodes.js';
import { importOrder, importRank } from '../import-order.js';
import { importPods } from '../import-pods.js';
import { policies } from '../policies/index.js';
import type { Policy } from '../policy.js';
import { newKinds } from '../shape.js';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), '../../../../test/cluster');

export function readCluster(name: string): string {
  const bytes = readFileSync(join(FOLDER, name));
  return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
}

export function openb(load: 'default' | 'gpushare100') {
  const kinds = newKinds();
  const hosts = importNodes(readCluster('openb-nodes.csv.gz'), 'nodes.csv', kinds);
  const pods = importPods(readCluster(`openb-pods-${load}.csv.gz`), 'pods.csv', kinds);
  return { kinds, hosts, pods };
}

/** The recorded run: pods in its order, hosts by its rank, and where each policy had placed them. */
export function golden() {
  const input = openb('default');
  const text = readCluster('golden-default-130.csv.gz');
  const arrivals = importOrder(text, 'golden.csv', input.pods);
  const rank = importRank(readCluster('golden-rank.csv.gz'), 'rank.csv', input.hosts);
  const rows = text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(','));
  const placedBy = (column: number): string[] => rows.map((row) => row[column]! && `openb-node-${row[column]}`);
  const wanted = { gpupacking: placedBy(2), bestfit: placedBy(3), fgd: placedBy(4) };
  return { input: { ...input, arrivals, rank, seed: 42 }, wanted };
}

export function policy(name: string): Policy {
  return policies.find((each) => each.name === name)!;
}

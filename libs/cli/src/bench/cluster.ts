/**
 * Placements for each CPU-second, and memory, beside the figures recorded of the FGD authors' simulator: 10,866 pods of openb took
 * it 190 to 320 CPU-seconds and 2.8 to 3.5 GB. The better of each is the denominator.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Figure, figure } from './bench.js';
import type { LoadAsked, LoadDone } from './cluster-loads.js';

const PEER = { pods: 10_866, cpuSeconds: 190, megabytes: 2800 };
const LOADS = fileURLToPath(new URL('./cluster-loads.js', import.meta.url));

function measured(asked: LoadAsked): LoadDone {
  const { stdout, stderr, status } = spawnSync(process.execPath, [LOADS, JSON.stringify(asked)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`bench cluster: ${stderr.trim()}`);
  return JSON.parse(stdout) as LoadDone;
}

const rate = ({ pods, cpuSeconds }: { pods: number; cpuSeconds: number }): number => pods / cpuSeconds;

const SIZES = [
  ['mix', 'fgd', 'openb mix, 100,000 hosts, FGD'],
  ['mix', 'bestfit', 'openb mix, 100,000 hosts, BestFit'],
  ['passthrough', 'numa', 'groups, NUMA, PCIe: 100,000 hosts x 16 devices'],
] as const;

export function cluster(): Promise<Figure[]> {
  const openb = measured({ kind: 'openb', hosts: 0, policy: 'fgd' });
  const recorded = `the peer, recorded on openb`;
  const figures = [
    figure('openb, FGD, the whole process', openb.cpuSeconds, 'CPU-s', recorded, PEER.cpuSeconds),
    figure('openb, FGD, resident', openb.megabytes, 'MB', recorded, PEER.megabytes),
  ];
  for (const [kind, policy, name] of SIZES) {
    const [small, large] = [1000, 100_000].map((hosts) => measured({ kind, hosts, policy })) as [LoadDone, LoadDone];
    figures.push(
      figure(`${name}: placements`, rate(large), '1/CPU-s', recorded, rate(PEER)),
      figure(`${name}: cost of a placement`, 1e6 / rate(large), 'us', '1,000 hosts', 1e6 / rate(small)),
      figure(`${name}: resident`, large.megabytes, 'MB', recorded, PEER.megabytes),
    );
  }
  return Promise.resolve(figures);
}

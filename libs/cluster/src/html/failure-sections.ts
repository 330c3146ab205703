/** Two failures of policies that count, by all policies. */
import type { KnownFailure } from '../known-failures.js';
import { stackedBars } from './charts.js';
import { markup, table, thousands } from './markup.js';
import { type Section, section } from './section.js';

export const failuresOf = (failures: readonly KnownFailure[]): (Section | undefined)[] =>
  failures.map(({ title, about, rows }, i) => {
    const order = [...rows].sort((a, b) => a.allocation - b.allocation);
    return section(
      `failure-${i + 1}`,
      title,
      markup`<p>${about}</p> `,
      stackedBars(
        { title: 'GPUs allocated', about, x: { title: 'policy' }, y: { title: 'of all GPUs, %' } },
        ['policies that count devices', 'policies that see groups and NUMA nodes'],
        order.map(({ policy, sees, allocation }) => ({
          name: policy,
          values: sees ? [0, allocation] : [allocation, 0],
        })),
      ),
      table('By policy', [
        [
          'policy',
          'sees the topology',
          'placed',
          'of pods',
          'GPUs %',
          'requests for 4 GPUs on no host',
          'times refused by hosts',
        ],
        ...order.map(({ policy, sees, placed, pods, allocation, rejected, refusals }) => [
          policy,
          sees ? 'yes' : 'no',
          thousands(placed),
          thousands(pods),
          allocation.toFixed(1),
          markup`<span class="${rejected === 0 ? 'good' : 'bad'}">${thousands(rejected)}</span>`,
          thousands(refusals),
        ]),
      ]),
    );
  });

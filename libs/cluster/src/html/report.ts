/**
 * The report of runs as one page that needs nothing else: no script, no font, no picture from elsewhere.
 *
 * Rule: a section whose data are not there is left out; every plot is also told in a table or in words.
 */
import type { Distribution, Sample } from '../timeline-statistics.js';
import type { KnownFailure } from '../known-failures.js';
import { cumulative } from '../report-data.js';
import { lineChart, stackedBars } from './charts.js';
import { lock, pinning } from './cost-sections.js';
import { failuresOf } from './failure-sections.js';
import { Markup, markup, table, thousands } from './markup.js';
import { type Section, section } from './section.js';
import { STYLE } from './style.js';

/** What a policy's run has to show. */
export interface ReportedRun {
  readonly policy: string;
  /** GPUs asked for and allocated, in percent of all. */
  readonly curve?: readonly (readonly [number, number])[];
  /** Of all GPUs, in percent, by why they are of no use. */
  readonly fragmentation?: Readonly<Record<string, number>>;
  /** Pods on no host, by why. */
  readonly reasons?: Readonly<Record<string, number>>;
  /** In time: seconds of each start, and the cluster as it went. */
  readonly startups?: readonly number[];
  readonly startup?: Distribution;
  readonly startupParts?: Readonly<Record<string, number>>;
  readonly samples?: readonly Sample[];
  /** Placements that were carried out on emulated hosts. */
  readonly carried?: { readonly sampled: number; readonly hosts: number; readonly refused: number };
}

export interface Reported {
  readonly title: string;
  /** What was run, in a line. */
  readonly about: string;
  /** The comparison of all policies, with its head. */
  readonly comparison: readonly (readonly string[])[];
  readonly runs: readonly ReportedRun[];
  readonly failures: readonly KnownFailure[];
}

export function htmlReport(reported: Reported): string {
  const sections = [
    policiesOf(reported),
    allocation(reported),
    fragments(reported),
    inTime(reported),
    startups(reported),
    truth(reported),
    ...failuresOf(reported.failures),
    pinning(),
    lock(),
  ].filter((each) => each !== undefined);
  return markup`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>${reported.title}</title>
        <style>
          ${new Markup(STYLE)}
        </style>
      </head>
      <body>
        <header>
          <h1>${reported.title}</h1>
          <p class="dim">${reported.about}</p>
        </header>
        <nav aria-label="Sections">
          <ul>
            ${sections.map(({ id, title }) => markup`<li><a href="#${id}">${title}</a></li>`)}
          </ul>
        </nav>
        <main>
          ${sections.map(
            ({ id, title, body }) =>
              markup`<section id="${id}">
                <h2>${title}</h2>
                ${body}
              </section> `,
          )}
        </main>
      </body>
    </html> `.text;
}

const policiesOf = ({ comparison }: Reported): Section | undefined =>
  section(
    'policies',
    'Policies',
    table('Each policy on the same hosts and pods; allocations are percent.', comparison),
  );

const allocation = ({ runs }: Reported): Section | undefined =>
  section(
    'allocation',
    'Allocation over demand',
    lineChart(
      {
        title: 'GPUs allocated as more are asked for',
        about: 'The higher, the fewer GPUs are left idle while pods want them.',
        x: { title: 'GPUs asked for, % of all', from: 0 },
        y: { title: 'GPUs allocated, % of all', from: 0, to: 100 },
      },
      runs.map(({ policy, curve = [] }) => ({ name: policy, points: curve })),
    ),
  );

function fragments({ runs }: Reported): Section | undefined {
  const told = runs.filter(({ fragmentation }) => Object.keys(fragmentation ?? {}).length > 0);
  const reasons = [...new Set(told.flatMap(({ fragmentation }) => Object.keys(fragmentation!)))];
  const causes = reasons.filter((each) => each !== 'fits');
  const plot = stackedBars(
    {
      title: 'Free GPUs that are of no use, by cause',
      about: 'For a pod of the load, on average: free GPUs of hosts that do not take it, and what those hosts lack.',
      x: { title: 'policy' },
      y: { title: 'of all GPUs, %' },
    },
    causes,
    told.map(({ policy, fragmentation }) => ({
      name: policy,
      values: causes.map((cause) => fragmentation![cause] ?? 0),
    })),
  );
  if (!plot) return undefined;
  const rows = told.map(({ policy, fragmentation }) => [
    policy,
    ...reasons.map((reason) => (fragmentation![reason] ?? 0).toFixed(2)),
  ]);
  const head = ['policy', ...reasons.map((each) => (each === 'fits' ? 'of use' : each))];
  return section('fragmentation', 'Fragmentation by cause', plot, table('Free GPUs, % of all', [head, ...rows]));
}

function inTime({ runs }: Reported): Section | undefined {
  const told = runs.filter(({ samples = [] }) => samples.length > 0);
  const hours = (time: number): number => time / 3600;
  const chart = (title: string, about: string, y: string, of: (sample: Sample) => number) =>
    lineChart(
      { title, about, x: { title: 'time, hours', from: 0 }, y: { title: y, from: 0 } },
      told.map(({ policy, samples }) => ({
        name: policy,
        points: samples!.map((each) => [hours(each.time), of(each)] as const),
      })),
    );
  return section(
    'timeline',
    'Timeline',
    chart('GPUs allocated', 'The cluster as time goes on.', 'of all GPUs, %', (each) => each.gpuAllocation),
    chart('Pods waiting', 'Pods that no host takes yet.', 'pods', (each) => each.waiting),
    chart('Hosts down', 'Hosts that have failed.', 'hosts', (each) => each.hostsDown),
  );
}

function startups({ runs }: Reported): Section | undefined {
  const told = runs.filter(({ startups = [] }) => startups.length > 0);
  if (told.length === 0) return undefined;
  const plot = lineChart(
    {
      title: 'How long starts take',
      about: 'The share of starts that took at most as long.',
      x: { title: 'seconds', from: 0 },
      y: { title: 'of all starts, %', from: 0, to: 100 },
    },
    told.map(({ policy, startups }) => ({ name: policy, points: cumulative(startups!) })),
  );
  const parts = Object.keys(told[0]!.startupParts ?? {});
  const bars = stackedBars(
    {
      title: 'What a start spends its time on',
      about: 'Mean seconds of each part.',
      x: { title: 'policy' },
      y: { title: 'seconds' },
    },
    parts,
    told.map(({ policy, startupParts }) => ({ name: policy, values: parts.map((part) => startupParts?.[part] ?? 0) })),
  );
  const rows = told.map(({ policy, startup, startups, startupParts }) => [
    policy,
    thousands(startups!.length),
    ...[startup?.mean, startup?.p50, startup?.p99, startup?.most].map((each) => (each ?? 0).toFixed(2)),
    ...parts.map((part) => (startupParts?.[part] ?? 0).toFixed(2)),
  ]);
  const head = ['policy', 'starts', 'mean s', 'median s', 'p99 s', 'longest s', ...parts.map((part) => `${part} s`)];
  return section(
    'startup',
    'Start-up time',
    plot,
    bars,
    table('Seconds from placement until the guest is ready', [head, ...rows]),
  );
}

const truth = ({ runs }: Reported): Section | undefined => {
  const told = runs.flatMap(({ policy, carried }) => (carried ? [{ policy, ...carried }] : []));
  if (told.length === 0) return undefined;
  const rows = told.map(({ policy, sampled, hosts, refused }) => [
    policy,
    thousands(sampled),
    thousands(hosts),
    markup`<span class="${refused === 0 ? 'good' : 'bad'}">${refused}</span>`,
  ]);
  return section(
    'truth',
    'Carried out on emulated hosts',
    table('Placements carried out by the calls of a virtual machine monitor', [
      ['policy', 'placements', 'hosts', 'refused by the kernel'],
      ...rows,
    ]),
  );
};

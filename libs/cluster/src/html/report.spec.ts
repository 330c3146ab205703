import { knownFailures } from '../known-failures.js';
import { policies } from '../policies/index.js';
import { comparisonRows } from '../report.js';
import { allocationCurve, cumulative, fragmentation } from '../report-data.js';
import { run } from '../run.js';
import { gpuShape, hostsOf, podLines, runInput } from '../testing/clusters.js';
import { lineChart, stackedBars } from './charts.js';
import { escaped, markup } from './markup.js';
import { htmlReport, type Reported } from './report.js';
import { scaleOf } from './scale.js';

const shapes = [1, 2, 4].map((perGroup) => gpuShape(`g${perGroup}`, 8, { perGroup }));
const input = runInput(hostsOf(shapes, [2, 2, 2]), [...podLines(6, 1, 'any'), ...podLines(3, 4, 'any')], 1.3, 100);
const runs = policies.map((policy) => ({ policy, made: run(input, policy) }));

/** Open tags are closed in their order; answers what is wrong. */
function unbalanced(page: string): string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  for (const [, close, name, self] of page.matchAll(/<(\/?)([a-z]+[0-9]?)(?:[^<>"]|"[^"]*")*?(\/?)>/gi)) {
    if (self || ['meta', 'br'].includes(name!)) continue;
    if (!close) open.push(name!);
    else if (open.pop() !== name) wrong.push(`</${name}>`);
  }
  return [...wrong, ...open];
}

const report = (more: Partial<Reported> = {}): string =>
  htmlReport({
    title: 'A report',
    about: 'six hosts',
    comparison: comparisonRows(runs.map(({ policy, made }) => ({ policy: policy.name, ...made.tally() }))),
    runs: runs.map(({ policy, made }) => ({
      policy: policy.name,
      curve: allocationCurve(input, made.hosts),
      fragmentation: fragmentation(input, made),
      carried: { sampled: 10, hosts: 3, refused: 0 },
    })),
    failures: knownFailures(),
    ...more,
  });

const sections = (page: string): string[] => [...page.matchAll(/<section id="([^"]*)">/g)].map(([, id]) => id!);

describe('the report', () => {
  const page = report();

  it('is one page that needs nothing else, and is whole', () => {
    expect(unbalanced(page)).toEqual([]);
    expect(page).not.toMatch(/<script|<link|<img|src=|url\(|@import|https?:/);
    expect([...page.matchAll(/href="([^"]*)"/g)].every(([, to]) => to!.startsWith('#'))).toBe(true);
    expect(page).not.toMatch(/NaN|undefined|Infinity|\[object/);
    expect(page).toContain('prefers-color-scheme: dark');
  });

  it('has its sections, each of them linked, and every plot has a name', () => {
    const wanted = ['policies', 'allocation', 'fragmentation', 'truth', 'failure-1', 'failure-2', 'pinning', 'devset'];
    expect(sections(page)).toEqual(wanted);
    for (const id of wanted) expect(page).toContain(`href="#${id}"`);
    const plots = page.match(/<svg viewBox="0 0 720/g)!.length;
    expect(page.match(/role="img" aria-label="[^"]{20,}"/g)).toHaveLength(plots);
  });

  it('has sections of runs in time where there are such', () => {
    const samples = [0, 3600].map((time) => ({
      ...{ time, running: 1, waiting: 2, gpuAllocation: 50, hostsDown: 0, devicesOut: 0 },
    }));
    const startup = { mean: 3, p50: 3, p99: 4, most: 4 };
    const timed = { policy: 'fgd', samples, startups: [2, 3, 4], startup, startupParts: { map: 1, boot: 2 } };
    const made = report({ runs: [timed], failures: [] });
    expect(sections(made)).toEqual(['policies', 'timeline', 'startup', 'pinning', 'devset']);
    expect(unbalanced(made)).toEqual([]);
    expect(made).toContain('time, hours');
  });

  it('escapes every name', () => {
    const evil = `<script>alert("1")</script>&'`;
    const made = report({ title: evil, about: evil, runs: [{ policy: evil, curve: [[0, 0], [1, 1]], fragmentation: { [evil]: 1 } }] }); // prettier-ignore
    expect(made).not.toContain('<script');
    expect(made).toContain(escaped(evil));
    expect(unbalanced(made)).toEqual([]);
  });
});

describe('what a report draws', () => {
  it.each(runs)('ends where the run does: $policy.name', ({ made }) => {
    const { gpuDemand, gpuAllocation } = made.tally();
    const [asked, given] = allocationCurve(input, made.hosts).at(-1)!;
    expect([asked, given]).toEqual([expect.closeTo(gpuDemand), expect.closeTo(gpuAllocation)]);
    const parts = Object.values(fragmentation(input, made)).reduce((sum, each) => sum + each, 0);
    expect(parts).toBeCloseTo(100 - gpuAllocation);
  });

  it('tells that GPUs are stranded in groups by those who count', () => {
    const of = (name: string) =>
      fragmentation(input, runs.find(({ policy }) => policy.name === name)!.made)['group'] ?? 0;
    expect(of('bestfit')).toBeGreaterThan(of('groups'));
  });

  it('counts up shares', () => {
    const points = cumulative([3, 1, 2, 2]);
    expect([points[0], points.at(-1)]).toEqual([[1, 25], [3, 100]]); // prettier-ignore
    expect(points.filter(([value]) => value === 2).at(-1)).toEqual([2, 75]);
    expect(cumulative([])).toEqual([]);
  });
});

it('scales have round ticks that hold all values', () => {
  const of = (from: number, to: number) => {
    const { ticks, label } = scaleOf(from, to);
    return ticks.map(label);
  };
  expect(of(0, 100)).toEqual(['0', '20', '40', '60', '80', '100']);
  expect(of(0, 0.31)).toEqual(['0.0', '0.1', '0.2', '0.3', '0.4']);
  expect(of(0, 12_345)).toEqual(['0', '5,000', '10,000', '15,000']);
  expect(of(7, 7)).toEqual(['7.0', '7.2', '7.4', '7.6', '7.8', '8.0']);
});

it('draws nothing where there is nothing, and repeats colours with dashes', () => {
  const plot = { title: 't', about: 'a', x: { title: 'x' }, y: { title: 'y' } };
  expect([lineChart(plot, []), lineChart(plot, [{ name: 'n', points: [] }]), stackedBars(plot, [], [])]).toEqual([undefined, undefined, undefined]); // prettier-ignore
  const many = Array.from({ length: 9 }, (_, i) => ({ name: `n${i}`, points: [[0, i], [1, i]] as const })); // prettier-ignore
  const { text } = lineChart(plot, many)!;
  expect(new Set([...text.matchAll(/<polyline class="([^"]*)"/g)].map(([, name]) => name)).size).toBe(9);
  expect(markup`${['a<', markup`<b/>`, 3]}`.text).toBe('a&lt;<b/>3');
});

it('in the two failures ours place more', () => {
  const [groups, numa] = knownFailures();
  const of = (rows: (typeof groups & object)['rows'], sees: boolean) => rows.filter((row) => row.sees === sees);
  const worst = Math.min(...of(groups!.rows, true).map(({ allocation }) => allocation));
  expect(worst).toBeGreaterThan(5 + Math.max(...of(groups!.rows, false).map(({ allocation }) => allocation)));
  expect(Math.min(...of(numa!.rows, false).map(({ rejected }) => rejected))).toBeGreaterThan(0);
  for (const { policy, rejected } of of(numa!.rows, true)) if (policy !== 'groups') expect(rejected).toBe(0);
});

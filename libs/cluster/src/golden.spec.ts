import { drawArrivals } from './demand.js';
import { Random } from './random.js';
import { gpuCapacity, run } from './run.js';
import { golden, openb, policy, readCluster } from './testing/openb.js';

describe('the recorded run of openb at a demand of 130 %', () => {
  const { input, wanted } = golden();

  it.each(['gpupacking', 'bestfit', 'fgd'] as const)('%s places all 10,866 pods as recorded', (name) => {
    const made = [...run(input, policy(name)).decisions()].map(({ node }) => node ?? '');
    expect(made).toEqual(wanted[name]);
  });

  it('tells of every pod that is on no host what each host lacks', () => {
    const made = run(input, policy('fgd'));
    const left = [...made.decisions()].filter(({ node }) => node === undefined);
    expect(left).toHaveLength(2532);
    expect(left[0]).toMatchObject({ pod: expect.stringMatching(/^openb-pod-/) });
    for (const { reason } of left) {
      const hosts = [...reason.matchAll(/(?:cpu|memory|devices|fits) (\d+)/g)].reduce(
        (sum, m) => sum + Number(m[1]),
        0,
      );
      expect(hosts).toBe(1213);
    }
    expect(made.tally()).toMatchObject({ placed: 8334, unschedulable: 2532, refused: 0 });
  });
});

describe.each([
  ['default', 10],
  ['gpushare100', 4],
] as const)('shuffles of openb %s at a demand of 130 %', (load, shuffles) => {
  const { kinds, hosts, pods } = openb(load);
  const [header, ...rows] = readCluster('paper-means-130.csv').trim().split('\n');
  const columns = header!.split(',');
  const row = rows.find((line) => line.includes(load))!.split(',');

  it.each([
    ['random', '01-Random'],
    ['dotprod', '02-DotProd'],
    ['gpuclustering', '03-GpuClustering'],
    ['gpupacking', '04-GpuPacking'],
    ['bestfit', '05-BestFit'],
    ['fgd', '06-FGD'],
  ])('%s allocates as many GPUs as published', (name, column) => {
    let sum = 0;
    for (let seed = 42; seed < 42 + shuffles; seed++) {
      const random = new Random(seed);
      const arrivals = drawArrivals(pods, random, { share: 1.3, capacity: gpuCapacity(hosts) });
      const rank = random.shuffle(Int32Array.from(hosts.names.keys()));
      sum += run({ kinds, hosts, pods, arrivals, rank, seed }, policy(name)).tally().gpuAllocation;
    }
    const mean = Number(row[columns.indexOf(`${column}_mean130`)]);
    const deviation = Number(row[columns.indexOf(`${column}_sd130`)]);
    expect(Math.abs(sum / shuffles - mean)).toBeLessThanOrEqual(2 * deviation);
  });
});

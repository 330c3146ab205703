import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { main } from '../main.js';
import { FakeTerminal } from '../testing/fake-terminal.js';
import { progressLine } from '../progress-line.js';

const dir = mkdtempSync(join(tmpdir(), 'vfiolab-cluster-'));
afterAll(() => rmSync(dir, { recursive: true }));

const file = (name: string, content: string | Buffer): string => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};
const NODES = 'sn,cpu_milli,memory_mib,gpu,model\nsmall,4000,100,1,T4\nlarge,8000,100,2,T4\n';
const PODS =
  'name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\na,1000,10,1,500,\nb,1000,10,2,1000,T4\nc,1000,10,1,1000,A100\n';
const nodes = file('nodes.csv', NODES);
const pods = file('pods.csv.gz', gzipSync(PODS));
const order = file('order.csv', 'pod\na\nb\na-tuned-0\nc\n');
const rank = file('rank.csv', 'rank,node\n0,small\n1,large\n');

async function cluster(...args: string[]) {
  const terminal = new FakeTerminal();
  const code = await main(['cluster', ...args], terminal);
  return { code, out: terminal.written.out, err: terminal.written.err };
}

const given = ['--nodes', nodes, '--pods', pods, '--order', order, '--rank', rank];

describe('vfiolab cluster', () => {
  it('writes where each pod is, and why not', async () => {
    const out = join(dir, 'one');
    const { code, err } = await cluster(...given, '--policy', 'bestfit', '--out', out);
    expect(code).toBe(0);
    expect(err).toContain('note: no host has a GPU of model A100.');
    expect(readFileSync(join(out, 'placements.csv'), 'utf8')).toBe(
      'pod,node,reason\na,small,\nb,large,\na-tuned-0,small,\nc,,T4 x1 4 CPUs: model 1; T4 x2 8 CPUs: model 1\n',
    );
    expect(readFileSync(join(out, 'devices.csv'), 'utf8')).toBe(
      'pod,node,devices\na,small,gpu0\nb,large,gpu0 gpu1\na-tuned-0,small,gpu0\n',
    );
    expect(JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'))).toMatchObject({
      policy: 'bestfit',
      pods: 4,
      placed: 3,
      unschedulable: 1,
      reasons: { model: 1 },
    });
  });

  it('compares policies, with a folder for each', async () => {
    const out = join(dir, 'many');
    const { code, out: text } = await cluster(...given, '--policy', 'gpupacking,fgd', '--out', out);
    expect(code).toBe(0);
    expect(text).toMatch(/policy +pods +placed.*\ngpupacking +4 +3 .*\nfgd +4 +3 /);
    expect(existsSync(join(out, 'fgd', 'placements.csv'))).toBe(true);
    expect(JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8')).policies).toHaveLength(2);
  });

  it('prints one JSON object', async () => {
    const { out } = await cluster(...given, '--policy', 'random', '--json');
    expect(JSON.parse(out)).toMatchObject({ hosts: 2, policies: [{ policy: 'random', pods: 4 }] });
  });

  it('makes a demand of copies, and the same for the same seed', async () => {
    const args = ['--nodes', nodes, '--pods', pods, '--policy', 'fgd', '--demand', '3', '--json'];
    const [one, same, other] = [await cluster(...args), await cluster(...args), await cluster(...args, '--seed', '9')];
    expect(same.out).toBe(one.out);
    expect(JSON.parse(one.out).policies[0].gpuDemand).toBeGreaterThan(200);
    expect(JSON.parse(other.out).policies[0].pods).toBeGreaterThan(3);
  });

  it('takes devices from machines of the catalogue, and writes and reads them as ResourceSlices', async () => {
    const real = file('real.csv', 'sn,cpu_milli,memory_mib,gpu,model,machine\nh,64000,256000,8,V100,sm-4029gp-trt2\n');
    const asks = file(
      'asks.csv',
      'name,cpu_milli,memory_mib,num_gpu,gpu_milli,passthrough\na,1000,1,1,1000,1\nb,1000,1,4,1000,1\nc,1000,1,1,1000,1\n',
    );
    const slices = join(dir, 'slices.yaml');
    const common = ['--pods', asks, '--order', file('o.csv', 'pod\na\nb\nc\n'), '--policy', 'groups', '--json'];
    const first = await cluster('--nodes', real, '--slices', slices, ...common);
    // Its 8 GPUs are in two groups of 4: one for a, one for b.
    expect(JSON.parse(first.out).policies[0]).toMatchObject({ placed: 2, unschedulable: 1, reasons: { group: 1 } });
    const again = await cluster('--nodes', slices, ...common);
    expect(JSON.parse(again.out).policies[0]).toMatchObject({ placed: 2, unschedulable: 1 });
    const unknown = file('unknown.csv', 'sn,cpu_milli,memory_mib,gpu,model,machine\nh,1,1,8,V100,sm-4029gp-trt3\n');
    const { code, err } = await cluster('--nodes', unknown, ...common);
    expect(code).toBe(2);
    expect(err).toContain('unknown.csv:2: machine: sm-4029gp-trt3: there is no such file or machine. Did you mean');
  });

  it('runs in time, with events', async () => {
    const out = join(dir, 'timed');
    const timed = file(
      'timed.csv',
      'name,cpu_milli,memory_mib,num_gpu,gpu_milli,passthrough,creation_time,deletion_time\na,1000,10,2,1000,1,0,100\nb,1000,10,2,1000,1,10,20\n',
    );
    const events = file('events.csv', 'time,event,node,device,seconds\n50,fail,large,,30\n');
    const args = ['--nodes', nodes, '--pods', timed, '--policy', 'bestfit'];
    const { code, out: text } = await cluster(...args, '--events', events, '--out', out);
    expect(code).toBe(0);
    expect(text).toMatch(/policy +pods +started +waiting .*\nbestfit +2 +2 +0 +0 +1 /);
    expect(text).toContain('a start takes, in seconds on average: launch');
    expect(readFileSync(join(out, 'timeline.csv'), 'utf8')).toMatch(/^time,running,waiting,.*\n0\.000,0,0,/);
    expect(JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'))).toMatchObject({ restarts: 1, started: 2 });
    const json = await cluster(...args, '--time', '--json', '--processor', 'amd');
    expect(JSON.parse(json.out).policies[0]).toMatchObject({ policy: 'bestfit', restarts: 0 });
    const wrong = await cluster(...args, '--time', '--processor', 'arm');
    expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining('--processor: there is no "arm".') });
  });

  it('writes metrics of all policies for Prometheus', async () => {
    const out = join(dir, 'metrics');
    await cluster(...given, '--policy', 'gpupacking,fgd', '--out', out);
    const text = readFileSync(join(out, 'metrics.prom'), 'utf8');
    expect(text).toContain('vfiolab_cluster_pods{policy="gpupacking",state="placed"} 3\n');
    expect(text).toContain('vfiolab_cluster_unplaced_pods{policy="fgd",reason="model"} 1\n');
  });

  it('sweeps over seeds, demands and policies, each run as it is alone', async () => {
    const out = join(dir, 'swept');
    const files = ['--nodes', nodes, '--pods', pods];
    const axes = 'seeds=1-3,demand=0.5:2.5:1,policy=fgd|random';
    const { code, out: text } = await cluster(...files, '--sweep', axes, '--threads', '1', '--out', out);
    expect(code).toBe(0);
    expect(text.split('\n').filter((line) => /^(fgd|random) /.test(line))).toHaveLength(6);
    const [head, ...lines] = readFileSync(join(out, 'sweep.csv'), 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(18);
    expect(lines.map((line) => line.split(',').slice(0, 3).join()).slice(0, 4)).toEqual(['fgd,0.5,1', 'fgd,0.5,2', 'fgd,0.5,3', 'fgd,1.5,1']); // prettier-ignore
    const alone = await cluster(...files, '--policy', 'random', '--seed', '3', '--demand', '2.5', '--json');
    const { policies } = JSON.parse(alone.out);
    const at = head!.split(',').indexOf('gpuAllocation');
    expect(Number(lines.at(-1)!.split(',')[at])).toBe(policies[0].gpuAllocation);
    const json = await cluster(...files, '--sweep', 'seeds=4|9', '--policy', 'fgd', '--threads', '1', '--json');
    expect(JSON.parse(json.out).runs.map(({ seed }: { seed: number }) => seed)).toEqual([4, 9]);
  });

  it.each([
    ['size=3', '"size=3" is not AXIS=VALUES with seeds, demand, policy'],
    ['seeds', '"seeds" is not AXIS=VALUES'],
    ['seeds=1-2,seeds=3', 'seeds is there twice'],
    ['seeds=5-2', 'the range has no value'],
    ['demand=1:2:0', 'the range has no value'],
    ['seeds=1-10001', 'more than 10000 values'],
    ['seeds=1-5000,demand=1|2|3', '15000 runs: at most 10000'],
    ['demand=much', '--demand: "much" is no number'],
    ['policy=fgt', 'there is no "fgt"'],
  ])('says what is wrong with the sweep %s', async (axes, problem) => {
    const args = ['--nodes', nodes, '--pods', pods, '--policy', 'fgd', '--threads', '1'];
    const { code, err } = await cluster(...args, '--sweep', axes);
    expect([code, err]).toEqual([2, expect.stringContaining(problem)]);
  });

  it('does not sweep what one run alone has', async () => {
    const { code, err } = await cluster(...given, '--sweep', 'seeds=1-2', '--policy', 'fgd');
    expect([code, err]).toEqual([2, expect.stringContaining('--sweep and --order do not go together.')]);
  });

  it('writes a page that opens without a network, in time too', async () => {
    const page = join(dir, 'report.html');
    expect((await cluster(...given, '--policy', 'bestfit,fgd', '--report', page)).code).toBe(0);
    const text = readFileSync(page, 'utf8');
    expect(text).toContain('<section id="allocation">');
    expect(text).toContain('2 hosts with 3 GPUs, 4 pods; seed 42.');
    const timed = file(
      'report.csv',
      'name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time\na,1000,10,2,1000,0,100\n',
    );
    await cluster('--nodes', nodes, '--pods', timed, '--policy', 'fgd', '--time', '--report', page);
    expect(readFileSync(page, 'utf8')).toMatch(/<section id="timeline">[^]*<section id="startup">/);
    const nowhere = await cluster(...given, '--policy', 'fgd', '--report', join(dir, 'no', 'report.html'));
    expect(nowhere).toMatchObject({ code: 2, err: expect.stringContaining('cannot be written') });
  });

  it('carries placements out on emulated hosts', async () => {
    const hosts = file(
      'carry.csv',
      'sn,cpu_milli,memory_mib,gpu,model,per_group,machine\na,64000,65536,4,H100,2,\nb,64000,65536,8,V100,,sm-4029gp-trt2\n',
    );
    const asks = file(
      'carried.csv',
      'name,cpu_milli,memory_mib,num_gpu,gpu_milli,passthrough,pinned_mib\na,1,1,2,1000,1,16\nb,1,1,4,1000,1,16\nc,1,1,1,500,0,0\n',
    );
    const args = ['--nodes', hosts, '--pods', asks, '--policy', 'groups', '--carry', '10'];
    const { code, out } = await cluster(...args);
    expect(code).toBe(0);
    expect(out).toContain(
      'groups: 3 placements carried out on 2 emulated hosts (and 0 that were there before): 6 devices',
    );
    expect(out).toContain('32 MiB mapped, 0 refused');
    const json = await cluster(...args, '--json');
    expect(JSON.parse(json.out).policies[0].carried).toMatchObject({
      sampled: 3,
      devices: 6,
      refused: 0,
      problems: [],
    });
    const timed = await cluster(...args, '--time');
    expect(timed).toMatchObject({ code: 2, err: expect.stringContaining('--carry is for runs without time') });
    const odd = file('odd.csv', 'sn,cpu_milli,memory_mib,gpu,model,per_group,per_switch\na,64000,65536,6,H100,2,3\n');
    const none = await cluster('--nodes', odd, ...args.slice(2));
    expect(none).toMatchObject({
      code: 2,
      err: expect.stringContaining('--carry: H100 x6 64 CPUs: no PCI machine can be made'),
    });
  });

  it.each([
    ['no policy', ['--nodes', nodes, '--pods', pods], '--policy is missing'],
    ['an unknown policy', [...given, '--policy', 'fgt'], '--policy: there is no "fgt". Did you mean fgd?'],
    ['a policy twice', [...given, '--policy', 'fgd,fgd'], '--policy: fgd is named twice.'],
    ['no demand', [...given, '--policy', 'fgd', '--demand', '0'], '--demand: "0" is no number above 0'],
    [
      'a missing file',
      ['--nodes', 'nowhere.csv', '--pods', pods, '--policy', 'fgd'],
      '--nodes nowhere.csv: cannot be read',
    ],
    [
      'a broken line',
      ['--nodes', file('bad.csv', `${NODES}x,1\n`), '--pods', pods, '--policy', 'fgd'],
      'bad.csv:4: has 2 fields',
    ],
  ])('ends with 2 and words for %s', async (_what, args, message) => {
    const { code, err } = await cluster(...args);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });
});

it('shows how far it is, how fast, and what is left', () => {
  expect(progressLine('fgd', 2500, 10_000, 0.5)).toBe(
    'fgd [######------------------] 25 %  2,500 of 10,000 pods, 5,000/s, 1.5 s left',
  );
  expect(progressLine('fgd', 0, 0, 0)).toContain('100 %');
});

import { request } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLUSTER_LIMITS, importNodes, LiveCluster, newKinds, policies } from '@vfiolab/cluster';
import { parse } from '../command.js';
import { cluster } from '../commands/cluster.js';
import { FakeTerminal } from '../testing/fake-terminal.js';
import { main } from '../main.js';
import { serveCluster } from './cluster-serve.js';
import { Extender } from './extender.js';
import { ExtenderServer, MOST_BYTES } from './extender-server.js';

const NODES =
  'sn,cpu_milli,memory_mib,gpu,model,per_group,devices,memlock_mib\npairs,64000,65536,4,H100,2,,\nsingle,64000,65536,4,H100,1,,\nold,64000,65536,2,T4,1,vf*1:4,\nlocked,64000,65536,1,H100,1,,1\n';

let server: ExtenderServer;
let extender: Extender;

beforeEach(async () => {
  const kinds = newKinds();
  const hosts = importNodes(NODES, 'nodes.csv', kinds);
  extender = new Extender(
    new LiveCluster(
      hosts,
      kinds,
      policies.find(({ name }) => name === 'groups')!,
    ),
    kinds,
  );
  server = await ExtenderServer.listen(extender, 0);
});
afterEach(() => server.close());

const ALL = ['pairs', 'single', 'old', 'locked', 'nowhere'];

const pod = (uid: string, gpus: number, annotations: object = { 'vfiolab/passthrough': '1' }) => ({
  metadata: { name: uid, namespace: 'd', uid, annotations },
  spec: { containers: [{ resources: { requests: { cpu: '1', memory: '1Gi', 'nvidia.com/gpu': String(gpus) } } }] },
});

async function post(path: string, body: unknown, url = server.url): Promise<{ status: number; body: any }> {
  const answer = await fetch(`${url}${path}`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

const bind = (uid: string, Node: string) => post('/bind', { PodName: uid, PodNamespace: 'd', PodUID: uid, Node });

describe('the extender, asked over HTTP as kube-scheduler does', () => {
  it('filters by what hosts can give, prefers what strands least, and books what is bound', async () => {
    const Pod = pod('one', 1, { 'vfiolab/passthrough': '1', 'vfiolab/gpu_spec': 'H100', 'vfiolab/pinned_mib': '16' });
    const filtered = await post('/filter', { Pod, NodeNames: ALL });
    expect(filtered).toEqual({
      status: 200,
      body: {
        NodeNames: ['pairs', 'single'],
        FailedNodes: {},
        FailedAndUnresolvableNodes: { old: 'lacks model', locked: 'lacks memlock', nowhere: 'no such host is known' },
        Error: '',
      },
    });
    const scored = await post('/prioritize', { Pod, NodeNames: ['pairs', 'single'] });
    expect(scored.body).toEqual([{ Host: 'pairs', Score: 0 }, { Host: 'single', Score: 10 }]); // prettier-ignore
    expect(await bind('one', 'pairs')).toEqual({ status: 200, body: { Error: '' } });
    // Of the pairs' four GPUs two are left that somebody else may have.
    const three = await post('/filter', { Pod: pod('two', 3), NodeNames: ALL });
    expect(three.body.NodeNames).toEqual(['single']);
    expect(three.body.FailedNodes).toEqual({ pairs: 'lacks group', old: 'lacks devices', locked: 'lacks devices' });
  });

  it('takes whole nodes too, in any case of keys, and gives them back', async () => {
    const items = ['pairs', 'nowhere'].map((name) => ({ metadata: { name, labels: { a: 'b' } } }));
    const { body } = await post('/filter', { pod: pod('one', 1), nodes: { kind: 'NodeList', items } });
    expect(body.Nodes).toEqual({ kind: 'NodeList', items: [items[0]] });
  });

  it('binds once, frees what is released, and says why it does not bind', async () => {
    expect((await bind('one', 'pairs')).body.Error).toContain('no filter asked about it');
    await post('/filter', { Pod: pod('one', 4), NodeNames: ALL });
    expect((await bind('one', 'nowhere')).body.Error).toBe('nowhere does not take it: unknown-host');
    expect((await bind('one', 'old')).body.Error).toBe('old does not take it: devices');
    expect((await bind('one', 'pairs')).body.Error).toBe('');
    // kube-scheduler asks again when the answer was lost.
    expect((await bind('one', 'pairs')).body.Error).toBe('');
    expect((await bind('one', 'single')).body.Error).toBe('the pod is on pairs already');
    const full = await post('/filter', { Pod: pod('two', 1), NodeNames: ['pairs'] });
    expect(full.body.FailedNodes).toEqual({ pairs: 'lacks devices' });
    expect((await post('/release', { PodUID: 'one' })).body.Error).toBe('');
    expect((await post('/release', { PodUID: 'one' })).body.Error).toBe('the pod is on no host here');
    expect((await post('/filter', { Pod: pod('two', 4), NodeNames: ['pairs'] })).body.NodeNames).toEqual(['pairs']);
  });

  it.each([
    ['no JSON', '/filter', '{', 400, /^the question is no JSON: /],
    ['no nodes', '/filter', {}, 400, /^neither NodeNames nor Nodes\.items/],
    ['names that are none', '/prioritize', { NodeNames: [1] }, 400, /^neither NodeNames/],
    ['no pod', '/prioritize', { NodeNames: [] }, 400, /^pod: spec\.containers: is missing$/],
    ['no node', '/bind', { PodUID: 'a' }, 400, /^PodUID or Node is missing$/],
    ['no pod to release', '/release', null, 400, /^PodUID is missing$/],
    ['another path', '/preempt', {}, 404, /^there are \/filter, \/prioritize, \/bind, \/release$/],
  ])('says what is wrong with %s', async (_what, path, body, status, error) => {
    expect(await post(path, body)).toEqual({ status, body: { error: expect.stringMatching(error) } });
  });

  it('says in a filter’s answer what is wrong with a pod', async () => {
    const { status, body } = await post('/filter', { Pod: pod('p', 1, { 'vfiolab/near': 'door' }), NodeNames: ALL });
    expect([status, body.Error]).toEqual([200, expect.stringContaining('p: near: "door" is none of')]);
  });

  it('answers POST alone, and no question that is too long', async () => {
    expect((await fetch(`${server.url}/filter`)).status).toBe(405);
    const { hostname, port } = new URL(server.url);
    const status = await new Promise<number | undefined>((resolve) => {
      const asked = request({ hostname, port, path: '/filter', method: 'POST' }, ({ statusCode }) =>
        resolve(statusCode),
      );
      asked.on('error', () => undefined);
      const part = Buffer.alloc(2 ** 20, 'x');
      for (let i = 0; i <= MOST_BYTES / part.length; i++) asked.write(part);
    });
    expect(status).toBe(413);
  });

  it('knows so many different requests and no more', () => {
    const ask = (i: number) => {
      const Pod = { metadata: { name: 'p' }, spec: { containers: [{ resources: { requests: { cpu: `${i}m` } } }] } };
      return extender.verbs['/filter']!({ Pod, NodeNames: [] }).body as { Error: string };
    };
    let last = '';
    for (let i = 0; i <= CLUSTER_LIMITS.classes && last === ''; i++) last = ask(i + 1).Error;
    expect(last).toBe(`more than ${CLUSTER_LIMITS.classes} different requests have come`);
    expect(ask(1).Error).toBe('');
  });
});

it.each(policies.map(({ name }) => [name]))('every policy can be served: %s', (name) => {
  const kinds = newKinds();
  const hosts = importNodes(NODES, 'nodes.csv', kinds);
  const live = new LiveCluster(
    hosts,
    kinds,
    policies.find((each) => each.name === name)!,
  );
  const other = new Extender(live, kinds);
  for (const [i, gpus] of [1, 2, 1, 3].entries()) {
    const Pod = pod(`p${i}`, gpus);
    const { NodeNames } = other.verbs['/filter']!({ Pod, NodeNames: ALL }).body as { NodeNames: string[] };
    const scores = other.verbs['/prioritize']!({ Pod, NodeNames }).body as { Host: string; Score: number }[];
    expect(scores.every(({ Score }) => Number.isInteger(Score) && Score >= 0 && Score <= 10)).toBe(true);
    const best = scores.find(({ Score }) => Score === 10)!.Host;
    other.verbs['/bind']!({ PodUID: `p${i}`, Node: best });
  }
  expect(live.bookings).toBeGreaterThan(2);
  for (let i = 0; i < 4; i++) live.release(`p${i}`);
  expect(live.bookings).toBe(0);
});

describe('vfiolab cluster serve', () => {
  const dir = mkdtempSync(join(tmpdir(), 'vfiolab-extender-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const nodes = join(dir, 'nodes.csv');
  writeFileSync(nodes, NODES);

  it('serves on the loopback until it is asked to end', async () => {
    const terminal = new FakeTerminal();
    let filtered: unknown;
    const until = async (): Promise<void> => {
      const { url } = JSON.parse(terminal.written.out) as { url: string };
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:/);
      filtered = (await post('/filter', { Pod: pod('one', 1), NodeNames: ['old'] }, url)).body;
    };
    const input = parse(cluster, ['serve', '--nodes', nodes, '--port', '0', '--json']);
    expect(await serveCluster(input, { terminal, engine: undefined as never, json: true }, until)).toBe(0);
    expect(filtered).toMatchObject({ NodeNames: ['old'] });
  });

  it.each([
    [['serve'], '--nodes is missing'],
    [['serve', '--nodes', nodes, '--policy', 'fgd,groups'], '--policy: one policy is served.'],
    [['serve', '--nodes', nodes, '--port', '70000'], '--port: "70000" is no whole number'],
    [['survey', '--nodes', nodes], '"survey" is none of: serve.'],
  ])('ends with 2 and words for %j', async (args, problem) => {
    const terminal = new FakeTerminal();
    expect(await main(['cluster', ...args], terminal)).toBe(2);
    expect(terminal.written.err).toContain(problem);
  });

  it('says that a port is taken', async () => {
    const terminal = new FakeTerminal();
    const taken = new URL(server.url).port;
    expect(await main(['cluster', 'serve', '--nodes', nodes, '--port', taken], terminal)).toBe(2);
    expect(terminal.written.err).toContain('EADDRINUSE');
  });
});

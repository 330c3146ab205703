import { bootApi } from '@vfiolab/core';
import { Process } from '@vfiolab/client';
import { SERVICES } from '@vfiolab/host';
import type { Environment } from '@vfiolab/scenario';
import { findNatsServer } from '@vfiolab/shell';
import { type NatsLab, startNatsLab } from './nats-lab.js';

const withServer = findNatsServer() ? describe : describe.skip;

withServer('a lab of many hosts on NATS (skipped when nats-server is not installed)', () => {
  let lab: NatsLab;
  beforeAll(async () => (lab = await startNatsLab({ url: 'auto', hosts: 2 })), 90_000);
  afterAll(() => lab.end());

  const pidOn = async (env: Environment): Promise<unknown> => new Process('p', env.link('p')).start();

  it('hosts side by side know nothing of each other', async () => {
    const [a, b] = await Promise.all([lab.newHost(), lab.newHost()]);
    await pidOn(a);
    const processes = async (env: Environment) => (await env.inspect('pages')).figures['processes'];
    expect([await processes(a), await processes(b)]).toEqual([1, 0]);
    expect(await a.actors()).toEqual([...SERVICES].sort());
    expect(await Promise.all([a.end(), b.end()])).toEqual([
      { actors: [], broken: [] },
      { actors: [], broken: [] },
    ]);
  }, 30_000);

  it('more than it was started for are refused by every service, in words; who ends makes room', async () => {
    const hosts = [await lab.newHost(), await lab.newHost()];
    await expect(lab.newHost()).rejects.toThrow(/lab\.serve: h\d+ is not served: .* serves all 3 hosts that it may/);
    await hosts[0]!.end();
    hosts[0] = await lab.newHost();
    await Promise.all(hosts.map((host) => host.end()));
  }, 30_000);

  it('a device is among the actors once somebody has spoken to it', async () => {
    const host = await lab.newHost();
    await host.link('operator').call('device:0000:01:00_0', bootApi.inspect, undefined);
    expect(await host.actors()).toContain('device:0000:01:00_0');
    await host.end();
  }, 30_000);

  it('a crash cannot be arranged: the service would come back empty', async () => {
    const host = await lab.newHost();
    expect(() => host.crash({ service: 'pages', method: 'pages.mmap', nth: 1, at: 'request', downMs: 1 })).toThrow(
      /keeps no journal/,
    );
    await host.end();
  }, 30_000);

  it('once it has ended nobody answers', async () => {
    const host = await lab.newHost();
    await lab.end();
    await expect(host.inspect('pages')).rejects.toThrow('the lab has ended');
    await expect(lab.newHost()).rejects.toThrow();
  }, 30_000);
});

withServer('a lab that is lost (skipped when nats-server is not installed)', () => {
  it('says which process ended, and rejects what was under way and what is asked later', async () => {
    const lab = await startNatsLab({ url: 'auto', hosts: 2 });
    const host = await lab.newHost();
    const lost = expect(lab.lost).rejects.toThrow('the pages service ended with SIGKILL');
    process.kill(lab.pidOf('pages')!, 'SIGKILL');
    await expect(host.inspect('pages')).rejects.toThrow('the pages service ended with SIGKILL');
    await lost;
    await expect(host.inspect('iommu')).rejects.toThrow('the pages service ended with SIGKILL');
    await expect(lab.newHost()).rejects.toThrow();
    await lab.end();
  }, 90_000);

  it.each([
    ['nobody there', 'nats://127.0.0.1:1', /127\.0\.0\.1:1: no NATS server answered in 200 ms/],
    ['no address', 'nats:/x', /'nats:\/x' is not a NATS address/],
  ])(
    '%s: it does not begin',
    async (_name, url, message) => {
      await expect(startNatsLab({ url, hosts: 1, connectMs: 200 })).rejects.toThrow(message);
    },
    20_000,
  );
});

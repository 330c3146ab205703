/** A lab with one machine whose function is on a socket. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Process } from '@vfiolab/client';
import { PAGES } from '@vfiolab/core';
import { makeHost } from '@vfiolab/scenario';
import { type EmbeddedLab, startEmbedded } from '@vfiolab/testbed';
import { type Loans, prepareDevice, VfioUserServer } from '@vfiolab/vfio-user';

export class ServedMachine {
  private constructor(
    readonly lab: EmbeddedLab,
    readonly server: VfioUserServer,
    readonly path: string,
    private readonly dir: string,
  ) {}

  /** `journaled`: services other than `pages` can be killed. */
  static async start(description: string, bdf: string, { journaled = false } = {}): Promise<ServedMachine> {
    const dir = mkdtempSync(join(tmpdir(), 'vfiolab-served-'));
    const loans: Loans = new Map();
    const durability = journaled ? 'process' : 'none';
    const lab = await startEmbedded({ dir: join(dir, 'run'), durability, record: false, lent: loans });
    const host = { machine: 'served', memory: 2 ** 33, profile: '7.2', iommu: 'intel-vtd' };
    const { error } = await makeHost(lab.link('operator'), host, description);
    if (error !== '') throw new Error(error);
    const root = new Process('root', lab.link('root'));
    await root.start();
    const ready = await prepareDevice(root, bdf);
    if (!ready.ok) throw new Error(`${bdf}: ${ready.errno}`);
    await root.exit();
    const path = join(dir, 'device.sock');
    return new ServedMachine(lab, new VfioUserServer({ lab, loans, bdf, path }), path, dir);
  }

  /** What processes of the lab still hold when nobody is connected any more. */
  async quiet(): Promise<Record<string, number>> {
    for (let i = 0; i < 500 && this.server.connections > 0; i++) await new Promise((r) => setTimeout(r, 10));
    const { figures } = await this.lab.inspect(PAGES);
    return Object.fromEntries(Object.entries(figures).filter(([, n]) => n !== 0));
  }

  /** Broken invariants; none is well. */
  async end(): Promise<string[]> {
    await this.server.close();
    const { broken } = await this.lab.end();
    rmSync(this.dir, { recursive: true, force: true });
    return broken;
  }
}

/**
 * A lab with one machine, its function 00:03.0 (the DMA engine with QEMU's edu's ids) served on a socket.
 *
 * Rule: a rig ends with the lab's own invariants checked and nothing left in it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Process } from '@vfiolab/client';
import { PAGES } from '@vfiolab/core';
import { makeHost } from '@vfiolab/scenario';
import { type EmbeddedLab, startEmbedded } from '@vfiolab/testbed';
import type { Loans } from '../guest-memory.js';
import { prepareDevice } from '../prepare.js';
import { type ServeOptions, VfioUserServer } from '../server.js';
import { SharedMemory } from '../shared-memory.js';

export const ENGINE = '0000:00:03.0';

/** edu's config space: a header, and MSI with 64-bit addresses at 0x40. */
const CONFIG = ['3412e811030110001000ff', '2c:f41a0011', '34:40', '3c:0b01', '40:05008000']
  .map((piece) => (piece.includes(':') ? piece.split(':') : ['0', piece]))
  .reduce((bytes, [at, hex]) => (bytes.write(hex!, parseInt(at!, 16), 'hex'), bytes), Buffer.alloc(256))
  .toString('hex');

/** The machine of the golden traces; `model`: what answers behind the function's registers. */
const machine = (model: string) => ({
  format: 'pci-topology-fixture/1',
  id: 'vfio-user',
  iommu: { type: 'intel-vtd' },
  functions: [
    { bdf: '0000:00:00.0', vendor: '0x8086', device: '0x29c0', class: '0x060000', header_type: 0 },
    {
      bdf: ENGINE,
      vendor: '0x1234',
      device: '0x11e8',
      class: '0x00ff00',
      header_type: 0,
      driver: 'edu',
      model,
      bars: [{ index: 0, kind: 'mem', bits: 32, prefetchable: false, size: 1048576 }],
      config: CONFIG,
    },
  ],
});

export class Rig {
  private constructor(
    readonly lab: EmbeddedLab,
    readonly server: VfioUserServer,
    readonly path: string,
    private readonly dir: string,
  ) {}

  static async start(
    options: Partial<Pick<ServeOptions, 'maxFds' | 'maxTransfer' | 'timeoutMs' | 'labMs' | 'maxMaps'>> & {
      model?: string;
      durability?: 'none' | 'process';
    } = {},
  ): Promise<Rig> {
    const { model = 'dma-engine', durability = 'none', ...limits } = options;
    const dir = mkdtempSync(join(tmpdir(), 'vfio-user-'));
    const loans: Loans = new Map();
    const lab = await startEmbedded({ dir: join(dir, 'run'), durability, record: false, lent: loans });
    const host = { machine: 'rig', memory: 2 ** 32, profile: '7.2', iommu: 'intel-vtd' };
    const { error } = await makeHost(lab.link('operator'), host, JSON.stringify(machine(model)));
    if (error !== '') throw new Error(error);
    const root = new Process('root', lab.link('root'));
    await root.start();
    const ready = await prepareDevice(root, ENGINE);
    if (!ready.ok) throw new Error(`prepareDevice: ${ready.errno}`);
    await root.exit();
    const path = join(dir, 'device.sock');
    const server = new VfioUserServer({ lab, loans, bdf: ENGINE, path, ...limits });
    return new Rig(lab, server, path, dir);
  }

  /** Figures of the pages service: what processes of the lab hold. */
  async held(): Promise<Record<string, number>> {
    const { figures } = await this.lab.inspect(PAGES);
    return Object.fromEntries(Object.entries(figures).filter(([, n]) => n !== 0));
  }

  /** Resolves when nobody is connected and nothing is held. */
  async quiet(): Promise<Record<string, number>> {
    for (let i = 0; i < 200 && this.server.connections > 0; i++) await new Promise((r) => setTimeout(r, 10));
    return this.held();
  }

  /** Broken invariants of the lab; none is well. */
  async end(): Promise<string[]> {
    await this.server.close();
    const { broken } = await this.lab.end();
    rmSync(this.dir, { recursive: true, force: true });
    return broken;
  }
}

/** Memory that a VMM shares, as its guest sees it. */
export class GuestRam extends SharedMemory {
  read(at: number, count: number): number[] {
    const bytes = new Uint8Array(count);
    this.readInto(at, bytes);
    return [...bytes];
  }

  override write(at: number, bytes: readonly number[] | Uint8Array): void {
    super.write(at, Uint8Array.from(bytes));
  }
}

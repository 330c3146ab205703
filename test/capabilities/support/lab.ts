/**
 * A booted host for tests that speak as programs do, and what must be left of them in the end.
 *
 * Words: a *mock* host has no IOMMU, so that the kernel's self-test brings its own; on a *real* one three functions, each
 * alone or first in its group, wait on vfio-pci behind VT-d.
 * Rule: a test sees what system calls answer, what DMA moves, and what the services still hold.
 */
import { readFileSync } from 'node:fs';
import { CAP_SYS_RAWIO, CAP_SYS_RESOURCE, GROUPS, IOMMU, IOMMUFD, PAGES } from '@vfiolab/core';
import { type Credentials, ROOT } from '@vfiolab/client';
import { TestHost } from '@vfiolab/sim';
import { IOMMU_OPTION, IOMMU_OPTION_OP_SET, IOMMU_OPTION_RLIMIT_MODE, type KernelProfile } from '@vfiolab/uapi';
import { Program } from './program.js';

const machine = readFileSync(new URL('../../machines/imac-cometlake.json', import.meta.url), 'utf8');

/** Groups 2, 4 and 9; the last one has a sibling. */
export const FUNCTIONS = ['0000:00:12.0', '0000:00:16.0', '0000:00:1e.0', '0000:00:1e.1'] as const;

/** A user who may not lock more than his limit. */
export const user = (uid: number, memlock: number): Credentials => ({ uid, caps: 0, memlock });
/** Root without CAP_IPC_LOCK: it is charged, and may still choose the mode of accounting. */
export const charged = (memlock: number): Credentials => ({ uid: 0, caps: CAP_SYS_RAWIO | CAP_SYS_RESOURCE, memlock });

export interface LabOptions {
  readonly profile?: KernelProfile;
  readonly seed?: number;
}

export class Lab {
  private constructor(readonly host: TestHost) {}

  static async mock({ profile = '7.2', seed = 0 }: LabOptions = {}): Promise<Lab> {
    const lab = new Lab(await TestHost.boot({ machine, iommu: 'none', profile, frames: 1 << 20, seed }));
    const admin = await lab.process('admin');
    await lab.openToAll(admin, ['/dev/iommu']);
    await admin.exit();
    return lab;
  }

  /** What udev rules do for users who may have devices. */
  private async openToAll(admin: Program, nodes: readonly string[]): Promise<void> {
    for (const node of nodes) await admin.must(admin.process.chmod(node, 0o666));
  }

  static async real({ profile = '7.2', seed = 0 }: LabOptions = {}): Promise<Lab> {
    const lab = new Lab(await TestHost.boot({ machine, iommu: 'intel-vtd', profile, frames: 1 << 20, seed }));
    const admin = await lab.process('admin');
    const nodes = ['/dev/iommu'];
    for (const bdf of FUNCTIONS) {
      const device = `/sys/bus/pci/devices/${bdf}`;
      const driver = await lab.run(admin.process.readlink(`${device}/driver`));
      if (driver.ok) await admin.must(admin.process.sysfsWrite(`${device}/driver/unbind`, bdf));
      await admin.must(admin.process.sysfsWrite(`${device}/driver_override`, 'vfio-pci'));
      await admin.must(admin.process.sysfsWrite('/sys/bus/pci/drivers_probe', bdf));
      const [minor] = await admin.must(admin.process.listdir(`${device}/vfio-dev`));
      nodes.push(`/dev/vfio/devices/${minor}`);
    }
    await lab.openToAll(admin, nodes);
    await admin.exit();
    return lab;
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.host.run(work);
  }

  /** A process with /dev/iommu open. */
  async program(name: string, credentials: Credentials = ROOT): Promise<Program> {
    const p = await this.process(name, credentials);
    p.fd = await p.must(p.process.open('/dev/iommu'));
    return p;
  }

  /** A process without files. */
  async process(name: string, credentials: Credentials = ROOT): Promise<Program> {
    return new Program(this, await this.host.process(name, credentials));
  }

  /** A program whose /dev/iommu charges its mm instead of its user. */
  async programInMmMode(name: string, memlock: number): Promise<Program> {
    const p = await this.program(name, charged(memlock));
    await p.ioctl(IOMMU_OPTION, { option_id: IOMMU_OPTION_RLIMIT_MODE, op: IOMMU_OPTION_OP_SET, val64: 1n });
    return p;
  }

  /** Broken invariants, and services that stopped. */
  broken(): string[] {
    return [...this.host.host.failures, ...this.host.broken()];
  }

  /** What programs still hold of the host. */
  held(): Record<string, number> {
    const { contexts, objects, files } = this.host.figures(IOMMUFD);
    const { domains, mappedPages } = this.host.figures(IOMMU);
    const { processes, stores, pins, charges, usedFrames, files: memoryFiles } = this.host.figures(PAGES);
    const { ownedGroups, claims, cdevClaims } = this.host.figures(GROUPS);
    const iommufd = { contexts, objects, files, domains, mappedPages };
    const pages = { processes, stores, pins, charges, usedFrames, memoryFiles };
    const all = { ...iommufd, ...pages, ownedGroups, claims, cdevClaims };
    return Object.fromEntries(Object.entries(all).filter(([, n]) => n !== 0)) as Record<string, number>;
  }

  /** Broken invariants and what is left when every program has ended. */
  async afterwards(...programs: readonly Program[]): Promise<unknown> {
    for (const p of programs) await p.exit();
    return { broken: this.broken(), held: this.held() };
  }
}

/** What `afterwards` answers when nothing is wrong. */
export const NOTHING = { broken: [], held: {} };

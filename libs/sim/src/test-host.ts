/**
 * A host for tests: real cores in virtual time, nothing goes wrong unless the test says so.
 *
 * Rule: a test awaits calls as a program does; virtual time moves while it waits: one `run` at a time moves it, and all that
 * is awaited inside of `together` is moved by that.
 */
import {
  type Address,
  type Hugetlb,
  type KvmHolds,
  LAB,
  labApi,
  type Method,
  type Teaching,
  type VfioContainer,
} from '@vfiolab/core';
import { type Credentials, Process, ROOT } from '@vfiolab/client';
import { SimEnvironment } from './environment.js';
import { CALM, type SimOptions } from './options.js';
import { refuseNext } from './refuse.js';
import { SimHost } from './sim-host.js';
import { drive } from './simulate.js';

export interface TestHostOptions {
  /** lspci text or fixture of the machine. */
  readonly machine: string;
  readonly iommu?: string;
  readonly profile?: string;
  readonly vfioContainer?: VfioContainer;
  readonly teaching?: Teaching;
  /** Host memory in 4 KiB frames. */
  readonly frames?: number;
  /** log2 of the kernel's page in bytes; 12 when left out. */
  readonly pageShift?: number;
  readonly hugetlb?: Hugetlb | undefined;
  readonly allowUnsafeInterrupts?: number;
  /** How the kernel's KVM holds what VFIO gives it; left out: no /dev/kvm. */
  readonly kvm?: KvmHolds;
  /** The parent of mediated devices makes memory cards too. */
  readonly memoryCards?: boolean;
  readonly seed?: number;
  readonly options?: SimOptions;
}

const PIECE = 200_000;

export class TestHost {
  readonly host: SimHost;
  readonly env: SimEnvironment;
  private moving = false;

  private constructor({ seed = 0, options = CALM }: TestHostOptions) {
    this.host = new SimHost(seed, options);
    this.env = new SimEnvironment(this.host);
  }

  /** Boots a host; throws when the machine is refused. */
  static async boot(options: TestHostOptions): Promise<TestHost> {
    const t = new TestHost(options);
    await t.run(t.create(options));
    return t;
  }

  private async create({
    machine,
    iommu = 'intel-vtd',
    profile = '6.12',
    vfioContainer = 'vfio',
    teaching,
    frames = 1 << 24,
    pageShift = 12,
    hugetlb,
    allowUnsafeInterrupts = 0,
    kvm,
    memoryCards,
  }: TestHostOptions): Promise<void> {
    const operator = this.env.link('operator');
    for (let part = 0; part * PIECE < machine.length; part++) {
      const text = machine.slice(part * PIECE, (part + 1) * PIECE);
      await operator.call(LAB, labApi.loadMachine, { part, text });
    }
    const made = await operator.call(LAB, labApi.createHost, {
      machine: 'test',
      profile,
      iommu,
      frames,
      allowUnsafeInterrupts,
      vfioContainer,
      teaching,
      pageShift,
      hugetlb,
      kvm,
      memoryCards,
    });
    if (made.error) throw new Error(made.error);
  }

  /**
   * Moves virtual time until the work is done; what the program says first it says before time moves. Inside of `together`
   * somebody else moves it.
   */
  run<T>(work: Promise<T>): Promise<T> {
    if (this.moving) return work;
    this.host.touch();
    return drive(this.host, work);
  }

  /** Runs what makes calls at the same time. */
  async together<T>(work: () => Promise<T>): Promise<T> {
    this.moving = true;
    try {
      const all = work();
      // The calls leave before virtual time moves.
      this.host.touch();
      return await drive(this.host, all);
    } finally {
      this.moving = false;
    }
  }

  /** Resolves after `ms` of virtual time. */
  pause(ms: number): Promise<void> {
    const { host } = this;
    return new Promise((resolve) => {
      host.agenda.after(ms, () => {
        host.touch();
        resolve();
      });
    });
  }

  async process(name: string, credentials: Credentials = ROOT): Promise<Process> {
    const p = new Process(name, this.env.link(name));
    const started = await this.run(p.start(credentials));
    if (!started.ok) throw new Error(`process ${name}: ${started.errno}`);
    return p;
  }

  /** The next request for this method is answered so, and carried out by nobody. Tells whether there was one. */
  refuse<R>(to: Address, method: Method<any, R>, reply: R): () => boolean {
    return refuseNext(this.host, to, method, reply);
  }

  /** What a client could tell of a service's state, as bytes. */
  meaning(address: Address): Buffer {
    return Buffer.from(this.host.actor(address)!.machine.stateBytes('meaning'));
  }

  /** Broken invariants of all services, in words. */
  broken(): string[] {
    return this.host.broken();
  }

  figures(address: string): Record<string, number> {
    return this.host.actor(address)!.machine.core.figures();
  }
}

/**
 * A host on which mistakes are hunted: one booted machine, and programs that stop at the first errno.
 *
 * Words: a *session* is one program's open files, from the first open until all are closed. The *meaning* of a service is what a client could tell apart, as bytes; the *figures* are its counts.
 * Rule: when a session has closed everything, the host is as it was before the session began.
 */
import { type Address, type Core, IOMMU, IOMMUFD, PAGES } from '@vfiolab/core';
import type { Arguments, IoctlAnswer, Process } from '@vfiolab/client';
import {
  type AnyStruct,
  decode,
  encode,
  type Errno,
  type IoctlDef,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_TEST_CMD,
  iommu_test_dmabuf_get,
  iommu_test_mock_domain_flags,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  type KernelProfile,
  type Result,
  type StructOf,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '@vfiolab/uapi';
import { CALM, type SimOptions } from '../options.js';
import { TestHost } from '../test-host.js';
import { lostByRestart } from './restart.js';

/** `mock`: no IOMMU, so that the kernel's self-test has its own; `devices`: real functions behind VT-d. */
export type WorldKind = 'mock' | 'devices';

/** Bytes of memory that every program has, and the first IOVA of a mock domain. */
export const MEMORY = 65536;
export const APERTURE = 0x1000000n;
const FIXED_RW = 7;
const ARM_BYTES = 48;

export interface WorldOptions {
  readonly machine: string;
  readonly kind: WorldKind;
  readonly profile?: KernelProfile;
  readonly seed?: number;
  readonly options?: SimOptions;
  /** Functions that vfio-pci drives. */
  readonly bdfs?: readonly string[];
}

/** The refused ioctl of a session. */
export interface Step {
  readonly name: string;
  readonly errno: Errno;
  /** The call was refused, and a client could tell that something is different from before. */
  readonly leftTraces: readonly Address[];
}

/** A session met an errno. */
export class Stopped extends Error {
  constructor(readonly step: Step) {
    super(`${step.name}: ${step.errno}`);
  }
}

export class World {
  private constructor(
    readonly host: TestHost,
    readonly kind: WorldKind,
    readonly bdfs: readonly string[],
  ) {}

  static async boot({
    machine,
    kind,
    profile = '7.2',
    seed = 0,
    options = CALM,
    bdfs = [],
  }: WorldOptions): Promise<World> {
    const iommu = kind === 'mock' ? 'none' : 'intel-vtd';
    const host = await TestHost.boot({ machine, iommu, profile, frames: 1 << 16, seed, options });
    const world = new World(host, kind, bdfs);
    const root = await host.process('root');
    for (const bdf of bdfs) await world.giveToVfio(root, bdf);
    return world;
  }

  private async giveToVfio(root: Process, bdf: string): Promise<void> {
    const device = `/sys/bus/pci/devices/${bdf}`;
    const driver = await this.run(root.readlink(`${device}/driver`));
    if (driver.ok) await this.must(root.sysfsWrite(`${device}/driver/unbind`, bdf));
    await this.must(root.sysfsWrite(`${device}/driver_override`, 'vfio-pci'));
    await this.must(root.sysfsWrite('/sys/bus/pci/drivers_probe', bdf));
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.host.run(work);
  }

  /** For what the hunt itself needs: an errno is a mistake of the hunt. */
  async must<T>(work: Promise<Result<T>>): Promise<T> {
    const r = await this.run(work);
    if (!r.ok) throw new Error(`the hunt's own call failed: ${r.errno}`);
    return r.value;
  }

  /** A program with memory of its own. */
  async program(name: string): Promise<Program> {
    const process = await this.host.process(name);
    const va = BigInt(await this.must(process.mmap(MEMORY)));
    await this.must(process.write(Number(va), new Uint8Array(MEMORY)));
    return new Program(this, process, va);
  }

  core(address: Address): Core {
    return this.host.host.actor(address)!.machine.core;
  }

  meaning(address: Address): Buffer {
    return this.host.meaning(address);
  }

  /** The counts of all services, as text. */
  figures(): string {
    const all = this.host.host.addresses().map((a) => [a, this.core(a).figures()] as const);
    return all.map(([a, figures]) => `${a} ${JSON.stringify(figures)}`).join('\n');
  }

  /** No service has anything under way. */
  get idle(): boolean {
    const { host } = this.host;
    return host.addresses().every((address) => host.actor(address)!.machine.idle);
  }

  /** Broken invariants, and services that stopped. */
  broken(): string[] {
    return [...this.host.host.failures, ...this.host.broken()];
  }

  /** What is wrong now, state that would not survive a restart included. */
  wrong(): string[] {
    return [...this.broken(), ...WATCHED.flatMap((a) => lostByRestart(a, this.core(a)))];
  }
}

export class Program {
  constructor(
    readonly world: World,
    readonly process: Process,
    readonly va: bigint,
  ) {}

  async session(watched = false): Promise<Session> {
    const fd = await this.world.must(this.process.open('/dev/iommu'));
    return new Session(this, fd, watched);
  }

  /** Closes every fd, newest first. */
  async closeAll(): Promise<void> {
    for (const fd of [...this.process.openFds].reverse()) await this.world.must(this.process.close(fd));
  }
}

export interface Mock {
  readonly object: number;
  readonly device: number;
  readonly hwpt: number;
}

/** Services that an ioctl of /dev/iommu can change. */
const WATCHED: readonly Address[] = [IOMMU, IOMMUFD, PAGES];

export class Session {
  constructor(
    readonly program: Program,
    readonly fd: number,
    /** Compare the host before and after refused calls. */
    private readonly watched: boolean,
  ) {}

  get va(): bigint {
    return this.program.va;
  }

  /** One ioctl; throws `Stopped` for an errno. */
  async on<S extends AnyStruct>(
    fd: number,
    name: string,
    def: IoctlDef<string, S>,
    fields: Arguments<S>,
  ): Promise<IoctlAnswer<S>> {
    const { world, process } = this.program;
    const before = this.watched ? WATCHED.map((a) => world.meaning(a)) : [];
    const answer = await world.run(process.ioctl(fd, def, fields));
    if (!answer.errno) return answer;
    const leftTraces = WATCHED.filter((a, i) => this.watched && !world.meaning(a).equals(before[i]!));
    throw new Stopped({ name, errno: answer.errno, leftTraces });
  }

  async ioctl<S extends AnyStruct>(def: IoctlDef<string, S>, fields: Arguments<S> = {}): Promise<StructOf<S>> {
    return (await this.on(this.fd, def.name, def, fields)).out;
  }

  /** One op of the self-test; answers its arm. */
  async op<S extends AnyStruct>(
    op: number,
    layout: S,
    id: number,
    arm: Partial<StructOf<S>> = {},
  ): Promise<StructOf<S>> {
    const u = new Uint8Array(ARM_BYTES);
    u.set(encode(layout, arm as never));
    const { out } = await this.on(this.fd, `IOMMU_TEST_CMD ${op}`, IOMMU_TEST_CMD, { op, id, u });
    return decode(layout, out.u) as StructOf<S>;
  }

  async ioas(): Promise<number> {
    return (await this.ioctl(IOMMU_IOAS_ALLOC)).out_ioas_id;
  }

  /** Maps the program's memory from `offset` on at a fixed place. */
  async map(ioas_id: number, iova = APERTURE, length = 16384n, offset = 0n): Promise<void> {
    await this.ioctl(IOMMU_IOAS_MAP, { ioas_id, iova, length, user_va: this.va + offset, flags: FIXED_RW });
  }

  async mock(pt: number, dev_flags = 0): Promise<Mock> {
    const { out_stdev_id, out_idev_id, out_hwpt_id } = await this.op(
      IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
      iommu_test_mock_domain_flags,
      pt,
      { dev_flags },
    );
    return { object: out_stdev_id, device: out_idev_id, hwpt: out_hwpt_id };
  }

  /** A file in memory, as long as the program's own. */
  async memfd(): Promise<number> {
    const { world, process } = this.program;
    const fd = await world.must(process.memfds.create());
    await world.must(process.memfds.truncate(fd, MEMORY));
    return fd;
  }

  /** A dma-buf of so many bytes: its fd. */
  async dmabuf(length: number): Promise<number> {
    const u = new Uint8Array(ARM_BYTES);
    u.set(encode(iommu_test_dmabuf_get, { length, open_flags: 0 }));
    const name = `IOMMU_TEST_CMD ${IOMMU_TEST_OP_DMABUF_GET}`;
    return (await this.on(this.fd, name, IOMMU_TEST_CMD, { op: IOMMU_TEST_OP_DMABUF_GET, u })).ret;
  }

  /** The cdev of a function, not bound. */
  async cdev(bdf: string): Promise<number> {
    const { world, process } = this.program;
    const [minor] = await world.must(process.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
    return world.must(process.open(`/dev/vfio/devices/${minor}`));
  }

  async bind(bdf: string): Promise<{ readonly dev: number; readonly id: number }> {
    const dev = await this.cdev(bdf);
    const fields = { argsz: 16, iommufd: this.fd };
    const { out } = await this.on(dev, VFIO_DEVICE_BIND_IOMMUFD.name, VFIO_DEVICE_BIND_IOMMUFD, fields);
    return { dev, id: out.out_devid };
  }
}

/**
 * A host for tests of containers: real cores all around, programs with /dev/vfio/vfio open, and the test in the place of
 * `groups`, which gives groups to containers.
 *
 * The machine has a group of two functions (00:1e.0, 00:1e.1) and one of a single function (00:12.0).
 */
import { readFileSync } from 'node:fs';
import {
  type AnyStruct,
  type Errno,
  type IoctlDef,
  ok,
  type Result,
  toPowerpc,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
} from '@vfiolab/uapi';
import {
  type Address,
  ByteReader,
  ByteWriter,
  CONTAINER,
  containerApi,
  IOMMU,
  iommuApi,
  type Method,
  sysApi,
} from '@vfiolab/core';
import {
  type Arguments,
  type Credentials,
  type IoctlAnswer,
  type IoctlOptions,
  Link,
  type Process,
} from '@vfiolab/client';
import { TestHost, type TestHostOptions } from '@vfiolab/sim';
import { ContainerCore } from '../container-core.js';

const machine = readFileSync(new URL('../../../../test/machines/imac-cometlake.json', import.meta.url), 'utf8');

/** The test speaks as this; a name that no actor has. */
const GROUPS_OF_TEST: Address = 'groups:test';

export interface TestGroup {
  readonly group: number;
  readonly members: string[];
  readonly noiommu: boolean;
}
export const PAIR: TestGroup = { group: 1, members: ['0000:00:1e.0', '0000:00:1e.1'], noiommu: false };
export const ALONE: TestGroup = { group: 2, members: ['0000:00:12.0'], noiommu: false };
export const NOIOMMU: TestGroup = { group: 0, members: ['0000:00:12.0'], noiommu: true };

export const [TYPE1, TYPE1_V2] = [1, 3];
export const RW = 3;

export class Bench {
  private constructor(
    readonly host: TestHost,
    readonly p: Process,
    private readonly groups: Link,
  ) {}

  static async boot(options: Partial<TestHostOptions> = {}, credentials?: Credentials): Promise<Bench> {
    const host = await TestHost.boot({ machine, frames: 1 << 20, ...options });
    const { host: sim } = host;
    const link = new Link({
      now: () => sim.now(),
      sleep: (ms) => new Promise((resolve) => sim.agenda.after(ms, () => (sim.touch(), resolve()))),
      send: (to, frame) => sim.network.send(GROUPS_OF_TEST, to, frame),
    });
    sim.watch((from, to, frame, when) => {
      if (to !== GROUPS_OF_TEST || when !== 'arriving') return false;
      sim.touch();
      link.receive(from, frame);
      return true;
    });
    return new Bench(host, await host.process('program', credentials), link);
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.host.run(work);
  }

  /** What `groups` or the lab would ask. */
  ask<A, R>(to: Address, method: Method<A, R>, args: A): Promise<R> {
    return this.run(this.groups.call(to, method, args));
  }

  /** fd of a new container. */
  async container(p = this.p): Promise<number> {
    const opened = await this.run(p.link.call(CONTAINER, sysApi.open, { path: '/dev/vfio/vfio', flags: 2 }));
    return p.fds.install({ ...must(opened), owner: CONTAINER, users: 1 });
  }

  async hold(fd: number, noiommu = false, p = this.p): Promise<Result<{ container: number }>> {
    const { token } = p.fileOf(fd);
    return this.ask(CONTAINER, containerApi.hold, { token, client: p.address, noiommu });
  }

  /** As VFIO_GROUP_SET_CONTAINER does it; answers the container's number. */
  async join(fd: number, group: TestGroup, p = this.p): Promise<Result<number>> {
    const held = await this.hold(fd, group.noiommu, p);
    if (!held.ok) return held;
    const { container } = held.value;
    const joined = await this.ask(CONTAINER, containerApi.join, { container, ...group });
    if (joined.ok) return ok(container);
    await this.ask(CONTAINER, containerApi.drop, { container });
    return joined;
  }

  /** As VFIO_GROUP_UNSET_CONTAINER does it. */
  async leave(container: number, { group }: TestGroup): Promise<void> {
    await this.ask(CONTAINER, containerApi.leave, { container, group });
    await this.ask(CONTAINER, containerApi.drop, { container });
  }

  /** A container with these groups and a type1 backend: its fd and its number. */
  async ready(type = TYPE1_V2, groups: readonly TestGroup[] = [PAIR]): Promise<{ fd: number; container: number }> {
    const fd = await this.container();
    let container = 0;
    for (const group of groups) container = must(await this.join(fd, group));
    const { errno } = await this.plain(fd, VFIO_SET_IOMMU.nr, type);
    if (errno) throw new Error(`SET_IOMMU: ${errno}`);
    return { fd, container };
  }

  plain(fd: number, nr: number, arg = 0, p = this.p): Promise<{ ret: number; errno: Errno | undefined }> {
    return this.run(p.ioctlAt(fd, p.powerpc ? toPowerpc(nr) : nr, arg, []));
  }

  ioctl<S extends AnyStruct>(
    fd: number,
    def: IoctlDef<string, S>,
    fields?: Arguments<S>,
    options?: IoctlOptions,
    p = this.p,
  ): Promise<IoctlAnswer<S>> {
    return this.run(p.ioctl(fd, def, fields, options));
  }

  async map(fd: number, fields: Arguments<typeof VFIO_IOMMU_MAP_DMA.struct>, p = this.p): Promise<Errno | undefined> {
    const { errno } = await this.ioctl(fd, VFIO_IOMMU_MAP_DMA, { flags: RW, ...fields }, undefined, p);
    return errno;
  }

  /** The errno, or the bytes that went. */
  async unmap(fd: number, fields: Arguments<typeof VFIO_IOMMU_UNMAP_DMA.struct>): Promise<Errno | bigint> {
    const { errno, out } = await this.ioctl(fd, VFIO_IOMMU_UNMAP_DMA, fields);
    return errno ?? out.size;
  }

  async memory(length: number, prot = 3, p = this.p): Promise<bigint> {
    return BigInt(must(await this.run(p.mmap(length, { prot }))));
  }

  /** A device writes bytes of 0x5a; false: the IOMMU refused. */
  async dmaWrite(bdf: string, iova: bigint, length = 8): Promise<boolean> {
    const data = new Uint8Array(length).fill(0x5a);
    const answer = await this.ask(IOMMU, iommuApi.dma, { bdf, iova, write: true, length, data });
    return answer.fault === undefined;
  }

  /** A device reads; undefined: the IOMMU refused. */
  async dmaRead(bdf: string, iova: bigint, length = 8): Promise<Uint8Array | undefined> {
    const data = new Uint8Array(0);
    const answer = await this.ask(IOMMU, iommuApi.dma, { bdf, iova, write: false, length, data });
    return answer.fault === undefined ? answer.data : undefined;
  }

  async status(p = this.p): Promise<{ vmLockedKb: number; vmPinnedKb: number }> {
    const { vmLockedKb, vmPinnedKb } = must(await this.run(p.status()));
    return { vmLockedKb, vmPinnedKb };
  }

  async lockedKb(p = this.p): Promise<number> {
    return (await this.status(p)).vmLockedKb;
  }

  async close(fd: number, p = this.p): Promise<void> {
    must(await this.run(p.close(fd)));
  }

  parameter(name: string, value: number): Promise<Result<void>> {
    return this.ask(CONTAINER, containerApi.parameter, { name, value });
  }

  /** Is the core's state the same after it was written and read? */
  reread(): boolean {
    const { core } = this.host.host.actor(CONTAINER)!.machine;
    const bytes = (c: { encode: typeof core.encode }, view: 'snapshot' | 'meaning') => {
      const w = new ByteWriter();
      c.encode(w, view);
      return w.take().join();
    };
    const w = new ByteWriter();
    core.encode(w, 'snapshot');
    const fresh = new ContainerCore();
    const reader = new ByteReader(w.take());
    fresh.decode(reader);
    reader.done();
    return bytes(core, 'snapshot') === bytes(fresh, 'snapshot') && bytes(core, 'meaning') === bytes(fresh, 'meaning');
  }

  /** Figures of the container service that are not 0. */
  left(): Record<string, number> {
    return Object.fromEntries(Object.entries(this.host.figures(CONTAINER)).filter(([, n]) => n !== 0));
  }
}

export function must<T>(r: Result<T>): T {
  if (!r.ok) throw new Error(`the test's own call failed: ${r.errno}`);
  return r.value;
}

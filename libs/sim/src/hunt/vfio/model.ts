/**
 * What a program remembers of what it has made, so that most of what it asks for is there.
 *
 * Words: a *space* is where DMA of a device goes: a container, or an IOAS. It is *shared* when another process may change it:
 * nothing can be foretold of it then. A mapping is *stale* when the program cannot say any more what is behind it, and *spoiled*
 * when the memory behind it is not the program's any more.
 */

export interface Mapping {
  readonly iova: bigint;
  readonly va: bigint;
  readonly bytes: bigint;
  stale: boolean;
  spoiled: boolean;
}

export interface Space {
  /** Of the IOAS. */
  readonly id: number;
  maps: Mapping[];
  /** Unmapped lately. */
  gone: Mapping[];
  shared: boolean;
}

export interface ContainerFile {
  readonly fd: number;
  readonly space: Space;
  groups: GroupFile[];
  /** VFIO_*_IOMMU, or 0. */
  type: number;
  /** SPAPR: what is registered, and where windows begin. */
  registered: { readonly va: bigint; readonly bytes: bigint; readonly plain: boolean | undefined }[];
  windows: bigint[];
}

export interface GroupFile {
  readonly fd: number;
  /** Names of the devices in it. */
  readonly members: readonly string[];
  container: ContainerFile | undefined;
}

export interface IommufdFile {
  readonly fd: number;
  spaces: Space[];
  hwpts: { readonly id: number; readonly space: Space }[];
  /** Ids of bound devices. */
  devices: number[];
}

export interface DeviceFile {
  readonly fd: number;
  readonly name: string;
  readonly cdev: boolean;
  readonly group: GroupFile | undefined;
  iommufd: IommufdFile | undefined;
  id: number;
  space: Space | undefined;
  /** The only one in its group. */
  readonly alone: boolean;
  /** Something was done to it after which its DMA may be off. */
  odd: boolean;
}

export interface Memory {
  readonly va: number;
  readonly bytes: number;
  /** Registers of a device, in which nothing can be foretold. */
  readonly registers?: true;
}

export class Model {
  containers: ContainerFile[] = [];
  groups: GroupFile[] = [];
  iommufds: IommufdFile[] = [];
  devices: DeviceFile[] = [];
  memory: Memory[] = [];
  eventfds: number[] = [];
  memfds: number[] = [];
  /** Of page requests. */
  queues: number[] = [];
  /** Migration's data, dma-bufs. */
  others: number[] = [];
  /** All that were ever made: a device keeps its space when the file of that is closed. */
  readonly spaces: Space[] = [];
  /** How often memory has gone: a map that was under way then may have caught what went. */
  spoils = 0;

  newSpace(id: number): Space {
    const space = { id, maps: [], gone: [], shared: false };
    this.spaces.push(space);
    return space;
  }

  /** An fd was closed. */
  drop(fd: number): void {
    const others = <T extends { readonly fd: number }>(list: T[]): T[] => list.filter((each) => each.fd !== fd);
    const numbers = (list: number[]): number[] => list.filter((each) => each !== fd);
    for (const { container, fd: group } of this.groups) if (group === fd) container?.groups.splice(0);
    this.containers = others(this.containers);
    this.groups = others(this.groups);
    this.iommufds = others(this.iommufds);
    this.devices = others(this.devices);
    this.eventfds = numbers(this.eventfds);
    this.memfds = numbers(this.memfds);
    this.queues = numbers(this.queues);
    this.others = numbers(this.others);
  }

  /** Nothing can be foretold of memory in the range any more. */
  spoil(va: number, bytes: number): void {
    const [start, end] = [BigInt(va), BigInt(va + bytes)];
    this.spoils++;
    for (const space of this.spaces)
      for (const m of [...space.maps, ...space.gone])
        if (m.va < end && start < m.va + m.bytes) m.stale = m.spoiled = true;
    for (const container of this.containers)
      container.registered = container.registered.map((r) =>
        r.va < end && start < r.va + r.bytes ? { ...r, plain: false } : r,
      );
  }

  /** Somebody else, or nobody, knows what becomes of spaces and devices. */
  foretellNothing(): void {
    for (const space of this.spaces) space.shared = true;
    for (const device of this.devices) device.odd = true;
  }

  /** What a child has after fork: the same files, at the same memory, and both know no more what the other does. */
  fork(): Model {
    this.foretellNothing();
    return Object.assign(new Model(), structuredClone({ ...this }));
  }
}

/**
 * The two ways in which a program of a swarm gives a device memory: an iommufd with the device's cdev, and a container with
 * the device's group.
 *
 * Rule: both map single pages at places of the program's choice; the answer is an errno, or none.
 */
import {
  type Errno,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '@vfiolab/uapi';
import { BUFFER_AT } from '../hunt/arguments.js';
import { type Act, type File, ioctl, plainIoctl } from './act.js';
import { iovaOf, naming, PAGE, type SwarmProgram } from './program.js';
import type { Node } from './template.js';

const FD = 3;
const FIXED_RW = 7;
const RW = 3;
const DIRTY_TRACKING = 2;
const LENGTH = BigInt(PAGE);

export interface Space {
  /** The device that reaches memory through it, when there is one. */
  readonly device: File | undefined;
  /** What an unmap of nothing answers; undefined: success. */
  readonly nothing: Errno | undefined;
  map(slot: number, va: bigint): Act<Errno | undefined>;
  unmap(slot: number): Act<Errno | undefined>;
  /** DMA goes nowhere, or here again. Undefined: it cannot be switched. */
  readonly attach?: ((on: boolean) => Act<Errno | undefined>) | undefined;
  /** Was the slot written to by DMA since the last time? Undefined: nobody looks. */
  readonly dirty?: ((slot: number) => Act<boolean>) | undefined;
  close(): Act<void>;
}

export class IommufdSpace implements Space {
  readonly nothing = 'ENOENT';
  attach: Space['attach'];
  dirty: Space['dirty'];

  private constructor(
    private readonly p: SwarmProgram,
    private readonly iommufd: File,
    private readonly ioas_id: number,
    readonly device: File | undefined,
    private readonly hwpt_id: number | undefined,
  ) {
    if (device) this.attach = (on) => this.switch(device, on);
    if (hwpt_id !== undefined) this.dirty = (slot) => this.bit(hwpt_id, slot);
  }

  /** Somebody else may have the device: then there is none. */
  static *open(p: SwarmProgram, node: Node | undefined): Act<IommufdSpace> {
    const iommufd = yield* p.openIommufd();
    const { out } = yield* ioctl(iommufd, IOMMU_IOAS_ALLOC, {});
    const bound = node && (yield* IommufdSpace.bind(p, iommufd, node));
    if (!bound) return new IommufdSpace(p, iommufd, out.out_ioas_id, undefined, undefined);
    const { device, dev_id } = bound;
    const wanted = { dev_id, pt_id: out.out_ioas_id, flags: DIRTY_TRACKING };
    const tracked = p.chance.once(2) ? yield* ioctl(iommufd, IOMMU_HWPT_ALLOC, wanted) : undefined;
    const hwpt_id = tracked && !tracked.errno ? tracked.out.out_hwpt_id : undefined;
    if (hwpt_id !== undefined) yield* ioctl(iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags: 1 });
    const space = new IommufdSpace(p, iommufd, out.out_ioas_id, device, hwpt_id);
    yield* p.enable(device);
    const errno = yield* space.switch(device, true);
    if (errno) p.around.find(`${p.client.name}: a device of its own cannot be attached: ${errno}`);
    return space;
  }

  private static *bind(p: SwarmProgram, iommufd: File, node: Node): Act<{ device: File; dev_id: number } | undefined> {
    const device = yield* p.open(node.owner, node.cdev);
    if (!device) return undefined;
    const fds = [naming(FD, iommufd)];
    const { errno, out } = yield* ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, { iommufd: FD }, { fds, size: 16 });
    if (!errno) return { device, dev_id: out.out_devid };
    yield* p.close(device);
    return undefined;
  }

  private *switch(device: File, on: boolean): Act<Errno | undefined> {
    if (!on) return (yield* ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, {}, { size: 8 })).errno;
    const pt_id = this.hwpt_id ?? this.ioas_id;
    return (yield* ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id }, { size: 12 })).errno;
  }

  *map(slot: number, user_va: bigint): Act<Errno | undefined> {
    const fields = { ioas_id: this.ioas_id, flags: FIXED_RW, user_va, length: LENGTH, iova: iovaOf(slot) };
    return (yield* ioctl(this.iommufd, IOMMU_IOAS_MAP, fields)).errno;
  }

  *unmap(slot: number): Act<Errno | undefined> {
    const fields = { ioas_id: this.ioas_id, iova: iovaOf(slot), length: LENGTH };
    return (yield* ioctl(this.iommufd, IOMMU_IOAS_UNMAP, fields)).errno;
  }

  private *bit(hwpt_id: number, slot: number): Act<boolean> {
    const buffer = { va: BUFFER_AT, writable: true, bytes: new Uint8Array(8) };
    const range = { iova: iovaOf(slot), length: LENGTH, page_size: LENGTH, data: BigInt(BUFFER_AT) };
    const { reply, errno } = yield* ioctl(this.iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, { hwpt_id, ...range }, { buffer });
    if (errno) this.p.around.find(`${this.p.client.name}: dirty pages cannot be read: ${errno}`);
    return reply.writes.some(({ va, bytes }) => va === BUFFER_AT && (bytes[0]! & 1) === 1);
  }

  *close(): Act<void> {
    // Whichever goes first, nothing may be left.
    const files = this.device ? [this.device, this.iommufd] : [this.iommufd];
    if (this.p.chance.once(2)) files.reverse();
    for (const file of files) yield* this.p.close(file);
  }
}

export class ContainerSpace implements Space {
  readonly nothing = undefined;

  private constructor(
    private readonly p: SwarmProgram,
    private readonly container: File,
    private readonly group: File,
    readonly device: File,
  ) {}

  /** Undefined: the group is somebody else's. */
  static *open(p: SwarmProgram, node: Node): Act<ContainerSpace | undefined> {
    const group = yield* p.openPath(node.group);
    if (!group) return undefined;
    const container = yield* p.openPath('/dev/vfio/vfio');
    if (!container) {
      yield* p.close(group);
      return undefined;
    }
    const set = yield* plainIoctl(group, VFIO_GROUP_SET_CONTAINER, FD, [naming(FD, container)]);
    if (set.errno === 0) yield* plainIoctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
    const got = yield* plainIoctl(group, VFIO_GROUP_GET_DEVICE_FD, node.bdf);
    if (got.file) {
      const { token, kind, owner = group.owner } = got.file;
      const device = { token, kind, owner };
      yield* p.enable(device);
      return new ContainerSpace(p, container, group, device);
    }
    yield* p.close(container);
    yield* p.close(group);
    return undefined;
  }

  *map(slot: number, vaddr: bigint): Act<Errno | undefined> {
    const fields = { flags: RW, vaddr, iova: iovaOf(slot), size: LENGTH };
    return (yield* ioctl(this.container, VFIO_IOMMU_MAP_DMA, fields)).errno;
  }

  /** Where nothing is mapped type1 unmaps nothing, and an iommufd in its place says so. */
  *unmap(slot: number): Act<Errno | undefined> {
    const { errno } = yield* ioctl(this.container, VFIO_IOMMU_UNMAP_DMA, { iova: iovaOf(slot), size: LENGTH });
    return errno === 'ENOENT' ? undefined : errno;
  }

  *close(): Act<void> {
    for (const file of [this.device, this.group, this.container]) yield* this.p.close(file);
  }
}

/**
 * The device as a program of the lab has it: opened by its cdev, bound to an iommufd of its own, attached to an IOAS.
 *
 * Words: a *client process* is the program of the lab that stands for one connected VMM; it has what that VMM has.
 * Rule: everything is a system call, so isolation, faults, charges and errnos are the lab's own; when the process ends, so
 * does all that it held.
 */
import type { Process } from '@vfiolab/client';
import { MAX_DMA, sysApi } from '@vfiolab/core';
import {
  type AnyStruct,
  type Errno,
  fail,
  type IoctlDef,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  ok,
  type PlainIoctlDef,
  type Result,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_RESET,
} from '@vfiolab/uapi';

/** Region i of a device file begins at i times this (semantics D2.1). */
const REGION_STEP = 2 ** 40;
const MAP_FIXED_IOVA = 1;
const MAP_WRITEABLE = 2;
const MAP_READABLE = 4;

export interface Access {
  readonly readable: boolean;
  readonly writable: boolean;
}

/** An ioctl's errno as a result. */
const settled = <T>(errno: Errno | undefined, value: T): Result<T> => (errno === undefined ? ok(value) : fail(errno));

export class LabDevice {
  private readonly file: { token: string; owner: string };

  private constructor(
    readonly process: Process,
    readonly fd: number,
    private readonly iommufd: number,
    private readonly ioas: number,
  ) {
    this.file = process.fileOf(fd);
  }

  /**
   * `process` has been started and has nothing open. Errnos are those of open, BIND_IOMMUFD and ATTACH: EINVAL, somebody has the
   * device; ENOENT, it has no cdev: is it bound to vfio-pci? What was opened stays with the process.
   */
  static async open(process: Process, bdf: string): Promise<Result<LabDevice>> {
    const nodes = await process.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`);
    if (!nodes.ok) return nodes;
    const iommufd = await process.open('/dev/iommu');
    if (!iommufd.ok) return iommufd;
    const fd = await process.open(`/dev/vfio/devices/${nodes.value[0]}`);
    if (!fd.ok) return fd;
    const bound = await process.ioctl(fd.value, VFIO_DEVICE_BIND_IOMMUFD, { iommufd: iommufd.value });
    if (bound.errno) return fail(bound.errno);
    const ioas = await process.ioctl(iommufd.value, IOMMU_IOAS_ALLOC);
    if (ioas.errno) return fail(ioas.errno);
    const pt_id = ioas.out.out_ioas_id;
    const attached = await process.ioctl(fd.value, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id });
    return settled(attached.errno, new LabDevice(process, fd.value, iommufd.value, pt_id));
  }

  /** `count` bytes of a region. EINVAL: not all of them are in it; else as the region answers. */
  async read(region: number, offset: number, count: number): Promise<Result<Uint8Array>> {
    const start = region * REGION_STEP + offset;
    const first = await this.pread(start, Math.min(count, MAX_DMA));
    if (!first.ok || first.value.length === count) return first;
    const all = new Uint8Array(count);
    let at = 0;
    for (let part: Result<Uint8Array> = first; ; part = await this.pread(start + at, Math.min(count - at, MAX_DMA))) {
      if (!part.ok) return part;
      if (part.value.length === 0) return fail('EINVAL');
      all.set(part.value, at);
      at += part.value.length;
      if (at >= count) return ok(all);
    }
  }

  /** As `read`. What was written before an errno stays written. */
  async write(region: number, offset: number, data: Uint8Array): Promise<Result<void>> {
    const start = region * REGION_STEP + offset;
    for (let at = 0; at < data.length;) {
      const done = await this.pwrite(start + at, data.slice(at, at + MAX_DMA));
      if (!done.ok) return done;
      if (done.value === 0) return fail('EINVAL');
      at += done.value;
    }
    return ok(undefined);
  }

  /** Straight to the device: these two are what a running guest waits for. */
  private pread(offset: number, length: number): Promise<Result<Uint8Array>> {
    const { token, owner } = this.file;
    return this.process.link.caller.call(owner, sysApi.pread, { token, offset, length });
  }

  private pwrite(offset: number, data: Uint8Array): Promise<Result<number>> {
    const { token, owner } = this.file;
    return this.process.link.caller.call(owner, sysApi.pwrite, { token, offset, data });
  }

  async ioctl<S extends AnyStruct>(def: IoctlDef<string, S>, bytes: Uint8Array): Promise<Result<Uint8Array>> {
    return this.ioctlAt(def.nr, bytes);
  }

  /** An ioctl on the device with these bytes as its argument; answers what they are afterwards. */
  private async ioctlAt(nr: number, bytes: Uint8Array): Promise<Result<Uint8Array>> {
    const va = ARGUMENT;
    const { errno } = await this.process.ioctlAt(this.fd, nr, va, [{ va, writable: true, bytes }]);
    return settled(errno, bytes);
  }

  private async plain(def: PlainIoctlDef<string, 'none'>): Promise<Result<void>> {
    return settled((await this.process.ioctlPlain(this.fd, def)).errno, undefined);
  }

  /** EINVAL: the function cannot be reset alone. */
  reset(): Promise<Result<void>> {
    return this.plain(VFIO_DEVICE_RESET);
  }

  /** Maps memory of the process at exactly this IOVA. EEXIST, EINVAL: reserved or unaligned; ENOMEM. */
  async map(va: number, iova: bigint, length: bigint, { readable, writable }: Access): Promise<Result<void>> {
    const flags = MAP_FIXED_IOVA | (readable ? MAP_READABLE : 0) | (writable ? MAP_WRITEABLE : 0);
    const fields = { flags, ioas_id: this.ioas, user_va: BigInt(va), length, iova };
    return settled((await this.process.ioctl(this.iommufd, IOMMU_IOAS_MAP, fields)).errno, undefined);
  }

  /** When it has answered, no DMA to the range is under way. */
  async unmap(iova: bigint, length: bigint): Promise<Result<void>> {
    const fields = { ioas_id: this.ioas, iova, length };
    return settled((await this.process.ioctl(this.iommufd, IOMMU_IOAS_UNMAP, fields)).errno, undefined);
  }
}

/** Arguments lie outside of what mmap gives. */
const ARGUMENT = 2 ** 47;

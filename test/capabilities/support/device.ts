/**
 * A function behind VT-d in the hands of a program: its DMA engine moves bytes between memory and a buffer in the device.
 *
 * Rule: whether DMA came through is seen in bytes alone: what was in the buffer or in memory before is still there when the
 * IOMMU refused.
 */
import {
  BUFFER_START,
  DMA_RUN,
  DMA_TO_MEMORY,
  REG_DMA_COMMAND,
  REG_DMA_COUNT,
  REG_DMA_DESTINATION,
  REG_DMA_SOURCE,
} from '@vfiolab/devices';
import {
  type Errno,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '@vfiolab/uapi';
import type { Program } from './program.js';

const CONFIG = 7 * 2 ** 40;
const COMMAND = 4;
/** Memory decode and bus master. */
const COMMAND_ON = Uint8Array.of(6, 0);

export class Device {
  private constructor(
    readonly owner: Program,
    readonly fd: number,
    /** Its id in the program's /dev/iommu. */
    readonly id: number,
  ) {}

  static async open(owner: Program, bdf: string): Promise<Device> {
    const { process } = owner;
    const [minor] = await owner.must(process.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
    const fd = await owner.must(process.open(`/dev/vfio/devices/${minor}`));
    const { out_devid } = await owner.ioctl(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: owner.fd }, fd);
    await owner.must(process.pwrite(fd, CONFIG + COMMAND, COMMAND_ON));
    return new Device(owner, fd, out_devid);
  }

  /** To an IOAS or HWPT, or to another one: the errno. */
  attach(pt_id: number): Promise<Errno | undefined> {
    return this.owner.errno(VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id }, this.fd);
  }

  /** The same, and the HWPT that it got. */
  async attached(pt_id: number): Promise<number> {
    return (await this.owner.ioctl(VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id }, this.fd)).pt_id;
  }

  detach(): Promise<Errno | undefined> {
    return this.owner.errno(VFIO_DEVICE_DETACH_IOMMUFD_PT, { argsz: 8 }, this.fd);
  }

  /** Memory -> buffer at `at`. */
  fetch(iova: bigint, length: number, at = 0): Promise<void> {
    return this.transfer(iova, BUFFER_START + BigInt(at), length, DMA_RUN);
  }

  /** Buffer at `at` -> memory. */
  store(iova: bigint, length: number, at = 0): Promise<void> {
    return this.transfer(BUFFER_START + BigInt(at), iova, length, DMA_RUN | DMA_TO_MEMORY);
  }

  /** Where the next command writes to, or reads from. */
  retarget(destination: bigint): Promise<void> {
    return this.register(REG_DMA_DESTINATION, destination);
  }

  private async transfer(source: bigint, destination: bigint, length: number, command: number): Promise<void> {
    await this.register(REG_DMA_SOURCE, source);
    await this.register(REG_DMA_DESTINATION, destination);
    await this.register(REG_DMA_COUNT, BigInt(length));
    await this.register(REG_DMA_COMMAND, BigInt(command));
  }

  private async register(offset: number, value: bigint): Promise<void> {
    const bytes = new Uint8Array(BigUint64Array.of(value).buffer);
    await this.owner.must(this.owner.process.pwrite(this.fd, offset, bytes));
  }
}

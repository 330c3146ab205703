/** The driver vfio-pci: what it does with the calls on a function's files. */
import {
  type Address,
  answerIoctl,
  type ByteReader,
  type ByteWriter,
  failed,
  type IoctlArgs,
  type IoctlReply,
  type IoctlResult,
  type Op,
  type Request,
  type View,
} from '@vfiolab/core';
import type { Result } from '@vfiolab/uapi';
import type { Driver, MapWanted, OpenFile } from './common-device.js';
import { checkDevice, describeDevice } from './inspect.js';
import { deviceIoctlRows } from './ioctl-table.js';
import { reset } from './ioctl/reset.js';
import { mapRegion } from './map-region.js';
import { load, store } from './mapped-access.js';
import { readRegion, writeRegion } from './region-access.js';
import type { VfioDevice } from './vfio-device.js';

export class PciDriver implements Driver {
  constructor(readonly device: VfioDevice) {}

  wakeUp(): Op<void> {
    return this.device.wakeUp();
  }

  ioctl(on: OpenFile, req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply> {
    const found = deviceIoctlRows.get(args.cmd);
    if (!found) return failed('ENOTTY');
    return answerIoctl(found, this.device.flags.profile, { ...on, device: this.device }, req, args);
  }

  reset(): Op<IoctlResult> {
    return reset(this.device);
  }

  read(offset: number, length: number): Op<Result<Uint8Array>> {
    return readRegion(this.device, offset, length);
  }

  write(offset: number, data: Uint8Array): Op<Result<number>> {
    return writeRegion(this.device, offset, data);
  }

  map(client: Address, wanted: MapWanted): Op<Result<number>> {
    return mapRegion(this.device, client, wanted);
  }

  load(offset: number, length: number): Op<Result<Uint8Array>> {
    return load(this.device, offset, length);
  }

  store(offset: number, data: Uint8Array): Op<Result<number>> {
    return store(this.device, offset, data);
  }

  /** The REQ eventfd; bound or not (traces b054, b056). */
  request(): Op<void> {
    return this.device.irqs.signalSingle('req');
  }

  get heldEventfds(): number {
    return this.device.heldEventfds;
  }

  encode(w: ByteWriter, view: View): void {
    this.device.encode(w, view);
  }

  decode(r: ByteReader): void {
    this.device.decode(r);
  }

  check(): string[] {
    return checkDevice(this.device);
  }

  describe(): string[] {
    return describeDevice(this.device);
  }
}

/** The driver of mediated serial cards: what it does with the calls on a card's files. It cannot be mapped. */
import {
  answerIoctl,
  type ByteReader,
  type ByteWriter,
  DONE,
  failed,
  frontDoor,
  type IoctlArgs,
  type IoctlReply,
  type IoctlResult,
  lockWrite,
  type Op,
  type Request,
  row,
  type View,
} from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { fail, type Result } from '@vfiolab/uapi';
import type { Driver, OpenFile } from '../common-device.js';
import { commonIoctls } from '../common-ioctls.js';
import type { OpenDevice } from '../device-call.js';
import { deviceFeature } from '../ioctl/feature.js';
import { readCard, writeCard } from './serial-access.js';
import type { SerialCard } from './serial-card.js';
import { getInfo, getRegionInfo } from './serial-info.js';
import { getIrqInfo, setIrqs } from './serial-irqs.js';

const ROWS = frontDoor<OpenDevice<SerialCard>>({
  ...commonIoctls,
  VFIO_DEVICE_GET_INFO: row(uapi.VFIO_DEVICE_GET_INFO, getInfo),
  VFIO_DEVICE_GET_REGION_INFO: row(uapi.VFIO_DEVICE_GET_REGION_INFO, getRegionInfo),
  VFIO_DEVICE_GET_IRQ_INFO: row(uapi.VFIO_DEVICE_GET_IRQ_INFO, getIrqInfo),
  VFIO_DEVICE_SET_IRQS: row(uapi.VFIO_DEVICE_SET_IRQS, setIrqs),
  VFIO_DEVICE_FEATURE: row(
    uapi.VFIO_DEVICE_FEATURE,
    deviceFeature<SerialCard>(() => undefined),
  ),
});

export class SerialDriver implements Driver {
  constructor(readonly device: SerialCard) {}

  *wakeUp(): Op<void> {}

  ioctl(on: OpenFile, req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply> {
    const found = ROWS.get(args.cmd);
    if (!found) return failed('ENOTTY');
    return answerIoctl(found, this.device.flags.profile, { ...on, device: this.device }, req, args);
  }

  /** Migration is back at RUNNING; the card itself stays as it is. */
  *reset(): Op<IoctlResult> {
    yield* lockWrite(this.device.migration.lock);
    this.device.migration.restart();
    return DONE;
  }

  read(offset: number, length: number): Op<Result<Uint8Array>> {
    return readCard(this.device, offset, length);
  }

  write(offset: number, data: Uint8Array): Op<Result<number>> {
    return writeCard(this.device, offset, data);
  }

  *map(): Op<Result<number>> {
    return fail('EINVAL');
  }

  *load(): Op<Result<Uint8Array>> {
    return fail('EIO');
  }

  *store(): Op<Result<number>> {
    return fail('EIO');
  }

  /** Nobody is told: the driver waits until the card is closed (trace b096). */
  *request(): Op<void> {}

  get heldEventfds(): number {
    return this.device.interrupt ? 1 : 0;
  }

  encode(w: ByteWriter, view: View): void {
    this.device.encode(w, view);
  }

  decode(r: ByteReader): void {
    this.device.decode(r);
  }

  check(): string[] {
    return this.device.check();
  }

  describe(): string[] {
    return this.device.describe();
  }
}

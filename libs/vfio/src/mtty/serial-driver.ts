/** The driver of mediated serial cards: what it does with the calls on a card's files. It cannot be mapped. */
import { DONE, frontDoor, type IoctlResult, lockWrite, type Op, row } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import type { Result } from '@vfiolab/uapi';
import { commonIoctls } from '../common-ioctls.js';
import type { OpenDevice } from '../device-call.js';
import { deviceFeature } from '../ioctl/feature.js';
import { PlainDriver } from '../plain-driver.js';
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

export class SerialDriver extends PlainDriver<SerialCard> {
  constructor(card: SerialCard) {
    super(card, ROWS);
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
}

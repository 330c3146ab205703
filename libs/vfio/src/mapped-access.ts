/**
 * Loads and stores of a process in a window that it has mapped (mmap of a device file).
 *
 * Rule: they reach the function itself: the MSI-X table shows as it is, and low power is SIGBUS where a read of the file would
 * wake the function (semantics D2.3, D2.5, D7.2).
 */
import { lockRead, MAX_DMA, type Op } from '@vfiolab/core';
import { fail, ok, type Result, VFIO_PCI_BAR5_REGION_INDEX } from '@vfiolab/uapi';
import { readBar, writeBar } from './bar-access.js';
import { getsThrough, ones } from './endpoint.js';
import type { Bar } from './function-image.js';
import { readTable } from './msix-table.js';
import { placeOf } from './regions.js';
import type { VfioDevice } from './vfio-device.js';

/** EIO: the window does not answer, or there is none. A PE in a hot reset reads as zero, and stores to it are lost (p062). */
export function* load(device: VfioDevice, fileOffset: number, length: number): Op<Result<Uint8Array>> {
  const { index, offset } = placeOf(fileOffset);
  const bar = index <= VFIO_PCI_BAR5_REGION_INDEX ? device.bar(index) : undefined;
  yield* lockRead(device.memory);
  if (bar && length <= MAX_DMA && device.inReset === 'hot') return ok(new Uint8Array(length));
  if (!bar || length > MAX_DMA || !answers(device, bar, offset, length)) return fail('EIO');
  if (!(yield* getsThrough(device, { config: false, write: false }))) return ok(ones(length));
  const read = readBar(device, bar, offset, length);
  if (read.ok) readTable(device, bar.index, offset, read.value);
  return read;
}

/** EIO as `load`. */
export function* store(device: VfioDevice, fileOffset: number, data: Uint8Array): Op<Result<number>> {
  const { index, offset } = placeOf(fileOffset);
  const bar = index <= VFIO_PCI_BAR5_REGION_INDEX ? device.bar(index) : undefined;
  yield* lockRead(device.memory);
  if (bar && device.inReset === 'hot') return ok(data.length);
  if (!bar || data.length > MAX_DMA || !answers(device, bar, offset, data.length)) return fail('EIO');
  if (!(yield* getsThrough(device, { config: false, write: true }))) return ok(data.length);
  return yield* writeBar(device, bar, offset, data);
}

const answers = (device: VfioDevice, bar: Bar, offset: number, length: number): boolean =>
  device.lends && offset + length <= bar.size;

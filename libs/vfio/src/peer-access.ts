/**
 * DMA of other devices to this one's registers (peer to peer), through a mapping of a BAR.
 *
 * Rule: it takes no lock: a device that waits for its own DMA must still answer others. Where memory decoding is off, and
 * where nothing is, reads give ones and writes are lost, as on the bus.
 */
import type { Op } from '@vfiolab/core';
import { readBar, writeBar } from './bar-access.js';
import type { VfioDevice } from './vfio-device.js';

export function peerRead(device: VfioDevice | undefined, region: number, offset: number, length: number): Uint8Array {
  const bar = device?.bar(region);
  const read = device && bar && offset + length <= bar.size ? readBar(device, bar, offset, length) : undefined;
  return read?.ok ? read.value : new Uint8Array(length).fill(0xff);
}

export function* peerWrite(device: VfioDevice | undefined, region: number, offset: number, data: Uint8Array): Op<void> {
  const bar = device?.bar(region);
  if (device && bar && offset + data.length <= bar.size) yield* writeBar(device, bar, offset, data);
}

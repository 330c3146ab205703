/**
 * DMA of other devices to this one's registers (peer to peer), through a mapping of a BAR.
 *
 * Rule: it takes no lock: a device that waits for its own DMA must still answer others. Where memory decoding is off, where
 * nothing is, and where nobody answers, reads give ones and writes are lost, as on the bus.
 */
import type { Op } from '@vfiolab/core';
import { readBar, writeBar } from './bar-access.js';
import { ones } from './endpoint.js';
import type { Bar } from './function-image.js';
import type { VfioDevice } from './vfio-device.js';

/** The BAR that all of the access is in; undefined: nobody answers. */
function* answering(device: VfioDevice, region: number, end: number): Op<Bar | undefined> {
  const bar = device.bar(region);
  if (!bar || end > bar.size || device.config.lost) return undefined;
  return (yield* device.isSilent()) ? undefined : bar;
}

export function* peerRead(
  device: VfioDevice | undefined,
  region: number,
  offset: number,
  length: number,
): Op<Uint8Array> {
  const bar = device && (yield* answering(device, region, offset + length));
  const read = bar && readBar(device, bar, offset, length);
  return read?.ok ? read.value : ones(length);
}

export function* peerWrite(device: VfioDevice | undefined, region: number, offset: number, data: Uint8Array): Op<void> {
  const bar = device && (yield* answering(device, region, offset + data.length));
  if (bar) yield* writeBar(device, bar, offset, data);
}

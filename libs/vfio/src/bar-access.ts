/**
 * Reads and writes of BARs through the device file.
 *
 * Words: an access is cut into *chunks* of 8, 4, 2 or 1 bytes, each naturally aligned; a *hidden* chunk lies in the MSI-X
 * table, which clients do not reach: it reads all ones and writes to it are lost (semantics D2.3).
 * Rule: the model answers behind the first memory BAR, and its registers are the start of it; where it has memory of its own,
 * that is behind the second. What is behind these is hardware that does nothing: it reads 0.
 */
import type { Op } from '@vfiolab/core';
import type { Width } from '@vfiolab/devices';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Bar } from './function-image.js';
import { readWord, writeWord } from './little-endian.js';
import * as pci from './pci-registers.js';
import type { VfioDevice } from './vfio-device.js';

interface Chunk {
  readonly at: number;
  readonly length: number;
  readonly hidden: boolean;
}

const WIDTHS: readonly Width[] = [8, 4, 2, 1];

/** The bytes of the MSI-X table in a BAR, as [first, end). */
export function hiddenRange(device: VfioDevice, bar: Bar): readonly [number, number] {
  const { msix } = device.layout.places;
  if (msix?.bar !== bar.index) return [0, 0];
  return [msix.table, msix.table + msix.vectors * pci.MSIX_ENTRY_SIZE];
}

function* chunksOf(device: VfioDevice, bar: Bar, offset: number, length: number): Generator<Chunk> {
  const [first, end] = hiddenRange(device, bar);
  const stop = offset + length;
  for (let at = offset; at < stop;) {
    const hidden = at >= first && at < end;
    const left = hidden ? Math.min(stop, end) - at : (at < first ? Math.min(stop, first) : stop) - at;
    const size = hidden ? left : WIDTHS.find((w) => w <= left && at % w === 0)!;
    yield { at, length: size, hidden };
    at += size;
  }
}

/** Bytes of an access that lie inside the BAR. EINVAL: it starts behind the end, or there is no BAR (trace b042). */
export function insideBar(bar: Bar | undefined, offset: number, length: number): Result<number> {
  if (!bar || offset >= bar.size) return fail('EINVAL');
  return ok(Math.min(length, bar.size - offset));
}

/** EIO while memory decoding is off (semantics D2.4). The caller holds the memory lock for reading. */
export function readBar(device: VfioDevice, bar: Bar, offset: number, length: number): Result<Uint8Array> {
  const out = new Uint8Array(length);
  for (const chunk of chunksOf(device, bar, offset, length)) {
    const to = chunk.at - offset;
    if (chunk.hidden) out.fill(0xff, to, to + chunk.length);
    else if (!answers(device, bar)) return fail('EIO');
    else if (device.memoryBar === bar.index) out.set(device.model.memory!.read(chunk.at, chunk.length), to);
    else if (reachesModel(device, bar, chunk.at))
      writeWord(out, to, chunk.length, device.model.read(chunk.at, chunk.length as Width));
  }
  return ok(out);
}

/** The same for writes; ends when everything that the writes started has ended. */
export function* writeBar(device: VfioDevice, bar: Bar, offset: number, data: Uint8Array): Op<Result<number>> {
  for (const chunk of chunksOf(device, bar, offset, data.length)) {
    if (chunk.hidden) continue;
    if (!answers(device, bar)) return fail('EIO');
    if (device.memoryBar === bar.index) {
      const from = chunk.at - offset;
      device.model.memory!.write(chunk.at, data.subarray(from, from + chunk.length));
      continue;
    }
    if (!reachesModel(device, bar, chunk.at) || !device.responds) continue;
    yield* device.model.write(chunk.at, chunk.length as Width, readWord(data, chunk.at - offset, chunk.length));
  }
  return ok(data.length);
}

const answers = (device: VfioDevice, bar: Bar): boolean => bar.io || device.config.memoryEnabled;

const reachesModel = (device: VfioDevice, bar: Bar, at: number): boolean =>
  device.registerBar === bar.index && at < device.model.registerBytes;

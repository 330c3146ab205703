/**
 * pread and pwrite on a device file: which region, which locks, and how much of the access is done.
 *
 * Rule: reading or writing no bytes is success everywhere; otherwise the region decides (semantics D2.4, D2.7, trace
 * b042). An access of more than MAX_ACCESS bytes to a BAR is done in part, as read(2) and write(2) may: messages are bounded.
 */
import { lockRead, lockWrite, MAX_DMA, type Op, unlock } from '@vfiolab/core';
import {
  fail,
  ok,
  type Result,
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
} from '@vfiolab/uapi';
import { insideBar, readBar, writeBar } from './bar-access.js';
import { configFree, frozenBar, getsThrough, ones } from './endpoint.js';
import { tellMemory } from './map-region.js';
import { ownRegion, placeOf, type RegionPlace } from './regions.js';
import { readRom } from './rom.js';
import { insideVga } from './vga.js';
import type { VfioDevice } from './vfio-device.js';

/** Bytes of one access to a BAR. */
export const MAX_ACCESS = MAX_DMA;

/** The ROM and the regions that the host shows cannot be written, and others do not exist: EINVAL (trace b042). */
const isBar = ({ index }: RegionPlace): boolean => index <= VFIO_PCI_BAR5_REGION_INDEX;

export function* readRegion(device: VfioDevice, fileOffset: number, length: number): Op<Result<Uint8Array>> {
  if (length === 0) return ok(new Uint8Array(0));
  const place = placeOf(fileOffset);
  if (place.index === VFIO_PCI_CONFIG_REGION_INDEX) return yield* readConfig(device, place.offset, length);
  if (place.index === VFIO_PCI_ROM_REGION_INDEX) return yield* readRomRegion(device, place.offset, length);
  if (isVga(device, place)) {
    const legacy = insideVga(place.offset, length);
    return legacy.ok ? ok(new Uint8Array(legacy.value)) : legacy;
  }
  const own = ownRegion(device, place.index);
  if (own) return readOwn(own.data, place.offset, length);
  if (!isBar(place)) return fail('EINVAL');
  const bar = device.bar(place.index);
  const inside = insideBar(bar, place.offset, length);
  if (!inside.ok) return inside;
  yield* lockRead(device.memory);
  const wanted = Math.min(inside.value, MAX_ACCESS);
  const through = yield* getsThrough(device, { config: false, write: false });
  return through ? readBar(device, bar!, place.offset, wanted) : frozenBar(device, bar!, ones(wanted));
}

/** ENODEV: the PE is in a reset. */
function* readConfig(device: VfioDevice, offset: number, length: number): Op<Result<Uint8Array>> {
  const { config } = device;
  if (!config.contains(offset, length)) return fail('EFAULT');
  yield* configFree(device);
  // A function in reset does not answer; what is virtual does not ask it (traces p061 to p063).
  if (device.inReset && !config.isVirtual(offset, length)) return fail('ENODEV');
  if (yield* getsThrough(device, { config: true, write: false })) return config.read(offset, length);
  return ok(device.facts.freezes ? ones(length) : config.readUnanswered(offset, length));
}

const isVga = ({ facts }: VfioDevice, { index }: RegionPlace): boolean =>
  facts.vga && index === VFIO_PCI_VGA_REGION_INDEX;

const readOwn = (data: Uint8Array, offset: number, length: number): Result<Uint8Array> =>
  offset < data.length ? ok(data.slice(offset, offset + length)) : fail('EINVAL');

function* readRomRegion(device: VfioDevice, offset: number, length: number): Op<Result<Uint8Array>> {
  const inside = insideBar(device.rom, offset, length);
  if (!inside.ok) return inside;
  yield* lockRead(device.memory);
  if (!device.config.memoryEnabled) return fail('EIO');
  const wanted = Math.min(inside.value, MAX_ACCESS);
  const through = device.facts.freezes === true || (yield* getsThrough(device, { config: false, write: false }));
  return ok(through ? readRom(device.facts, offset, wanted) : ones(wanted));
}

export function* writeRegion(device: VfioDevice, fileOffset: number, data: Uint8Array): Op<Result<number>> {
  if (data.length === 0) return ok(0);
  const place = placeOf(fileOffset);
  if (place.index === VFIO_PCI_CONFIG_REGION_INDEX) return yield* writeConfig(device, place.offset, data);
  if (isVga(device, place)) return insideVga(place.offset, data.length);
  if (!isBar(place)) return fail('EINVAL');
  const bar = device.bar(place.index);
  const inside = insideBar(bar, place.offset, data.length);
  if (!inside.ok) return inside;
  yield* lockRead(device.memory);
  const wanted = data.subarray(0, Math.min(inside.value, MAX_ACCESS));
  const through = yield* getsThrough(device, { config: false, write: true });
  return through ? yield* writeBar(device, bar!, place.offset, wanted) : frozenBar(device, bar!, wanted.length);
}

/**
 * A chunk that moves the command register or the power state, or resets the function, waits until accesses to BARs have
 * ended: when it is answered no DMA that it forbids is under way.
 */
function* writeConfig(device: VfioDevice, offset: number, data: Uint8Array): Op<Result<number>> {
  const { config } = device;
  if (!config.contains(offset, data.length)) return fail('EFAULT');
  yield* configFree(device);
  const through = yield* getsThrough(device, { config: true, write: true });
  if (!through && device.facts.freezes) return ok(data.length);
  for (let done = 0; done < data.length;) {
    const at = offset + done;
    const length = config.chunkLength(at, data.length - done);
    if (device.inReset && config.writesThrough(at, length)) return fail('ENODEV');
    const waits = config.stopsAccesses(at, length);
    if (waits) yield* lockWrite(device.memory);
    yield* device.carryOut(config.writeChunk(at, data.subarray(done, done + length), !through));
    yield* tellMemory(device);
    if (waits) yield* unlock(device.memory);
    done += length;
  }
  return ok(data.length);
}

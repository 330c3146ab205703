/**
 * What a VMM may ask of its device, by the numbers of the protocol.
 *
 * Rule: lengths and descriptors are judged here, everything else by the lab; a read or write is all of its bytes or an errno.
 */
import {
  decode,
  encode,
  type Errno,
  fail,
  ok,
  type Result,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  vfio_device_info,
  vfio_irq_info,
  vfio_region_info,
} from '@vfiolab/uapi';
import type { Message } from './channel.js';
import type { DmaAreas } from './dma.js';
import type { FeatureCalls } from './features.js';
import type { Interrupts } from './interrupts.js';
import type { LabDevice } from './lab-device.js';
import type { RemoteDma } from './remote.js';
import * as wire from './wire.js';

export interface Parts {
  readonly device: LabDevice;
  readonly areas: DmaAreas;
  readonly interrupts: Interrupts;
  readonly remote: RemoteDma;
  readonly features: FeatureCalls;
  /** Bytes of one read or write. */
  readonly maxTransfer: number;
}

type Command = (message: Message) => Promise<Result<Uint8Array>> | Result<Uint8Array>;
export type Commands = ReadonlyMap<number, Command>;

const NOTHING = new Uint8Array(0);
const ACCESS = wire.vfio_user_region_access;
const WRITE = wire.vfio_user_write;
/** Writes of one REGION_WRITE_MULTI. */
const MAX_WRITES = 4096;
/** The largest offset into a region: regions are 2^40 bytes apart. */
const REGION_END = 2 ** 40;

/** A command that takes no descriptors. */
const plain =
  (command: Command): Command =>
  (message) =>
    message.fds.length > 0 ? fail('EINVAL') : command(message);

export function deviceCommands(parts: Parts): Commands {
  const { device, areas, interrupts, remote, features } = parts;
  return new Map<number, Command>([
    [wire.DMA_MAP, async (message) => mapped(await areas.map(message), message, remote)],
    [wire.DMA_UNMAP, (message) => areas.unmap(message)],
    [wire.DEVICE_GET_INFO, plain((message) => deviceInfo(device, message))],
    [wire.DEVICE_GET_REGION_INFO, plain((message) => regionInfo(device, message))],
    // There are none: every access comes as a message.
    [wire.DEVICE_GET_REGION_IO_FDS, plain(() => fail('EOPNOTSUPP'))],
    [wire.DEVICE_GET_IRQ_INFO, plain((message) => irqInfo(device, message))],
    [wire.DEVICE_SET_IRQS, (message) => interrupts.set(message)],
    [wire.REGION_READ, plain((message) => regionRead(parts, message))],
    [wire.REGION_WRITE, plain((message) => regionWrite(parts, message))],
    [wire.REGION_WRITE_MULTI, plain((message) => regionWrites(device, message))],
    [wire.DEVICE_RESET, plain((message) => (message.payload.length > 0 ? fail('EINVAL') : reset(device)))],
    [wire.DEVICE_FEATURE, plain(({ payload }) => features.feature(payload))],
    [wire.MIG_DATA_READ, plain(({ payload }) => features.dataRead(payload, parts.maxTransfer))],
    [wire.MIG_DATA_WRITE, plain(({ payload }) => features.dataWrite(payload))],
  ]);
}

function mapped(done: Result<Uint8Array>, { fds }: Message, remote: RemoteDma): Result<Uint8Array> {
  if (done.ok && fds.length === 0) remote.begin();
  return done;
}

async function reset(device: LabDevice): Promise<Result<Uint8Array>> {
  const done = await device.reset();
  return done.ok ? ok(NOTHING) : done;
}

/** An ioctl that fills a struct; the rest of the payload is not looked at. EINVAL: no whole struct. */
async function info(
  device: LabDevice,
  def: Parameters<LabDevice['ioctl']>[0],
  { payload }: Message,
  size: number,
): Promise<Result<Uint8Array>> {
  if (payload.length < size) return fail('EINVAL');
  const bytes = payload.slice(0, size);
  if (new DataView(bytes.buffer).getUint32(0, true) < size) return fail('EINVAL');
  new DataView(bytes.buffer).setUint32(0, size, true);
  return device.ioctl(def, bytes);
}

async function deviceInfo(device: LabDevice, message: Message): Promise<Result<Uint8Array>> {
  const { size } = wire.vfio_user_device_info;
  const done = await info(device, VFIO_DEVICE_GET_INFO as never, message, size);
  if (!done.ok) return done;
  const { flags, num_regions, num_irqs } = decode(vfio_device_info, done.value);
  // Capabilities of the device have no place in this protocol.
  return ok(encode(wire.vfio_user_device_info, { argsz: size, flags: flags & 0x7f, num_regions, num_irqs }));
}

/** Regions are read and written by messages alone, so what tells where they can be mapped is left out. */
async function regionInfo(device: LabDevice, message: Message): Promise<Result<Uint8Array>> {
  const { size } = vfio_region_info;
  const done = await info(device, VFIO_DEVICE_GET_REGION_INFO as never, message, size);
  if (!done.ok) return done;
  const found = decode(vfio_region_info, done.value);
  const flags = found.flags & ~(VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS);
  return ok(encode(vfio_region_info, { ...found, argsz: size, flags, cap_offset: 0, offset: 0n }));
}

const irqInfo = (device: LabDevice, message: Message): Promise<Result<Uint8Array>> =>
  info(device, VFIO_DEVICE_GET_IRQ_INFO as never, message, vfio_irq_info.size);

interface Place {
  readonly region: number;
  readonly offset: number;
  readonly count: number;
}

/** EINVAL: no struct, nothing to transfer, or a place that no region has; E2BIG: more than was agreed on. */
function placeOf(payload: Uint8Array, maxTransfer: number): Place | Errno {
  if (payload.length < ACCESS.size) return 'EINVAL';
  const offset = wire.u32At(payload, 4) * 2 ** 32 + wire.u32At(payload, 0);
  const [region, count] = [wire.u32At(payload, 8), wire.u32At(payload, 12)];
  if (count > maxTransfer) return 'E2BIG';
  if (count === 0 || offset + count > REGION_END || region > 0xff) return 'EINVAL';
  return { region, offset, count };
}

async function regionRead({ device, maxTransfer }: Parts, { payload }: Message): Promise<Result<Uint8Array>> {
  const place = placeOf(payload, maxTransfer);
  if (typeof place === 'string') return fail(place);
  const { region, offset, count } = place;
  const read = await device.read(region, offset, count);
  if (!read.ok) return read;
  const reply = new Uint8Array(ACCESS.size + count);
  reply.set(payload.subarray(0, ACCESS.size));
  reply.set(read.value, ACCESS.size);
  return ok(reply);
}

async function regionWrite({ device, maxTransfer }: Parts, { payload }: Message): Promise<Result<Uint8Array>> {
  const place = placeOf(payload, maxTransfer);
  if (typeof place === 'string') return fail(place);
  const { region, offset, count } = place;
  if (payload.length !== ACCESS.size + count) return fail('EINVAL');
  const written = await device.write(region, offset, payload.subarray(ACCESS.size));
  return written.ok ? ok(payload.slice(0, ACCESS.size)) : written;
}

/** Stops at the first that fails, when none before it was done: its errno; else how many were done. */
async function regionWrites(device: LabDevice, { payload }: Message): Promise<Result<Uint8Array>> {
  if (payload.length < 8) return fail('EINVAL');
  const asked = new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true);
  if (asked > BigInt(MAX_WRITES)) return fail('E2BIG');
  if (payload.length !== 8 + Number(asked) * WRITE.size) return fail('EINVAL');
  let done = 0;
  for (; done < Number(asked); done++) {
    const at = 8 + done * WRITE.size;
    const one = payload.subarray(at, at + WRITE.size);
    const place = placeOf(one, 8);
    const written =
      typeof place === 'string'
        ? fail(place)
        : await device.write(place.region, place.offset, one.slice(ACCESS.size, ACCESS.size + place.count));
    if (written.ok) continue;
    if (done === 0) return written;
    break;
  }
  const reply = new Uint8Array(8);
  new DataView(reply.buffer).setBigUint64(0, BigInt(done), true);
  return ok(reply);
}

/**
 * DEVICE_FEATURE: migration and DMA logging, and the migration's bytes.
 *
 * Words: the *data file* is what a state that saves or resumes comes with; the protocol reads and writes it by messages.
 * Rule: payloads are the kernel's, but for what the kernel points at: that stands in the message.
 */
import {
  decode,
  encode,
  fail,
  ok,
  type Result,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_STOP_COPY,
  vfio_device_feature,
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
  vfio_device_feature_mig_state,
} from '@vfiolab/uapi';
import { bitmapBytes } from './dma.js';
import type { LabDevice } from './lab-device.js';
import { vfio_user_logging_control, vfio_user_logging_report, vfio_user_mig_data } from './wire.js';

const HEAD = vfio_device_feature.size;
const DATA = vfio_user_mig_data;
const CONTROL = vfio_user_logging_control;
const REPORT = vfio_user_logging_report;
/** The features that the protocol has. */
const KNOWN: readonly number[] = [
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
];
/** States that have a data file. */
const WITH_DATA: readonly number[] = [
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
  VFIO_DEVICE_STATE_STOP_COPY,
  VFIO_DEVICE_STATE_RESUMING,
];
/** Bytes of one bitmap. */
const MAX_BITMAP = 1 << 18;
/** Bytes of a payload that the kernel fills. */
const ROOM = 64;

export class FeatureCalls {
  /** The data file of the present state. */
  private data: number | undefined;

  constructor(private readonly device: LabDevice) {}

  async canMigrate(): Promise<boolean> {
    const flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION;
    return (await this.ioctl(flags, new Uint8Array(0))).ok;
  }

  /** EINVAL: no struct; ENOTTY: no feature of this protocol; else as VFIO_DEVICE_FEATURE answers. */
  async feature(payload: Uint8Array): Promise<Result<Uint8Array>> {
    if (payload.length < HEAD) return fail('EINVAL');
    const { argsz, flags } = decode(vfio_device_feature, payload);
    const feature = flags & VFIO_DEVICE_FEATURE_MASK;
    if (argsz < HEAD) return fail('EINVAL');
    if (!KNOWN.includes(feature)) return fail('ENOTTY');
    const data = payload.subarray(HEAD);
    const done = await this.carryOut(flags, feature, data);
    if (!done.ok) return done;
    const isGet = (flags & VFIO_DEVICE_FEATURE_GET) !== 0 && (flags & VFIO_DEVICE_FEATURE_PROBE) === 0;
    // A SET or a PROBE is echoed.
    if (!isGet) return ok(payload.slice());
    const reply = new Uint8Array(HEAD + done.value.length);
    if (reply.length > argsz) return fail('ENOSPC');
    reply.set(encode(vfio_device_feature, { argsz: reply.length, flags }));
    reply.set(done.value, HEAD);
    return ok(reply);
  }

  private carryOut(flags: number, feature: number, data: Uint8Array): Promise<Result<Uint8Array>> | Result<Uint8Array> {
    if ((flags & VFIO_DEVICE_FEATURE_PROBE) !== 0) return this.ioctl(flags, new Uint8Array(0));
    const sets = (flags & VFIO_DEVICE_FEATURE_SET) !== 0;
    if (feature === VFIO_DEVICE_FEATURE_DMA_LOGGING_START && sets) return this.startLogging(flags, data);
    if (feature === VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT && !sets) return this.report(flags, data);
    if (feature === VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE && sets) return this.setState(flags, data);
    return this.get(flags, feature, data);
  }

  private async get(flags: number, feature: number, data: Uint8Array): Promise<Result<Uint8Array>> {
    const sizes: Record<number, number> = {
      [VFIO_DEVICE_FEATURE_MIGRATION]: 8,
      [VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE]: vfio_device_feature_mig_state.size,
    };
    const size = sizes[feature] ?? Math.min(data.length, ROOM);
    const room = new Uint8Array(size);
    room.set(data.subarray(0, size));
    return this.ioctl(flags, room);
  }

  private async setState(flags: number, data: Uint8Array): Promise<Result<Uint8Array>> {
    const { size } = vfio_device_feature_mig_state;
    if (data.length < size) return fail('EINVAL');
    const done = await this.ioctl(flags, data.slice(0, size));
    if (!done.ok) return done;
    const { data_fd, device_state } = decode(vfio_device_feature_mig_state, done.value);
    // From PRE_COPY to STOP_COPY the same file goes on.
    if (data_fd < 0 && WITH_DATA.includes(device_state)) return done;
    const old = this.data;
    this.data = data_fd >= 0 ? data_fd : undefined;
    if (old !== undefined) await this.device.process.close(old);
    return done;
  }

  /** EINVAL: no struct, no data file, or nothing asked for; ENOMSG: for now. Less than was asked for: there is no more. */
  async dataRead(payload: Uint8Array, most: number): Promise<Result<Uint8Array>> {
    if (payload.length < DATA.size || this.data === undefined) return fail('EINVAL');
    const { size } = decode(DATA, payload);
    if (size > most) return fail('E2BIG');
    const parts = new Uint8Array(DATA.size + size);
    let at = 0;
    while (at < size) {
      const read = await this.device.process.readFile(this.data, Math.min(size - at, MAX_PART));
      // What was read is the answer; why there is no more is told to who asks again.
      if (!read.ok && at > 0) break;
      if (!read.ok) return read;
      if (read.value.length === 0) break;
      parts.set(read.value, DATA.size + at);
      at += read.value.length;
    }
    parts.set(encode(DATA, { argsz: DATA.size + at, size: at }));
    return ok(parts.slice(0, DATA.size + at));
  }

  /** EINVAL: no struct, no data file, or not as many bytes as it says. */
  async dataWrite(payload: Uint8Array): Promise<Result<Uint8Array>> {
    if (payload.length < DATA.size || this.data === undefined) return fail('EINVAL');
    const { size } = decode(DATA, payload);
    if (payload.length !== DATA.size + size) return fail('EINVAL');
    for (let at = 0; at < size;) {
      const part = payload.slice(DATA.size + at, DATA.size + Math.min(size, at + MAX_PART));
      const written = await this.device.process.writeFile(this.data, part);
      if (!written.ok) return written;
      at += written.value;
    }
    return ok(new Uint8Array(0));
  }

  private async startLogging(flags: number, data: Uint8Array): Promise<Result<Uint8Array>> {
    if (data.length < CONTROL.size) return fail('EINVAL');
    const { page_size, num_ranges } = decode(CONTROL, data);
    const bytes = num_ranges * vfio_device_feature_dma_logging_range.size;
    if (data.length !== CONTROL.size + bytes) return fail('EINVAL');
    return this.withMemory(data.slice(CONTROL.size), async (ranges) => {
      const control = { page_size, num_ranges, ranges };
      return this.ioctl(flags, encode(vfio_device_feature_dma_logging_control, control));
    });
  }

  /** The bitmap stands behind the struct. E2BIG: it is longer than a message may be. */
  private async report(flags: number, data: Uint8Array): Promise<Result<Uint8Array>> {
    if (data.length < REPORT.size) return fail('EINVAL');
    const { iova, length, page_size } = decode(REPORT, data);
    const bitmap = await this.written(flags, iova, length, page_size);
    if (!bitmap.ok) return bitmap;
    const reply = new Uint8Array(REPORT.size + bitmap.value.length);
    reply.set(data.subarray(0, REPORT.size));
    reply.set(bitmap.value, REPORT.size);
    return ok(reply);
  }

  /** The pages that the device wrote to since they were asked for last, a bit for each. EINVAL: they are not logged; E2BIG. */
  dirty(iova: bigint, length: bigint, pageSize: bigint): Promise<Result<Uint8Array>> {
    return this.written(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, iova, length, pageSize);
  }

  private async written(flags: number, iova: bigint, length: bigint, page_size: bigint): Promise<Result<Uint8Array>> {
    if (page_size === 0n) return fail('EINVAL');
    const bytes = bitmapBytes(length, page_size);
    if (bytes > BigInt(MAX_BITMAP)) return fail('E2BIG');
    return this.withMemory(new Uint8Array(Number(bytes)), async (bitmap, read) => {
      const asked = { iova, length, page_size, bitmap };
      const done = await this.ioctl(flags, encode(vfio_device_feature_dma_logging_report, asked));
      if (!done.ok) return done;
      return read();
    });
  }

  /** Memory of the client process with these bytes, for one call that points at it. */
  private async withMemory<T>(
    bytes: Uint8Array,
    work: (va: bigint, read: () => Promise<Result<Uint8Array>>) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    const { process } = this.device;
    const length = Math.max(bytes.length, 1);
    const va = await process.mmap(length);
    if (!va.ok) return va;
    const written = bytes.length > 0 ? await process.write(va.value, bytes) : ok(undefined);
    const done = written.ok ? await work(BigInt(va.value), () => process.read(va.value, bytes.length)) : written;
    await process.munmap(va.value, length);
    return done;
  }

  private async ioctl(flags: number, data: Uint8Array): Promise<Result<Uint8Array>> {
    const { errno, tail } = await this.device.process.ioctl(
      this.device.fd,
      VFIO_DEVICE_FEATURE,
      { argsz: HEAD + data.length, flags },
      { tail: data },
    );
    return errno === undefined ? ok(tail.slice()) : fail(errno);
  }
}

/** Bytes of one read or write of the data file. */
const MAX_PART = 128 * 1024;

/** Migration of a function as a program does it: states, and bytes on the data fd. */
import {
  decode,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_MIG_GET_PRECOPY_INFO,
  vfio_device_feature_mig_state,
} from '@vfiolab/uapi';
import type { Device } from './passthrough.js';

const STATE = vfio_device_feature_mig_state;

/** The errno, the data fd that the state came with, or -1. */
export async function moveTo(d: Device, device_state: number): Promise<string | number> {
  const flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
  const { errno, payload } = await d.featureWith(flags, STATE, { device_state, data_fd: 77 });
  const { data_fd } = decode(STATE, payload);
  if (errno !== undefined && data_fd !== -1) throw new Error(`a failed request left data_fd ${data_fd}`);
  return errno ?? data_fd;
}

export async function stateOf(d: Device): Promise<number> {
  const flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
  const { payload } = await d.featureWith(flags, STATE, {});
  return decode(STATE, payload).device_state;
}

/** Everything up to the end, in pieces; the errno that ended it, if it was one. */
export async function readAll(d: Device, fd: number): Promise<{ bytes: Uint8Array; errno: string | undefined }> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const part = await d.p.attempt(d.p.process.readFile(fd, 1000));
    if (typeof part === 'string' || part.length === 0)
      return {
        bytes: Uint8Array.from(parts.flatMap((p) => [...p])),
        errno: typeof part === 'string' ? part : undefined,
      };
    parts.push(part);
  }
}

export async function writeAll(d: Device, fd: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += 999) await d.p.must(d.p.process.writeFile(fd, bytes.slice(at, at + 999)));
}

/** Flags, initial and dirty bytes, or the errno. */
export async function precopyInfo(d: Device, fd: number): Promise<string | number[]> {
  const done = await d.p.host.run(d.p.process.ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, { argsz: 24 }));
  const { flags, initial_bytes, dirty_bytes } = done.out;
  return done.errno ?? [flags, Number(initial_bytes), Number(dirty_bytes)];
}

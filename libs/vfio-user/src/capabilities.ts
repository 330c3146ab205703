/**
 * What the two sides of a connection tell each other first (VERSION): limits as JSON behind two version numbers.
 *
 * Rule: what the peer does not say has the protocol's default; what it says wrongly ends the connection.
 */
import { decode, encode, fail, ok, type Result } from '@vfiolab/uapi';
import { vfio_user_version } from './wire.js';

/** Bytes of one data transfer, unless both sides say otherwise. */
export const DEFAULT_TRANSFER = 1 << 20;
/** The longest JSON that is looked at. */
export const MAX_JSON = 64 * 1024;
/** Descriptors that may come with one message. */
export const MAX_FDS = 16;
/** Areas of DMA memory of one client. */
export const MAX_DMA_MAPS = 65535;

/** What a peer can take. */
export interface Limits {
  /** Descriptors in one message. */
  readonly maxFds: number;
  /** Bytes of one read or write. */
  readonly maxTransfer: number;
}

export const DEFAULT_LIMITS: Limits = { maxFds: 1, maxTransfer: DEFAULT_TRANSFER };

export interface Proposal {
  readonly major: number;
  readonly minor: number;
  readonly limits: Limits;
}

/** EINVAL: too short, no JSON, or not what the names are for. */
export function readVersion(payload: Uint8Array): Result<Proposal> {
  if (payload.length < vfio_user_version.size || payload.length > MAX_JSON) return fail('EINVAL');
  const { major, minor } = decode(vfio_user_version, payload);
  const text = textOf(payload.subarray(vfio_user_version.size));
  if (text === '') return ok({ major, minor, limits: DEFAULT_LIMITS });
  const limits = limitsOf(text);
  return limits ? ok({ major, minor, limits }) : fail('EINVAL');
}

/** Up to the NUL, or all of it. */
function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function limitsOf(text: string): Limits | undefined {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(said)) return undefined;
  const { capabilities = {} } = said;
  if (!isObject(capabilities)) return undefined;
  const { max_msg_fds = DEFAULT_LIMITS.maxFds, max_data_xfer_size = DEFAULT_TRANSFER } = capabilities;
  if (!isCount(max_msg_fds) || !isCount(max_data_xfer_size) || max_data_xfer_size === 0) return undefined;
  return { maxFds: max_msg_fds, maxTransfer: max_data_xfer_size };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** A VERSION payload. `migration`: the device can be migrated, in pages of 4 KiB. */
export function versionPayload(
  { maxFds, maxTransfer }: Limits,
  { major = 0, minor = 0, migration = false, maxMaps = MAX_DMA_MAPS } = {},
): Uint8Array {
  const capabilities = {
    max_msg_fds: maxFds,
    max_data_xfer_size: maxTransfer,
    max_dma_maps: maxMaps,
    pgsizes: 4096,
    write_multiple: true,
    ...(migration ? { migration: { pgsize: 4096 } } : {}),
  };
  const text = new TextEncoder().encode(`${JSON.stringify({ capabilities })}\0`);
  const payload = new Uint8Array(vfio_user_version.size + text.length);
  payload.set(encode(vfio_user_version, { major, minor }));
  payload.set(text, vfio_user_version.size);
  return payload;
}

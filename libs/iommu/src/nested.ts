/**
 * User-managed domains: the guest's own table on top of a parent, which the host only caches.
 *
 * Words: *driver data* is the blob that IOMMU_HWPT_ALLOC and IOMMU_HWPT_INVALIDATE carry for the driver; each driver has
 * types of its own. The mock driver's nested domain is an IOTLB of four slots.
 * Rule: data is judged in the kernel's order: type, parent, length, then the caller's memory, then its content.
 */
import type { UserData } from '@vfiolab/core';
import { type Errno, fail, ok, type Result } from '@vfiolab/uapi';
import type { Invalidated, Invalidations } from './guest-invalidate.js';
import { GuestTable } from './guest-table.js';

const MOCK_DATA = 0xdead;
const MOCK_INVALIDATION = 0xdeadbeef;
/** The first published form of the mock's HWPT data. */
const MOCK_DATA_MIN = 4;
/** {flags, iotlb_id} */
const MOCK_ENTRY = 8;
const INVALIDATE_ALL = 1;
const SLOTS = 4;

export interface Nested {
  readonly parent: number;
  /** The mock's IOTLB. */
  readonly iotlb: number[];
  /** A table of a real guest. */
  readonly guest?: GuestTable;
}

const u32At = (b: Uint8Array, at: number): number => new DataView(b.buffer, b.byteOffset).getUint32(at, true);

/** `parent`: undefined when it is no domain that can be one. `known`: bytes of the struct that the kernel knows. */
export function nestedOf(data: UserData, parent: number | undefined, known: number): Result<Nested> {
  if (data.type !== MOCK_DATA) return fail('EOPNOTSUPP');
  if (parent === undefined || data.length < MOCK_DATA_MIN || data.length > known) return fail('EINVAL');
  if (!data.bytes) return fail('EFAULT');
  return ok({ parent, iotlb: new Array<number>(SLOTS).fill(u32At(data.bytes, 0)) });
}

const VTD_S1 = 1;
const VTD_S1_BYTES = 24;
const SMMU_STE = 2;
const SMMU_STE_BYTES = 16;

/** {u64 flags, u64 pgtbl_addr, u32 addr_width, u32 0} of VT-d. EOPNOTSUPP: type; EINVAL: length; EFAULT. */
export function vtdTable(data: UserData): Result<GuestTable> {
  if (data.type !== VTD_S1) return fail('EOPNOTSUPP');
  if (data.length !== VTD_S1_BYTES) return fail('EINVAL');
  if (!data.bytes) return fail('EFAULT');
  const view = new DataView(data.bytes.buffer, data.bytes.byteOffset);
  const words = [view.getBigUint64(0, true), view.getBigUint64(8, true), BigInt(view.getUint32(16, true))];
  return ok(new GuestTable('vtd', words));
}

const SUPERVISOR_REQUESTS = 1n;
const EXTENDED_ACCESS = 2n;

/** Judged when a device is attached: widths of 48 bits, and nothing that the hardware has not got. */
export const vtdFits = ({ words: [flags, , width] }: GuestTable): boolean =>
  width === 48n && (flags! & ~SUPERVISOR_REQUESTS & EXTENDED_ACCESS) === 0n;

/** Fields of a stream table entry that a guest may fill: V, Cfg, the context table and its format; S1DSS, caching, EATS. */
const STE_LOW = 0xf80fffffffffffffn;
const STE_HIGH = 0x3n | 0xfcn | (1n << 27n) | (3n << 28n);
const EATS = 3n << 28n;

/** Two words of an SMMU's stream table entry. EINVAL: type, length; EFAULT; EIO: fields that a guest may not fill. */
export function smmuTable(data: UserData): Result<GuestTable> {
  if (data.type !== SMMU_STE || data.length !== SMMU_STE_BYTES) return fail('EINVAL');
  if (!data.bytes) return fail('EFAULT');
  const view = new DataView(data.bytes.buffer, data.bytes.byteOffset);
  const [low, high] = [view.getBigUint64(0, true), view.getBigUint64(8, true)];
  if ((low & 1n) === 0n) return ok(new GuestTable('smmu', [0n, 0n]));
  const cfg = (low >> 1n) & 7n;
  const isKnown = cfg === 0n || cfg === 4n || cfg === 5n;
  const eats = (high & EATS) >> 28n;
  if (low & ~STE_LOW || high & ~STE_HIGH || !isKnown || eats > 1n) return fail('EIO');
  return ok(new GuestTable('smmu', [low, high & ~EATS]));
}

/** {flags, vdev_id, cache_id}; the last word may be left out, more may follow when it is zero. */
const DEVICE_ENTRY = 12;
const DEVICE_ENTRY_MIN = 8;

/**
 * Invalidations of a vIOMMU: of caches of the devices that have an id in it. The whole array is taken in first.
 * EINVAL: type, entry length, slot or virtual id; EFAULT; E2BIG; EOPNOTSUPP: flags.
 */
export function invalidateDevices(
  caches: ReadonlyMap<bigint, number[]>,
  { type, entryLength, count, entries }: Invalidations,
): Invalidated {
  if (type !== MOCK_INVALIDATION) return { done: 0, errno: 'EINVAL' };
  if (count > 0 && entryLength < DEVICE_ENTRY_MIN) return { done: 0, errno: 'EINVAL' };
  if (entries.length < count * entryLength) return { done: 0, errno: 'EFAULT' };
  const rows = Array.from({ length: count }, (_, i) => entries.subarray(i * entryLength, (i + 1) * entryLength));
  if (rows.some((row) => row.subarray(DEVICE_ENTRY).some((byte) => byte !== 0))) return { done: 0, errno: 'E2BIG' };
  for (const [done, row] of rows.entries()) {
    const errno = invalidateCache(caches, row);
    if (errno) return { done, errno };
  }
  return { done: count, errno: undefined };
}

function invalidateCache(caches: ReadonlyMap<bigint, number[]>, row: Uint8Array): Errno | undefined {
  const entry = new Uint8Array(DEVICE_ENTRY);
  entry.set(row.subarray(0, DEVICE_ENTRY));
  const [flags, virtId, slot] = [u32At(entry, 0), u32At(entry, 4), u32At(entry, 8)];
  if ((flags & ~INVALIDATE_ALL) !== 0) return 'EOPNOTSUPP';
  const cache = caches.get(BigInt(virtId));
  if (!cache || slot >= SLOTS) return 'EINVAL';
  if (flags === INVALIDATE_ALL) cache.fill(0);
  else cache[slot] = 0;
  return undefined;
}

/** Carries out entries until one is bad; `errno` says why it stopped. */
export function invalidate(nested: Nested, array: Invalidations): Invalidated {
  if (array.type !== MOCK_INVALIDATION) return { done: 0, errno: 'EINVAL' };
  for (let done = 0; done < array.count; done++) {
    const errno = invalidateOne(nested, array, done);
    if (errno) return { done, errno };
  }
  return { done: array.count, errno: undefined };
}

function invalidateOne({ iotlb }: Nested, { entryLength, entries }: Invalidations, index: number): Errno | undefined {
  if (entryLength !== MOCK_ENTRY) return 'EINVAL';
  const at = index * MOCK_ENTRY;
  if (at + MOCK_ENTRY > entries.length) return 'EFAULT';
  const flags = u32At(entries, at);
  const slot = u32At(entries, at + 4);
  if ((flags & ~INVALIDATE_ALL) !== 0) return 'EOPNOTSUPP';
  if (slot >= SLOTS) return 'EINVAL';
  if (flags === INVALIDATE_ALL) iotlb.fill(0);
  else iotlb[slot] = 0;
  return undefined;
}

/**
 * Invalidations that a guest asks for: VT-d's of one table by address, an SMMU's raw commands for a virtual IOMMU.
 *
 * Words: a *command* is two words; its low byte says what it does.
 * Rule: entries are judged in the kernel's order (n008): the type of the data, then entry by entry; those before the first bad
 * one are carried out and counted.
 */
import type { Errno } from '@vfiolab/uapi';
import type { Domain } from './domain.js';
import type { GuestTable } from './guest-table.js';

export interface Invalidations {
  readonly type: number;
  readonly entryLength: number;
  readonly count: number;
  /** What the caller's memory held: may be short. */
  readonly entries: Uint8Array;
}
export interface Invalidated {
  readonly done: number;
  readonly errno: Errno | undefined;
}

const VTD_DATA = 0;
const VTD_ENTRY = 24;
const ALL_PAGES = 0xffffffffffffffffn;
const LEAF_ONLY = 1;

const SMMU_DATA = 1;
const SMMU_ENTRY = 16;

const viewOf = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset);

/** The entry as long as the driver's struct. EINVAL: shorter than `least`; E2BIG: longer, and more than zeros; EFAULT. */
function entryAt({ entryLength, entries }: Invalidations, i: number, size: number, least: number): Uint8Array | Errno {
  if (entryLength < least) return 'EINVAL';
  if ((i + 1) * entryLength > entries.length) return 'EFAULT';
  const given = entries.subarray(i * entryLength, (i + 1) * entryLength);
  if (given.subarray(size).some((byte) => byte !== 0)) return 'E2BIG';
  const entry = new Uint8Array(size);
  entry.set(given.subarray(0, size));
  return entry;
}

/** {u64 addr, u64 npages, u32 flags, u32 0}: all of it is address 0 and 2^64 - 1 pages (semantics C6.1). */
export function invalidateVtd(table: GuestTable, array: Invalidations): Invalidated {
  if (array.type !== VTD_DATA) return { done: 0, errno: 'EINVAL' };
  for (let done = 0; done < array.count; done++) {
    const entry = entryAt(array, done, VTD_ENTRY, VTD_ENTRY);
    if (typeof entry === 'string') return { done, errno: entry };
    const view = viewOf(entry);
    const [addr, pages] = [view.getBigUint64(0, true), view.getBigUint64(8, true)];
    if (view.getUint32(16, true) & ~LEAF_ONLY || view.getUint32(20, true)) return { done, errno: 'EOPNOTSUPP' };
    if (addr & 0xfffn || (pages === ALL_PAGES && addr !== 0n)) return { done, errno: 'EINVAL' };
    if (pages === ALL_PAGES) table.invalidateAll();
    else table.invalidate(Number(addr >> 12n), Number(pages));
  }
  return { done: array.count, errno: undefined };
}

/** Tables over one virtual IOMMU; `byStream` finds those of the device with a virtual id, undefined for an unknown one. */
export interface Targets {
  readonly all: readonly Domain[];
  byStream(id: number): readonly Domain[] | undefined;
}

/** The whole array is read before the first command is carried out. EIO: a command that no guest may give, or no such device. */
export function invalidateSmmu(targets: Targets, array: Invalidations): Invalidated {
  if (array.type !== SMMU_DATA || array.count === 0) return { done: 0, errno: 'EINVAL' };
  const commands: DataView[] = [];
  for (let i = 0; i < array.count; i++) {
    const entry = entryAt(array, i, SMMU_ENTRY, 0);
    if (typeof entry === 'string') return { done: 0, errno: entry };
    commands.push(viewOf(entry));
  }
  for (const [done, command] of commands.entries()) {
    const known = carryOut(targets, command.getBigUint64(0, true), command.getBigUint64(8, true));
    if (!known) return { done, errno: 'EIO' };
  }
  return { done: array.count, errno: undefined };
}

const OP = {
  configOne: 0x05,
  configAll: 0x06,
  all: 0x10,
  asid: 0x11,
  page: 0x12,
  pageAnyAsid: 0x13,
  everything: 0x30,
  atc: 0x40,
};

function carryOut(targets: Targets, low: bigint, high: bigint): boolean {
  const tables = targets.all.flatMap(({ nested }) => nested?.guest ?? []);
  const asid = Number(low >> 48n);
  switch (Number(low & 0xffn)) {
    case OP.all:
    case OP.everything:
      for (const table of tables) table.invalidateAll();
      return true;
    case OP.asid:
      for (const table of tables) table.invalidateAll(asid);
      return true;
    case OP.page:
    case OP.pageAnyAsid: {
      const anyAsid = Number(low & 0xffn) === OP.pageAnyAsid;
      const [first, count] = rangeOf(low, high);
      for (const table of tables) table.invalidate(first, count, anyAsid ? undefined : asid);
      return true;
    }
    case OP.configOne:
    case OP.configAll: {
      const found = targets.byStream(Number((low >> 32n) & 0xffffffffn));
      const pasid = Number(low & 0xffn) === OP.configOne ? Number((low >> 12n) & 0xfffffn) : undefined;
      for (const { nested } of found ?? []) nested?.guest?.forgetContexts(pasid);
      return found !== undefined;
    }
    case OP.atc:
      // Devices here keep no translations of their own.
      return targets.byStream(Number((low >> 32n) & 0xffffffffn)) !== undefined;
    default:
      return false;
  }
}

/** Granule of a range by its code; 0: a single page of whatever size. */
const GRANULE_PAGES = [0, 1, 4, 16];

/** First page of 4 KiB, and how many: of a single address the largest page that can be there. */
function rangeOf(low: bigint, high: bigint): readonly [number, number] {
  const page = Number((high >> 12n) & 0xfffffffffffffn);
  const granule = GRANULE_PAGES[Number((high >> 10n) & 3n)]!;
  if (granule === 0) return [page, 1];
  const [count, scale] = [Number((low >> 12n) & 0x1fn) + 1, Number((low >> 20n) & 0x1fn)];
  return [page, granule * count * 2 ** scale];
}

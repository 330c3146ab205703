/**
 * The mock IOMMU and its devices, as a kernel with the iommufd self-test has them.
 *
 * Words: a *mock device* is a function without a PCI address, alone in its group and blocked from the start; its pages are
 * 2048 bytes, half a page, so that nobody can take 4096 for granted.
 * Rule: where a real IOMMU is active there are no mock devices (SURPRISES 49). Numbers: uAPI section 5, trace a049.
 */
import { BLOCKING, type HardwareInfo, type UserData } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Format } from './formats.js';

/** Flags of a mock device. 6.12: HUGE_IOVA, later kernels: PASID. */
export const MOCK_NO_DIRTY = 1;
export const MOCK_HUGE_IOVA = 2;
export const MOCK_PASID = 4;
const KNOWN_FLAGS = MOCK_NO_DIRTY | MOCK_HUGE_IOVA | MOCK_PASID;
/** Not a flag that a user has: the kernel's mock driver uses AMD's page tables. */
export const MOCK_AMD_TABLES = 1 << 16;
const PASID_BITS = 20;
/** Type of the mock's virtual IOMMU. */
export const MOCK_VIOMMU = 0xdeadbeef;
/** Numbers of the mock devices' groups begin here, far from those of a machine. */
export const MOCK_GROUPS = 0x4000_0000;
/** Mock devices of one host; one more is refused. */
export const MAX_MOCKS = 4096;

/** HWPT flags that the mock driver takes: NEST_PARENT, DIRTY_TRACKING and PASID. */
export const MOCK_HWPT_FLAGS = 11;
/** hw_info type and its register, so that a reader can tell that he got the blob. */
const ATS_NOT_SUPPORTED = 8n;
const INFO_TYPE = 0xfeedbeef;
const INFO_BLOB = Uint8Array.of(0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde);

const mock = (name: string, pageSizes: bigint): Format => ({
  name,
  granule: 11,
  first: 0x1000000n,
  last: 0x7fffffffn,
  pageSizes,
  takesNoPermission: true,
});

export const MOCK = mock('mock', 0x800n);
/** With leaves of 1 MiB too. */
export const MOCK_HUGE = mock('mock-huge', 0x100800n);

/**
 * Every power of two up to 2^36 is a page size, in principle: leaves are written one by one all the same. Entries that allow
 * nothing are refused (DIFF 25).
 */
export const MOCK_AMD: Format = {
  ...mock('mock-amd', 0x1ffffff800n),
  topLevel: 0,
  takesNoPermission: false,
  joinsHalves: true,
};

/** The table that a user can ask for since 7.2: whole pages and leaves of 1 MiB over 38 bits. */
export const MOCK_PAGES: Format = {
  ...mock('mock-pages', 0x101000n),
  granule: 12,
  first: 0n,
  last: 0x3fffffffffn,
  takesNoPermission: false,
};

/** Driver data of a paging HWPT: {u32, u32 table}; the second word may be left out. */
const DATA_TYPE = 0xdead;
const TABLES: readonly Format[] = [MOCK_AMD, MOCK_PAGES];

/** EOPNOTSUPP: data of another driver, or no such table; EINVAL: length; EFAULT. */
export function mockFormatFor({ type, length, bytes }: UserData): Result<Format> {
  if (type !== DATA_TYPE) return fail('EOPNOTSUPP');
  if (length < 4 || length > 8) return fail('EINVAL');
  if (!bytes) return fail('EFAULT');
  const table = length === 8 ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true) : 0;
  const format = TABLES[table];
  return format ? ok(format) : fail('EOPNOTSUPP');
}

/** What only mock devices have. */
export interface MockDevice {
  readonly flags: number;
  /** A cache that a guest invalidates, in four slots. */
  readonly cache: number[];
  /** The next move of the failing PASID fails. */
  failNext: boolean;
}

const CACHE_SLOTS = 4;
const CACHE_DEFAULT = 0xbaddad;
/** PASID whose second move in a row fails, so that rolling back can be tested; the third works again (r9-0030). */
const FAILING_PASID = 1024;

export const mockDevice = (flags: number): MockDevice => ({
  flags,
  cache: new Array<number>(CACHE_SLOTS).fill(CACHE_DEFAULT),
  failNext: false,
});

/** PASIDs of a mock device end here; 0: it has none. */
export const mockPasidEnd = (flags: number): number => ((flags & MOCK_PASID) !== 0 ? 2 ** PASID_BITS : 0);

/** False: the mock's made-up failure. */
export function accepts(mock: MockDevice, pasid: number, to: number): boolean {
  if (pasid !== FAILING_PASID) return true;
  const refused = to !== BLOCKING && mock.failNext;
  mock.failNext = to !== BLOCKING && !refused;
  return !refused;
}

export const knownMockFlags = (flags: number): boolean => (flags & ~KNOWN_FLAGS) === 0;
export const mockName = (n: number): string => `iommufd_mock${n}`;
export function mockFormat(flags: number): Format {
  if ((flags & MOCK_HUGE_IOVA) !== 0) return MOCK_HUGE;
  return (flags & MOCK_AMD_TABLES) !== 0 ? MOCK_AMD : MOCK;
}

export const mockInfo = (flags: number): HardwareInfo => ({
  type: INFO_TYPE,
  data: INFO_BLOB,
  capabilities: ATS_NOT_SUPPORTED | ((flags & MOCK_NO_DIRTY) !== 0 ? 0n : 1n),
  maxPasidLog2: (flags & MOCK_PASID) !== 0 ? PASID_BITS : 0,
});

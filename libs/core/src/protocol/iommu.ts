/**
 * What others may ask of `iommu`: domains, page tables, translation.
 *
 * Words: a *granule* is the smallest page of a domain; IOVAs and frames in these messages count granules, so they stay
 * below 2^53. A *run* is contiguous in IOVA and in memory.
 */
import {
  api,
  bool,
  bytes,
  i32,
  list,
  message,
  method,
  nothing,
  num,
  optional,
  oneOf,
  result,
  str,
  u32,
  u64,
  u8,
  type ValueOf,
} from '../codec.js';

export const run = message({ frame: num, count: num });
export type Run = ValueOf<typeof run>;
export const span = message({ iova: num, count: num });
export type Span = ValueOf<typeof span>;

export const PROT_READ = 1;
export const PROT_WRITE = 2;

/** Where a device's requests go when no HWPT is attached. */
export const BLOCKING = 0;
export const KERNEL = -1;

/** `granule` = log2 of the granule; `last` = last IOVA in bytes. */
export const domainInfo = message({ domain: u32, granule: u8, first: u64, last: u64, pageSizes: u64 });
export type DomainInfo = ValueOf<typeof domainInfo>;

export const reservedRegion = message({
  start: u64,
  last: u64,
  type: oneOf('direct', 'direct-relaxable', 'reserved', 'msi', 'sw-msi'),
});
export type ReservedRegion = ValueOf<typeof reservedRegion>;

export const faultRecord = message({ bdf: str, iova: u64, write: bool, reason: str });
export type FaultRecord = ValueOf<typeof faultRecord>;

/** A run carries at most this many entries in one message. */
export const MAX_RUNS = 16384;
/** A DMA carries at most this many bytes in one message. */
export const MAX_DMA = 262144;

/** What IOMMU_GET_HW_INFO tells: `data` is the driver's own blob of `type`. */
export const hardwareInfo = message({ type: u32, data: bytes, capabilities: u64, maxPasidLog2: u8 });
export type HardwareInfo = ValueOf<typeof hardwareInfo>;

/** A caller's driver data; `bytes` is missing when the caller's memory cannot be read. */
export const userData = message({ type: u32, length: u32, bytes: optional(bytes) });
export type UserData = ValueOf<typeof userData>;

/** Flags of domainAlloc, as IOMMU_HWPT_ALLOC has them. */
export const DOMAIN_NEST_PARENT = 1;
export const DOMAIN_DIRTY_TRACKING = 2;

/** Dirty bits in one message at most: 128 KiB. */
export const MAX_DIRTY = 1 << 20;

export const iommuApi = api('iommu', {
  /**
   * Functions behind the IOMMU with their group numbers. A new group starts in the kernel's own domain, a new function
   * of a known one where that is. Again with the same kind: adds functions (SR-IOV). With another kind: does nothing.
   */
  setup: method(32, message({ kind: str, functions: list(message({ bdf: str, group: u32 })) }), nothing),
  /** A paging domain fit for the device, as `data` has it. EINVAL (no such device, data), ENODEV (no IOMMU), EOPNOTSUPP (flags), ENOSPC (domain ids). */
  domainAlloc: method(33, message({ bdf: str, flags: u32, data: optional(userData) }), result(domainInfo)),
  /** EBUSY while a device is attached, EINVAL: no such domain. PTEs that are left go with it. */
  domainFree: method(34, message({ domain: u32 }), result(nothing)),
  /**
   * All devices of a group at once: a domain, BLOCKING or KERNEL. Answers when DMAs through the old one have landed.
   * EINVAL: not the devices of one group, or the domain does not fit them.
   */
  attach: method(35, message({ bdfs: list(str), domain: i32 }), result(nothing)),
  reservedRegions: method(36, message({ bdf: str }), list(reservedRegion)),
  /**
   * Writes PTEs for consecutive runs from `iova` on, in all of the domains or in none. `small`: each of them maps one
   * granule. EINVAL, EEXIST (mapped already), ENOMEM.
   */
  map: method(37, message({ domains: list(u32), iova: num, runs: list(run), prot: u8, small: bool }), result(nothing)),
  /** Clears PTEs in each of the domains and answers after the IOTLB flush: no DMA uses them any more. */
  unmap: method(38, message({ domains: list(u32), spans: list(span) }), nothing),
  /** One DMA of a device. Refused ones are recorded. `data` is empty for reads. */
  dma: method(
    39,
    message({ bdf: str, iova: u64, write: bool, length: u32, data: bytes }),
    message({ data: bytes, fault: optional(faultRecord) }),
  ),
  /** The newest recorded faults of a device, oldest first. */
  faults: method(40, message({ bdf: str }), list(faultRecord), { clients: true }),
  hardwareInfo: method(41, message({ bdf: str }), hardwareInfo),
  /** Frames (in granules) of consecutive granules, up to the first that is not mapped. */
  lookup: method(42, message({ domain: u32, iova: num, count: num }), list(run)),
  /** Dirty tracking on or off; on clears every dirty bit. EOPNOTSUPP: the domain was made without. */
  dirtyTracking: method(43, message({ domain: u32, enable: bool }), result(nothing)),
  /**
   * One bit for each granule, clear when nothing is mapped there; a large leaf is dirty as a whole, as far as the format tells. At most MAX_DIRTY
   * granules. With `clear` the bits are gone afterwards and the answer comes after the flush.
   */
  dirtyRead: method(44, message({ domain: u32, iova: num, count: num, clear: bool }), bytes),
  /** Marks granules dirty as a device's writes do, and answers how many of them are mapped. EINVAL: tracking is off. */
  dirtyMark: method(45, message({ domain: u32, first: num, bitmap: bytes }), result(u32)),
  /**
   * A user-managed domain on top of `parent`; `known` is the length of the driver's struct that the kernel knows.
   * EOPNOTSUPP (type), EINVAL (parent, length), EFAULT, ENOSPC.
   */
  nestedAlloc: method(
    46,
    message({ bdf: str, parent: u32, data: userData, known: u8 }),
    result(message({ domain: u32 })),
  ),
  /**
   * Cache invalidations of a nested domain: `count` entries of `entryLength` bytes, of which the caller's memory held
   * `entries`. Stops at the first bad one; `done` were carried out. EINVAL, EOPNOTSUPP, EFAULT.
   */
  invalidate: method(
    47,
    message({ domain: u32, type: u32, entryLength: u32, count: u32, entries: bytes }),
    message({ done: u32, outcome: result(nothing) }),
  ),
  /** A mock device of the kernel's self-test, in a group of its own, blocked; `amdTables`: its page sizes are AMD's. EINVAL: unknown flags, or an IOMMU is active. */
  mockAdd: method(48, message({ flags: u32, amdTables: bool }), result(message({ bdf: str, group: u32 }))),
  /** The mock device, which is attached to nothing, is gone. */
  mockRemove: method(49, message({ bdf: str }), nothing),
  /** The IOTLB slots of a mock nested domain. */
  mockIotlb: method(50, message({ domain: u32 }), list(u32)),
  /** The cache slots of a mock device. */
  mockCache: method(51, message({ bdf: str }), list(u32)),
  /** One PASID of a device: a domain or BLOCKING. EINVAL; ENOMEM: nothing has changed. */
  pasidAttach: method(52, message({ bdf: str, pasid: u32, domain: u32 }), result(nothing)),
  pasidDomain: method(53, message({ bdf: str, pasid: u32 }), u32),
  /** As `invalidate`, for the devices that have ids in a vIOMMU. E2BIG too. */
  invalidateDevices: method(
    54,
    message({
      type: u32,
      entryLength: u32,
      count: u32,
      entries: bytes,
      devices: list(message({ virtId: u64, bdf: str })),
    }),
    message({ done: u32, outcome: result(nothing) }),
  ),
});

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

export const iommuApi = api('iommu', {
  /**
   * Functions behind the IOMMU with their group numbers. A new group starts in the kernel's own domain, a new function
   * of a known one where that is. Again with the same kind: adds functions (SR-IOV). With another kind: does nothing.
   */
  setup: method(32, message({ kind: str, functions: list(message({ bdf: str, group: u32 })) }), nothing),
  /** A paging domain fit for the device. EINVAL (no such device), ENODEV (no IOMMU), EOPNOTSUPP (flags), ENOSPC (domain ids). */
  domainAlloc: method(33, message({ bdf: str, flags: u32 }), result(domainInfo)),
  /** EBUSY while a device is attached, EINVAL: no such domain. PTEs that are left go with it. */
  domainFree: method(34, message({ domain: u32 }), result(nothing)),
  /**
   * All devices of a group at once: a domain, BLOCKING or KERNEL. Answers when DMAs through the old one have landed.
   * EINVAL: not the devices of one group, or the domain does not fit them.
   */
  attach: method(35, message({ bdfs: list(str), domain: i32 }), result(nothing)),
  reservedRegions: method(36, message({ bdf: str }), list(reservedRegion)),
  /** Writes PTEs for consecutive runs from `iova` on, in all of the domains or in none. EINVAL, EEXIST (mapped already), ENOMEM. */
  map: method(37, message({ domains: list(u32), iova: num, runs: list(run), prot: u8 }), result(nothing)),
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
});

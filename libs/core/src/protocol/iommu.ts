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
export const domainInfo = message({
  domain: u32,
  granule: u8,
  first: u64,
  last: u64,
  pageSizes: u64,
  /** Every access is cache-coherent, whatever the device asks for. */
  coherent: bool,
  unit: u32,
});
export type DomainInfo = ValueOf<typeof domainInfo>;

export const reservedRegion = message({
  start: u64,
  last: u64,
  type: oneOf('direct', 'direct-relaxable', 'reserved', 'msi', 'sw-msi'),
});
export type ReservedRegion = ValueOf<typeof reservedRegion>;

export const faultRecord = message({ bdf: str, iova: u64, write: bool, reason: str, pasid: optional(u32) });
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
export const DOMAIN_PASID = 8;

/** One IOMMU of a machine that has several. `domainIds`: fewer than its kind has; 0: all of them. */
export const iommuUnit = message({ domainIds: u32, snoopControl: bool });
export type IommuUnit = ValueOf<typeof iommuUnit>;

/**
 * What a function brings to its IOMMU (its ATS, PRI and PASID capabilities) and which unit it is behind. `pasidBits`: width,
 * 0 without PASIDs; `pasidCaps`: 2 execute, 4 privileged.
 */
export const endpoint = message({ bdf: str, unit: u32, ats: bool, pri: bool, pasidBits: u8, pasidCaps: u8 });
export type Endpoint = ValueOf<typeof endpoint>;

/** What the IOMMU of a device can be made to do: its unit, and the types of virtual IOMMU it offers. */
export const deviceIommu = message({ unit: u32, viommus: list(u32) });
/**
 * A Tegra241 CMDQV, as its driver finds it: log2 of its VINTFs (the first is the kernel's own), of the command queues and of
 * the stream ids of each, and of the commands that fit in one queue.
 */
export const CMDQV = { version: 1, log2Vintfs: 6, log2Vcmdqs: 1, log2Vsids: 4, log2Commands: 19 } as const;
/** What of a partitionable endpoint can be frozen: accesses of the processor, and DMA. */
export const PE_IO = 1;
export const PE_DMA = 2;

/** Where functions of s390 may do DMA, in bytes, and where they write their messages to. */
export const ZPCI = { startDma: 0x1_0000_0000n, endDma: 0x1ff_ffff_ffffn, msiAddress: 0xfe00_0000_0000_0000n } as const;
/** The unit of the self-test's devices. */
export const MOCK_UNIT = 0xffffffff;

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
  /**
   * A domain for the DMA windows of a container on hosts (POWER) that have no paging domains: what is mapped in it is what
   * the tables of its windows hold. ENODEV: no such device, or not such a host; ENOSPC.
   */
  windowsAlloc: method(69, message({ bdf: str }), result(domainInfo)),
  /** A page table that no hardware walks, to look addresses up in: for devices without an IOMMU (semantics A4.3). ENOSPC. */
  softwareAlloc: method(90, nothing, result(domainInfo)),
  /** EBUSY while a device is attached, EINVAL: no such domain. PTEs that are left go with it. */
  domainFree: method(34, message({ domain: u32 }), result(nothing)),
  /**
   * All devices of the group that those named are in: a domain, BLOCKING or KERNEL. Answers when DMAs through the old one have
   * landed. EINVAL: not devices of one group, or the domain does not fit them. `faults`: page requests are answered by a
   * user; ENODEV: the device makes none. ENOSPC: the unit has no id left for the domain. EBUSY: see `park`.
   */
  attach: method(35, message({ bdfs: list(str), domain: i32, faults: optional(bool) }), result(nothing)),
  reservedRegions: method(36, message({ bdf: str }), list(reservedRegion)),
  /**
   * Writes PTEs for consecutive runs from `iova` on, in all of the domains or in none. `small`: each of them maps one
   * granule. EINVAL, EEXIST (mapped already), ENOMEM.
   */
  map: method(37, message({ domains: list(u32), iova: num, runs: list(run), prot: u8, small: bool }), result(nothing)),
  /** Clears PTEs in each of the domains and answers after the IOTLB flush: no DMA uses them any more. */
  unmap: method(38, message({ domains: list(u32), spans: list(span) }), nothing),
  /**
   * One DMA of a device, of its requester id or of a PASID. Refused ones are recorded. `data` is empty for reads. `pending`: a
   * page request was made; the device hears of the answer and then tries again.
   */
  dma: method(
    39,
    message({ bdf: str, iova: u64, write: bool, length: u32, data: bytes, pasid: optional(u32) }),
    message({ data: bytes, fault: optional(faultRecord), pending: optional(bool) }),
  ),
  /**
   * One DMA of a device without an IOMMU: to the physical address that it names, whosever memory that is, and counted for it
   * (semantics A4.4). Where nothing is, it reads ones and writes are lost.
   */
  dmaUnprotected: method(91, message({ bdf: str, address: u64, write: bool, length: u32, data: bytes }), bytes),
  /** The newest recorded faults of a device, oldest first. */
  faults: method(40, message({ bdf: str }), list(faultRecord), { clients: true }),
  /** `type`: the blob that is asked for, 0: the driver's own; the driver's own too when it has no such. */
  hardwareInfo: method(41, message({ bdf: str, type: u32 }), hardwareInfo),
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
   * A user-managed domain on top of `parent`, or on the virtual IOMMU that stands on it; `usable`: the parent was made as
   * one; `known` is the length of the mock's struct that the kernel knows. `needsId`: a device must have an id in the virtual
   * IOMMU. EOPNOTSUPP (type, flags), EINVAL (parent, length), EIO (content), EFAULT, ENOSPC.
   */
  nestedAlloc: method(
    46,
    message({ bdf: str, parent: u32, usable: bool, viommu: bool, flags: u32, data: userData, known: u8 }),
    result(message({ domain: u32, needsId: bool })),
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
  /** One PASID of a device: a domain or BLOCKING. EINVAL; ENOMEM, EBUSY (see `park`): nothing has changed. */
  pasidAttach: method(52, message({ bdf: str, pasid: u32, domain: u32, faults: optional(bool) }), result(nothing)),
  pasidDomain: method(53, message({ bdf: str, pasid: u32 }), u32),
  /** As `invalidate`, for a vIOMMU on `parent` and the devices that have ids in it. E2BIG and EIO too. */
  invalidateDevices: method(
    54,
    message({
      parent: u32,
      type: u32,
      entryLength: u32,
      count: u32,
      entries: bytes,
      devices: list(message({ virtId: u64, bdf: str })),
    }),
    message({ done: u32, outcome: result(nothing) }),
  ),
  /** Before `setup`: the kernel release and log2 of its page in bytes (12 when left out), the units (none: one with everything), and what functions bring. */
  configure: method(
    64,
    message({ profile: str, units: list(iommuUnit), endpoints: list(endpoint), pageShift: optional(u32) }),
    nothing,
  ),
  /**
   * The partitionable endpoint (PE) of a function, on hosts whose bridge freezes one that has an error: what an operator does
   * with it. Answers what is frozen then, PE_*. Traps: the next load or store of config space is an error.
   */
  endpointOp: method(
    92,
    message({ bdf: str, op: oneOf('state', 'freeze', 'thaw', 'thaw-io', 'thaw-dma', 'trap-load', 'trap-store') }),
    u8,
  ),
  /** From a device on such a host: does an access to its registers, or to config space, get through? */
  endpointAccess: method(93, message({ bdf: str, config: bool, write: bool }), bool),
  /** From groups: a function is gone (SR-IOV), after its driver has left it. */
  remove: method(79, message({ bdf: str }), nothing),
  /** Is every access of the function cache-coherent, once a domain asks for that? (IOMMU_CAP_ENFORCE_CACHE_COHERENCY) */
  enforcesCoherency: method(80, message({ bdf: str }), bool),
  /**
   * From a device with ATS: it is about to be reset, or (`over`) has been. In between none of its requests is translated, and
   * nothing can be attached to its group or to PASIDs there (EBUSY). What was attached before is attached afterwards.
   */
  park: method(120, message({ bdf: str, over: bool }), nothing),
  /** From a device with ATS: it does not answer invalidations for `ms` from now on; 0: it answers again. */
  atsTimeout: method(174, message({ bdf: str, ms: num }), nothing),
  /**
   * From a device with page requests: it asks for one page `count` times and waits for none of the answers. Requests that nobody
   * will answer are answered at once.
   */
  pageFlood: method(175, message({ bdf: str, pasid: optional(u32), iova: u64, write: bool, count: u32 }), nothing),
  deviceIommu: method(65, message({ bdf: str }), deviceIommu),
  /** A function allocates vectors, so its messages must get through. ENOSPC: they would not. */
  msiPrepare: method(67, message({ bdf: str }), result(nothing)),
  /** A function sends a message: does it get through? */
  msi: method(68, message({ bdf: str }), bool),
  /** A page request was answered; unknown ones are over already. Answers when the device has gone on. */
  pageResponse: method(66, message({ bdf: str, request: num, success: bool }), nothing),
});

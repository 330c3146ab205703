/**
 * What others may ask of `pages`: processes and their memory, page frames, pins, accounting, eventfds.
 *
 * Words: a *frame* is 4 KiB of the host's memory, named by its number; a *store* is what one IOMMU_IOAS_MAP put behind
 * an area: slots of 4 KiB over a range of one process's memory. A slot is pinned once while anybody covers it.
 */
import {
  api,
  bool,
  bytes,
  list,
  message,
  method,
  nothing,
  num,
  oneOf,
  optional,
  result,
  str,
  token,
  u32,
  u64,
  u8,
  type ValueOf,
} from '../codec.js';
import { run } from './iommu.js';

export const dmaPiece = message({ frame: num, offset: u32, length: u32 });
export type DmaPiece = ValueOf<typeof dmaPiece>;

/** Linux values. */
export const MMAP_PROT_READ = 1;
export const MMAP_PROT_WRITE = 2;
export const MMAP_PROT_EXEC = 4;
export const CAP_IPC_LOCK = 1 << 0;
export const CAP_SYS_RAWIO = 1 << 1;
export const CAP_SYS_RESOURCE = 1 << 2;

/** Linux values: flags of memfd_create, kinds of seals, modes of fallocate. */
export const MFD_CLOEXEC = 0x1;
export const MFD_ALLOW_SEALING = 0x2;
export const MFD_HUGETLB = 0x4;
export const MFD_NOEXEC_SEAL = 0x8;
export const MFD_EXEC = 0x10;
export const F_SEAL_SEAL = 0x1;
export const F_SEAL_SHRINK = 0x2;
export const F_SEAL_GROW = 0x4;
export const F_SEAL_WRITE = 0x8;
export const F_SEAL_FUTURE_WRITE = 0x10;
export const F_SEAL_EXEC = 0x20;
export const FALLOC_FL_KEEP_SIZE = 0x1;
export const FALLOC_FL_PUNCH_HOLE = 0x2;

/** What 0 to 2 are in every program of the lab: /dev/null. Whoever names it has it. */
export const STDIO_TOKEN = '\0'.repeat(8);
/** The path of a program's own file. */
export const PROGRAM_PATH = '/proc/self/exe';

/** Whom a store's pins are charged to (semantics B3.1): the user, the mm, or nobody. */
export const RLIMIT_USER = 0;
export const RLIMIT_MM = 1;
/** As a type1 container charges: to VmLck, page by page, with CAP_IPC_LOCK too but then without limit; VmPin does not move. */
export const RLIMIT_LOCKED = 3;
/** Nobody is charged, and VmPin does not move either: who asks charges by `chargeLocked`. */
export const RLIMIT_UNCHARGED = 5;

/** Frames from here on, up to 2^32, are not memory but device memory that a process has mapped. */
export const DEVICE_FRAMES = 2 ** 31;

/** `runs` cover slots [first, next); ask again from `next` when it is short of what was asked for. */
const pinned = message({ runs: list(run), next: num });
export type Pinned = ValueOf<typeof pinned>;

/** `count` consecutive pages, each pinned `pins` times. */
/** Why a kernel has no huge pages to give: nobody has reserved any (ENOMEM), or it knows none (ENOENT). */
export const hugetlb = oneOf('empty', 'none');
export type Hugetlb = ValueOf<typeof hugetlb>;

export const pinCount = message({ pins: u32, count: u32, huge: bool });
export type PinCount = ValueOf<typeof pinCount>;

export const procStatus = message({ pid: u32, vmLockedKb: num, vmPinnedKb: num, userLockedPages: num });

/**
 * A read or write by DMA of memory that the client has outside of the lab. `memory`: its number, `offset`: bytes from its
 * start; `data`: what is written.
 */
export const remoteQuestion = message({ id: num, memory: num, write: bool, offset: num, length: u32, data: bytes });
export type RemoteQuestion = ValueOf<typeof remoteQuestion>;

const unpinning = message({ store: num, ranges: list(message({ first: num, count: num })), release: bool });
export type Unpinning = ValueOf<typeof unpinning>;

export const pagesApi = api('pages', {
  /** The host's memory in frames, and log2 of the kernel's page in bytes: a page is one frame or more of them. */
  setup: method(
    32,
    message({ frames: num, pageShift: u8, hugetlb: optional(hugetlb), powerpc: optional(bool) }),
    nothing,
  ),
  /** The calling client becomes a process. EEXIST. `caps`: CAP_* above; `memlock`: RLIMIT_MEMLOCK in bytes. */
  procStart: method(
    33,
    message({ uid: u32, caps: u32, memlock: num }),
    result(message({ pid: u32, powerpc: optional(bool) })),
    {
      clients: true,
    },
  ),
  /**
   * Private anonymous memory. `pageShift` 12 (the kernel's own page), 21 or 30 (hugetlb). `va` 0: the kernel chooses. ENOMEM, EINVAL; for a fixed
   * `va` also EPERM (below 64 KiB) and EEXIST (in use). Here and below: ESRCH when the client is not a process.
   */
  mmap: method(34, message({ va: num, length: num, prot: u32, pageShift: u8 }), result(num), { clients: true }),
  munmap: method(35, message({ va: num, length: num }), result(nothing), { clients: true }),
  mprotect: method(36, message({ va: num, length: num, prot: u32 }), result(nothing), { clients: true }),
  /**
   * The process reads and writes its own memory. EFAULT; EIO: behind the end of a file (SIGBUS); EINVAL: more than MAX_DMA
   * bytes; ENOMEM: no memory to write to.
   */
  memRead: method(37, message({ va: num, length: u32 }), result(bytes), { clients: true }),
  memWrite: method(38, message({ va: num, data: bytes }), result(nothing), { clients: true }),
  /** The same for MAP_SHARED | MAP_ANONYMOUS: memory that a fork shares with the child. ENFILE; else as `mmap`. */
  mmapShared: method(67, message({ va: num, length: num, prot: u32, pageShift: u8 }), result(num), { clients: true }),
  /**
   * A memfd, shared, from byte `offset`. EBADF; EINVAL: also `offset` not on a page; EACCES: writable, but opened for
   * reading only; EPERM: writable, but sealed; else as `mmap`.
   */
  mmapFile: method(68, message({ token, offset: num, va: num, length: num, prot: u32 }), result(num), {
    clients: true,
  }),
  /** EPERM: the limit is 0; ENOMEM: above it, a hole, or a page that cannot be touched; EAGAIN: no memory. */
  mlock: method(69, message({ va: num, length: num }), result(nothing), { clients: true }),
  munlock: method(70, message({ va: num, length: num }), result(nothing), { clients: true }),
  /** A file in memory; `flags`: MFD_*, with the hugetlb size from bit 26 on. EINVAL, EMFILE, ENFILE. */
  memfdCreate: method(71, message({ flags: u32 }), result(token), { entropy: true, clients: true }),
  /** Opens the file behind a memfd once more, as a path below /proc/self/fd does. EBADF, EMFILE, ENFILE. */
  memfdOpen: method(72, message({ token, writable: bool }), result(token), { entropy: true, clients: true }),
  /** EBADF; EINVAL: opened for reading only, or no whole hugetlb pages; EPERM: sealed; EFBIG. */
  ftruncate: method(73, message({ token, length: num }), result(nothing), { clients: true }),
  /** `mode`: FALLOC_FL_*. EBADF, EINVAL, EOPNOTSUPP, EPERM: sealed; EFBIG; ENOSPC: no memory. */
  fallocate: method(74, message({ token, mode: u32, offset: num, length: num }), result(nothing), { clients: true }),
  /** F_ADD_SEALS. EBADF, EINVAL; EPERM: sealed against seals; EBUSY: F_SEAL_WRITE while somebody may write or pins. */
  addSeals: method(75, message({ token, seals: u32 }), result(nothing), { clients: true }),
  /**
   * The empty memfd becomes memory that the host's process lends under this name (a capability): devices and programs read and
   * write it in place. Its length is fixed then. EBADF; ENOENT: nothing is lent under it; EBUSY: the file is not empty; EINVAL:
   * hugetlb; ENOMEM: the host has no frames for it.
   */
  memfdLend: method(96, message({ token, name: str }), result(nothing), { clients: true }),
  /**
   * The empty memfd becomes memory of this length that the client has outside of the lab: DMA to it asks the client. The answer
   * is the memory's number. Programs find zeros in it. As `memfdLend`; EINVAL: also no whole pages.
   */
  memfdRemote: method(97, message({ token, length: num }), result(num), { clients: true }),
  /** The caller's questions that wait for an answer, oldest first. */
  remoteQuestions: method(98, nothing, list(remoteQuestion), { clients: true }),
  /** Answers one: `data` is what was read. Undefined: it failed, so reads give ones. */
  remoteAnswer: method(99, message({ id: num, data: optional(bytes) }), nothing, { clients: true }),
  /** Event to a client: there are questions. */
  remoteAsked: method(100, nothing, nothing),
  /**
   * fork: `child`, a process that has just been started, gets the caller's memory (private copied, shared as it is),
   * user, capabilities and limit. ESRCH: it is no process; EEXIST: it has memory already; ENOMEM.
   */
  fork: method(76, message({ child: str }), result(nothing), { clients: true }),
  /** exec: the caller's memory goes, as at exit; files stay. */
  exec: method(77, nothing, result(nothing), { clients: true }),
  /** RLIMIT_MEMLOCK in bytes, soft and hard. EPERM: more than before, without CAP_SYS_RESOURCE. */
  setrlimit: method(39, message({ memlock: num }), result(nothing), { clients: true }),
  status: method(40, nothing, result(procStatus), { clients: true }),
  /** From others: the capabilities of a client's process, 0 when it has none. */
  capabilities: method(41, message({ client: str }), u32),
  /** From others: the user of a client's process; undefined when it has none. */
  userOf: method(81, message({ client: str }), optional(u32)),
  /** setresuid(uid, uid, uid): leaving root gives all capabilities up. EPERM: another uid, and not root. */
  setuid: method(42, message({ uid: u32 }), result(nothing), { clients: true }),
  /**
   * From iommufd: a store over `client`'s memory; with `pin` its first slots are pinned too. EFAULT, ENOMEM: nothing made;
   * ESRCH: the client is not a process, or not any more; EINVAL: unknown `rlimitMode`.
   */
  storeCreate: method(
    48,
    message({ client: str, va: u64, length: u64, writable: bool, rlimitMode: u8, pin: bool }),
    result(message({ store: num, pinned })),
  ),
  /**
   * The same over a file that `client` has open: `start` is a byte of it. `token` undefined: a file of another service, or
   * of a kind that has no pages: fine until somebody pins. Pins answer EINVAL for pages that the file has not got; else as
   * `storeCreate`; EBADF: the token names no file.
   */
  storeCreateFile: method(
    78,
    message({
      client: str,
      token: optional(token),
      start: u64,
      length: u64,
      writable: bool,
      rlimitMode: u8,
      pin: bool,
    }),
    result(message({ store: num, pinned })),
  ),
  /** From iommufd: bytes of the dma-buf behind `client`'s token; undefined: another file, or none. */
  dmabufBytes: method(82, message({ client: str, token }), optional(num)),
  /**
   * IOMMU_IOAS_CHANGE_PROCESS: `client`'s process pays for these stores from now on, all or none. ESRCH; EINVAL: one is not
   * over a file; ENOMEM: the limit.
   */
  changeProcess: method(79, message({ client: str, stores: list(num) }), result(nothing)),
  /**
   * From container: `client`'s process pays for this store of RLIMIT_LOCKED from now on, whose memory is now at `va`; what is
   * pinned stays. ESRCH; ENOMEM: its limit.
   */
  storeMove: method(80, message({ store: num, client: str, va: u64 }), result(nothing)),
  /**
   * From a device: `client` maps pages of one of its regions, which has `pages` pages. Only a container can pin such memory,
   * and only while the device answers there (`deviceMemory`). EPERM: another device's; ESRCH; ENOMEM; EINVAL: not all of it in
   * the region; else as `mmap`.
   */
  mmapDevice: method(
    85,
    message({ bdf: str, client: str, region: u32, pages: num, page: num, va: num, length: num, prot: u32 }),
    result(num),
  ),
  /** From a device: the frames of one of its regions, for dma-bufs; always the same. EPERM: another device's; ENOMEM. */
  deviceFrames: method(92, message({ bdf: str, region: u32, pages: num }), result(message({ frame: num }))),
  /** From a device that is mapped: do its memory regions answer? */
  deviceMemory: method(83, message({ bdf: str, on: bool }), nothing),
  /** From iommu: the device behind a frame of device memory, and where in it. */
  deviceWindow: method(84, message({ frame: num }), optional(message({ bdf: str, region: u32, page: num }))),
  /**
   * From container: `frames` of 4 KiB more on VmLck of `client`'s process, without any memory behind them; CAP_IPC_LOCK lifts
   * the limit. `mm` names the memory that pays. ESRCH; ENOMEM: above the limit.
   */
  chargeLocked: method(93, message({ client: str, frames: num }), result(message({ mm: num }))),
  /** Takes such a charge back; memory that is gone has taken it along. */
  unchargeLocked: method(94, message({ mm: num, frames: num }), nothing),
  /** How many bytes from `va` on, in whole pages and at most `length`, could be pinned for writing. */
  pinnable: method(95, message({ client: str, va: u64, length: u64 }), u64),
  /** Covers slots once more, pinning what was not. On failure nothing of this call stays. EFAULT (of a file EINVAL), ENOMEM. */
  pin: method(49, message({ store: num, first: num, count: num }), result(pinned)),
  /** Takes one cover away from each range; a slot that nobody covers is unpinned. `release`: the store goes too. */
  unpin: method(50, unpinning, nothing),
  /** The same for many stores, in order. */
  unpinMany: method(66, message({ stores: list(unpinning) }), nothing),
  /** From iommu, and from iommufd for queues that the hardware reads: bytes of pinned frames. */
  dmaRead: method(51, message({ pieces: list(dmaPiece) }), bytes),
  dmaWrite: method(52, message({ pieces: list(dmaPiece), data: bytes }), nothing),
  /**
   * From iommu, of a device without one: bytes at a physical address, whosever they are (semantics A4.4). Behind the end of
   * memory it reads ones and writes are lost; a frame that nobody has keeps nothing.
   */
  physicalRead: method(108, message({ address: num, length: u32 }), bytes),
  physicalWrite: method(109, message({ address: num, data: bytes }), nothing),
  /**
   * The frames behind consecutive pages of a process, brought in as a reading CPU does; stops at the first page that cannot
   * be read, and after MAX_RUNS pages.
   */
  pageFrames: method(53, message({ client: str, page: num, count: u32 }), list(run)),
  /** How often consecutive frames are pinned; `huge`: they belong to a hugetlb page. Stops as `pageFrames`. */
  pagePins: method(54, message({ client: str, page: num, count: u32 }), list(pinCount)),
  /**
   * From iommufd: the CPU's way to bytes of a store. The owner's own calls go through its address space, unless `slow`; those
   * of others through the pages: held ones as they are held, the rest pinned for the copy. EFAULT, ENOMEM.
   */
  storeRead: method(64, message({ store: num, at: u64, length: u32, client: str, slow: bool }), result(bytes)),
  storeWrite: method(65, message({ store: num, at: u64, data: bytes, client: str, slow: bool }), result(nothing)),
  /** EINVAL: `init` is not an unsigned int. EMFILE, ENFILE: too many. */
  eventfd: method(56, message({ init: u64 }), result(token), { entropy: true, clients: true }),
  /** EAGAIN when the counter is 0. */
  eventfdRead: method(57, message({ token }), result(u64), { clients: true }),
  /** EINVAL: 2^64 - 1. EAGAIN: the counter has no room for it. */
  eventfdWrite: method(58, message({ token, value: u64 }), result(nothing), { clients: true }),
  eventfdClose: method(59, message({ token }), result(nothing), { clients: true }),
  /** From device: hold the eventfd behind a client's token. EBADF. */
  eventfdHold: method(60, message({ token, client: str }), result(num)),
  eventfdDrop: method(61, message({ event: num }), nothing),
  /** From device: add 1. */
  eventfdSignal: method(62, message({ event: num }), nothing),
  /**
   * From device: holds the eventfd behind a client's token and wants to hear of every write to it. `ready`: its counter is not
   * 0 now. EBADF. One hold may be a watch or not; a watch is given back by `eventfdUnwatch`.
   */
  eventfdWatch: method(90, message({ token, client: str }), result(message({ event: num, ready: bool }))),
  eventfdUnwatch: method(91, message({ event: num }), nothing),
  /** Event to a client: an eventfd of yours may be readable. */
  eventfdReady: method(63, message({ token }), nothing),
});

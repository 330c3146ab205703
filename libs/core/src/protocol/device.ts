/** What the other services ask of a device's actor, besides the system calls that clients make (`sys`); each method says who. */
import {
  api,
  bool,
  bytes,
  list,
  message,
  method,
  nothing,
  num,
  optional,
  result,
  str,
  token,
  u32,
  u64,
  u8,
  type ValueOf,
  oneOf,
} from '../codec.js';
import { deviceFault, faultReply } from './device-faults.js';
import { newFile } from './sys.js';

/** Memory or port window behind a BAR register. */
const bar = message({ index: u8, size: num, io: bool, wide: bool, prefetchable: bool });
/**
 * `number`: its data is its number (AMD-Vi, ITS, PHB); `handle`: its address has that of an entry of the remapping table (VT-d);
 * `vector`: its data is an interrupt of a processor (no remapping).
 */
export const messageForm = oneOf('number', 'handle', 'vector');
export type MessageForm = ValueOf<typeof messageForm>;

/** A function as its driver finds it: config space as the machine had it, and the model that answers behind it. */
export const functionFacts = message({
  bdf: str,
  minor: u32,
  vendor: u32,
  device: u32,
  classCode: u32,
  pcie: bool,
  model: str,
  config: bytes,
  bars: list(bar),
  /** Kernel profile that the device answers as, e.g. '6.12'. */
  profile: str,
  /** The function is alone behind a bridge, so a reset of the bus is a reset of the function (semantics D6.1). */
  busReset: bool,
  /** Messages of the function go through the IOMMU, and are lost where it does not let them through. */
  msiTranslated: optional(bool),
  /** The function is a PF: it has virtual functions, enabled or not. */
  sriov: bool,
  /** MSI-X vectors can be added while it is on. */
  msixGrows: bool,
  /** The kernel was built to export BARs as dma-bufs, where its release can. */
  exportsBars: bool,
  /** Where its message interrupts are written to. */
  msiAddress: u64,
  /** The function is a VF: its registers for BARs and memory decoding are its PF's (semantics D3). */
  vf: bool,
  /** What a message names, beside the function (semantics D2.3). */
  messages: messageForm,
  /** Firmware of the host lets nobody change the power state of the function (trace d046). */
  powerFixed: bool,
  /** There is no IOMMU between the function and memory. */
  noiommu: optional(bool),
  /** Ways to reset the function that somebody chose; left out: all that it has. */
  resetMethods: optional(list(str)),
  /** A function of s390. */
  zpci: optional(bool),
  /** The host bridge freezes the function's PE when it has an error (POWER). */
  freezes: optional(bool),
  /** AtomicOps that it may send to memory: bits as VFIO_PCI_ATOMIC_COMP* has them. */
  atomicOps: u8,
  /** It answers at the legacy VGA addresses. */
  vga: bool,
  /**
   * Intel graphics with an OpRegion: regions that the host shows for them, and what the register at 0xfc reads as. `refused`:
   * what the kernel finds is not what it looks for, so it does not open the function.
   */
  igd: optional(message({ regions: list(message({ subtype: u8, data: bytes })), address: u32, refused: bool })),
  /**
   * Who it has a way to: the functions at the end of each. `connected`: the first leads to a network; `vf`: its number among
   * its PF's.
   */
  wiring: optional(message({ connected: bool, ports: list(list(str)), vf: optional(u32) })),
});
export type FunctionFacts = ValueOf<typeof functionFacts>;

/** A mediated device as its driver finds it: a PCI card with one or two serial ports, or the lab's memory card, which has none. */
export const mdevFacts = message({ uuid: str, minor: u32, ports: u8, profile: str });
export type MdevFacts = ValueOf<typeof mdevFacts>;

/** A device on the vDPA bus, which is no PCI function; `index`: of its node. */
export const vdpaFacts = message({ name: str, index: u32, profile: str });
export type VdpaFacts = ValueOf<typeof vdpaFacts>;

export const deviceApi = api('device', {
  /** vfio-pci is bound: the cdev may be opened from now on. */
  probe: method(32, functionFacts, result(nothing)),
  /** A mediated device was made. EBUSY, EINVAL as `probe`. */
  probeMdev: method(55, mdevFacts, result(nothing)),
  /** A vDPA device is there and has its driver. EBUSY, EINVAL as `probe`. */
  probeVdpa: method(151, vdpaFacts, result(nothing)),
  /**
   * From groups: opens the function through its group, as often as it is asked; the file is `client`'s. The first open binds
   * and attaches to the iommufd `context`; 0: there is none to bind to, the group is in a container of VFIO's own, or has
   * no IOMMU. ENODEV: it is being unbound, and what the first open meets.
   */
  openInGroup: method(34, message({ client: str, context: num }), result(newFile), { entropy: true }),
  /**
   * From another device that wants to share: the domain of the device behind `client`'s token, on a host that teaches the
   * designs of 2010. One that has none gets its own. EBADF: no open device of that time; else as `domainJoin` of groups.
   */
  domainOf: method(150, message({ token, client: str }), result(message({ domain: num }))),
  /**
   * mmap(2) of the device's file, shared: `offset` is that of a region or of a page in it. EBADF; EINVAL: no access yet, or
   * nothing that can be mapped; else as the memory of a process.
   */
  mapRegion: method(35, message({ token, offset: num, va: num, length: num, prot: u32 }), result(num), {
    clients: true,
  }),
  /** From groups: config space as the hardware has it, for sysfs. Empty: no function is bound. */
  configSpace: method(90, nothing, bytes),
  /** From iommu: another device's DMA. Where nothing answers it reads ones, and writes are lost. */
  peerRead: method(36, message({ region: u32, offset: num, length: u32 }), bytes),
  peerWrite: method(37, message({ region: u32, offset: num, data: bytes }), nothing),
  /**
   * From container: the PE of the function is being reset, `hot` or `fundamental`ly, or has been (`over`). Until then config
   * space does not answer; a hot reset also puts the function back to its state after power-on.
   */
  endpointReset: method(76, message({ phase: oneOf('hot', 'fundamental', 'over') }), nothing),
  /** From groups: KVM holds the file behind a token, also after its last close. EBADF; EINVAL: no device's file. */
  fileHold: method(77, message({ token, client: str }), result(message({ file: num }))),
  /** Undoes fileHold; a file that nobody has any more is released. */
  fileDrop: method(78, message({ file: num }), nothing),
  /** The VM that a held file belongs to; 0: none. A device takes it when the file is bound. */
  fileVm: method(79, message({ file: num, vm: num }), nothing),
  /**
   * From container or iommufd: what is mapped at pages `first` to `last` of 4 KiB goes. A driver that has pinned any of it has let
   * go when this is answered.
   */
  dmaUnmap: method(80, message({ first: num, last: num }), nothing),
  /** From groups: other ways to reset the function were chosen. */
  resetMethods: method(81, message({ methods: list(str) }), nothing),
  /** From groups: somebody resets the function by sysfs. Answers when it is over. ENOTTY: no method has worked. */
  functionReset: method(172, nothing, result(nothing)),
  /** From groups: a fault of the function, well formed. One on the way to it ends when it was begun. */
  fault: method(173, deviceFault, faultReply),
  /** vfio-pci is unbound: waits until no file is open any more. */
  remove: method(33, nothing, nothing),
  /**
   * From groups, or from another function of the same reset: this one is part of it, and so are `rest`, which it asks in turn.
   * All are stopped before the first is reset. EBUSY: one is in use this moment, and none was reset.
   */
  hotReset: method(57, message({ rest: list(str) }), result(nothing)),
  /** From iommu: the page request that a DMA waits for was answered. Answers when the device has gone on. */
  pageResponse: method(48, message({ success: bool }), nothing),
  /** From pages: a client has written to an eventfd that this function watches. Answers when what follows from it is done. */
  eventfdFired: method(54, message({ event: num }), nothing),
  /**
   * From iommufd: memory [start, start + length) of a dma-buf that the function exported, named by `client`'s token; it may be
   * mapped until the function revokes it. `frame`: where the dma-buf begins. EBADF: no dma-buf; EINVAL: not all inside;
   * ENODEV: revoked; EOPNOTSUPP: more than one range (semantics B8.2).
   */
  dmabufOpen: method(
    49,
    message({ token, client: str, start: u64, length: u64 }),
    result(message({ frame: num, pages: num })),
  ),
  /**
   * A load or store of a process in a window of a device file that it has mapped; `offset` is that in the file. EBADF; EIO: the
   * device does not answer there (SIGBUS).
   */
  load: method(52, message({ token, offset: num, length: u32 }), result(bytes), { clients: true }),
  store: method(53, message({ token, offset: num, data: bytes }), result(u32), { clients: true }),
  /** From another function: an Ethernet frame for this one. Answers when it is stored or dropped; nobody is told which. */
  frame: method(160, message({ data: bytes }), nothing),
  /** From the function's PF or one of its VFs: something that their models share. */
  note: method(161, message({ data: bytes }), nothing),
  /** From the same: a question, which is answered at once; empty: no driver has the function, or nobody may ask. */
  ask: method(190, message({ data: bytes }), bytes),
});

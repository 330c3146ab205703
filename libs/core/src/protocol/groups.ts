/** What others may ask of `groups`: topology, driver binding, DMA ownership, device nodes. */
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
  u8,
  type ValueOf,
} from '../codec.js';
import { deviceFault, faultReply } from './device-faults.js';

/**
 * Who serves /dev/vfio/vfio: VFIO's own containers, or iommufd in their place, or nobody: then there are no group nodes either
 * (choices of the kernel's configuration).
 */
export const vfioContainer = oneOf('vfio', 'iommufd', 'none');
export type VfioContainer = ValueOf<typeof vfioContainer>;

/**
 * How the kernel's KVM holds what VFIO gives it: the `files` of groups and devices, as today; or groups by vfio's interface
 * for external users, as from 3.13 to 5.18 (semantics A5.1).
 */
export const kvmHolds = oneOf('files', 'groups');
export type KvmHolds = ValueOf<typeof kvmHolds>;
/** Designs that Linux never merged and that a host shows beside its kernel's own: /dev/uiommu and SHARE, of 2010. */
export const teaching = oneOf('uiommu2010');
export type Teaching = ValueOf<typeof teaching>;

/** How a host is made. `iommu`: the kind of IOMMU, `machine`: a name for people. */
export const hostSetup = message({
  machine: str,
  profile: str,
  iommu: str,
  allowUnsafeInterrupts: u32,
  vfioContainer,
  teaching: optional(teaching),
  /** Left out: there is no /dev/kvm. */
  kvm: optional(kvmHolds),
  /** The parent of mediated devices makes memory cards too. */
  memoryCards: optional(bool),
  /** log2 of the kernel's page in bytes; 12 when left out. */
  pageShift: optional(u8),
});
export type HostSetup = ValueOf<typeof hostSetup>;

export const fileStatus = message({ kind: oneOf('chr', 'dir', 'reg'), mode: u32, major: u32, minor: u32 });
export type FileStatus = ValueOf<typeof fileStatus>;

/** A function that a hot reset hits. `inSet`: bound to vfio-pci, in the device set of who asks (semantics A3.10). */
const dependent = message({ bdf: str, group: optional(u32), inSet: bool });
export type Dependent = ValueOf<typeof dependent>;

/** `data`: the first page of a file, or where a link leads. What cannot be read is empty. */
const sysfsEntry = message({ name: str, kind: oneOf('dir', 'link', 'file'), data: bytes });
export type SysfsEntry = ValueOf<typeof sysfsEntry>;

export const groupsApi = api('groups', {
  /** From the lab: a device's fault, well formed. Links are cut and joined here; all others are for the function itself. */
  deviceFault: method(171, deviceFault, faultReply),
  /** A piece of the machine's description (lspci text or fixture), in order. */
  load: method(32, message({ part: u32, text: str }), result(nothing)),
  /** All pieces are there: build the topology and the groups, tell the IOMMU. Errors in words. `powerpc`: the machine is one. */
  seal: method(33, hostSetup, message({ error: str, functions: u32, groups: u32, powerpc: optional(bool) })),
  /** Which actor answers for a path under /dev, opened with `flags` (O_*). ENOENT, ENXIO; EACCES: the node's mode. */
  resolve: method(34, message({ path: str, flags: u32 }), result(message({ owner: str })), { clients: true }),
  sysfsWrite: method(35, message({ path: str, data: str }), result(u32), { clients: true }),
  sysfsRead: method(36, message({ path: str }), result(str), { clients: true }),
  /** A directory with all that is in it, for who copies trees. ENOENT, ENOTDIR. */
  sysfsScan: method(70, message({ path: str }), result(list(sysfsEntry)), { clients: true }),
  readlink: method(37, message({ path: str }), result(str), { clients: true }),
  listdir: method(38, message({ path: str }), result(list(str)), { clients: true }),
  /** stat(2): permission bits, kind of file, device number. ENOENT, ENOTDIR. */
  stat: method(45, message({ path: str }), result(fileStatus), { clients: true }),
  /** chmod(2) of a device node, until it goes. ENOENT, ENOTDIR; EPERM: not root; EOPNOTSUPP: no device node. */
  chmod: method(50, message({ path: str, mode: u32 }), result(nothing), { clients: true }),
  /** A cdev is being opened for use (BIND); `bdf`: the device's name, of a mediated one its UUID. EBUSY while the group node is open. Undone by `cdevRelease`. `vm`: that of the file, kept until then; 0: none. */
  cdevClaim: method(40, message({ bdf: str, vm: num }), result(nothing)),
  cdevRelease: method(41, message({ bdf: str }), nothing),
  /**
   * A device is being opened through its group, for `client`, and no file of it was before. In a container of VFIO's own it
   * keeps the group there, and the group's file, until `groupUnuse`. EINVAL: the container has no backend; EPERM: `client`
   * may not use a device without an IOMMU. `vm`: the VM that KVM has told the group of, 0: none; the device keeps it as long.
   */
  groupUse: method(46, message({ bdf: str, client: str }), result(message({ vm: num }))),
  groupUnuse: method(47, message({ bdf: str }), nothing),
  /**
   * From the actor of a PF or VF that is being opened, with the token that its user gave, if any: see semantics A3.7. EACCES,
   * EINVAL. A PF without users takes the token as its own.
   */
  vfTokenMatch: method(58, message({ bdf: str, token: optional(bytes) }), result(nothing)),
  /** From the actor of a PF: its user has set another token. */
  vfTokenSet: method(59, message({ bdf: str, token: bytes }), nothing),
  /**
   * From a device, on a host that teaches the designs of 2010: its group goes to a domain: the one behind `client`'s `token`,
   * that of number `domain`, or a new one of its own. `moves`: from the one that it is in. Answers the domain's number. EBADF:
   * no such domain; EBUSY: the group is open, or belongs to somebody else, a native driver included; and what the
   * domain answers. Undone by `domainLeave`.
   */
  domainJoin: method(
    150,
    message({ bdf: str, client: str, token: optional(token), domain: optional(num), moves: bool }),
    result(message({ domain: num })),
  ),
  domainLeave: method(151, message({ bdf: str }), nothing),
  /**
   * DMA ownership of the device's group for an iommufd context (semantics A2.4); `noiommu`: there is no IOMMU, and nothing to
   * own. EPERM.
   */
  claimDma: method(
    42,
    message({ bdf: str, context: num }),
    result(message({ group: u32, members: list(str), noiommu: optional(bool) })),
  ),
  releaseDma: method(43, message({ bdf: str, context: num }), nothing),
  /**
   * From a device: the functions that a reset of its slot or bus hits, in the order of the bus; `group`: undefined without an
   * IOMMU. ENODEV: neither can be reset.
   */
  resetReach: method(51, message({ bdf: str }), result(list(dependent))),
  /**
   * From a device: resets all of them, when all are in its device set and belong to the caller: their groups are among the
   * files that `client` names, or, without `client`, they are of the iommufd `context`. ENODEV: as above; EBADF: a file;
   * EINVAL: not all in the set, or not all the caller's; EBUSY: a function is in use this moment; EAGAIN: one is being bound
   * or unbound; ENOTTY: reset, but the link has not come up again.
   */
  hotReset: method(52, message({ bdf: str, client: str, files: list(token), context: num }), result(nothing)),
  /**
   * Names of devices that a vfio driver is bound to, is probing, or is leaving, and of those with files left: each of them may
   * wait for a client to close.
   */
  vfioDevices: method(44, nothing, list(str)),
  /**
   * From a device: files that it made (data fds, dma-bufs) are open though it has no driver any more, or are closed now. While
   * they are, it counts among the `vfioDevices`, which hear of the end of clients.
   */
  filesLeft: method(53, message({ open: bool }), nothing),
});

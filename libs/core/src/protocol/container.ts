/**
 * What others may ask of `container`: the containers behind /dev/vfio/vfio on kernels that have VFIO's own container.
 *
 * Words: a *container* is one open of /dev/vfio/vfio; its *backend* (type1, SPAPR TCE, noiommu) is what VFIO_SET_IOMMU chose.
 * Rule: a container lives while a file or a group holds it. Whoever lets a group join has claimed the group's DMA before, and
 * gives it back after the group has left.
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
  optional,
  result,
  str,
  token,
  u32,
  u64,
  u8,
} from '../codec.js';
import { teaching } from './groups.js';

/**
 * A group of the host; `members`: its PCI functions, in address order, or a mediated device. `noiommu`: the group of one
 * device without IOMMU; `emulated`: that of a mediated device, which reaches memory through its driver.
 */
const group = { group: u32, members: list(str), noiommu: bool, emulated: bool };

export const containerApi = api('container', {
  /** What the host is, told before the first open: its memory is `frames` of 4 KiB. EINVAL: there is no such profile. */
  setup: method(
    32,
    message({
      profile: str,
      iommu: str,
      allowUnsafeInterrupts: bool,
      pageShift: u8,
      frames: num,
      teaching: optional(teaching),
    }),
    result(nothing),
  ),
  /** A module parameter was written (below /sys/module): `dma_entry_limit`, `allow_unsafe_interrupts`, `enable_unsafe_noiommu_mode`. ENOENT. */
  parameter: method(38, message({ name: str, value: num }), result(nothing)),
  /**
   * From groups: holds the container behind `client`'s token. EBADF: no such file; EPERM: `noiommu` differs from its groups.
   * `uiommu`: it is an open of /dev/uiommu that is meant (EBADF: the other sort), and not one of /dev/vfio/vfio (EBADFD).
   */
  hold: method(
    33,
    message({ token, client: str, noiommu: bool, uiommu: optional(bool) }),
    result(message({ container: num })),
  ),
  drop: method(34, message({ container: num }), nothing),
  /**
   * From groups: a group joins a held container. With a backend it is attached at once and sees every mapping. EINVAL (the
   * backend refuses), EPERM (MSI), EBUSY (a vaddr is invalid), ENOMEM ...: nothing has changed.
   */
  join: method(35, message({ container: num, ...group }), result(nothing)),
  /** Undoes join; the last group takes backend and mappings along. */
  leave: method(36, message({ container: num, group: u32 }), nothing),
  /** From groups: a domain as an open of /dev/uiommu makes one, held and without a file. ENODEV: this IOMMU has none. */
  make: method(150, nothing, result(message({ container: num }))),
  /** From groups: holds a domain by its number. EBADF: it is gone. */
  holdDomain: method(151, message({ container: num }), result(message({ container: num }))),
  /** From groups: a group goes from one domain to another without a moment between. On failure it is where it was. */
  move: method(152, message({ from: num, to: num, ...group }), result(nothing)),
  /** From a device that a domain holds: UIOMMU_MAP and UIOMMU_UNMAP on its file. EBADF: the domain is gone; else as those. */
  domainMap: method(
    153,
    message({ container: num, client: str, flags: u32, vaddr: u64, iova: u64, size: u64 }),
    result(nothing),
  ),
  domainUnmap: method(154, message({ container: num, flags: u32, iova: u64, size: u64 }), result(u64)),
  /** From groups: a device of a joined group is about to be opened. EINVAL: no backend yet. */
  ready: method(37, message({ container: num }), result(nothing)),
  /** From groups: VFIO_CHECK_EXTENSION of a joined group's container. */
  extension: method(39, message({ container: num, extension: u32 }), u32),
  /** From a mediated device that was opened in a joined group, or is closed: its driver hears of unmaps (`dmaUnmap`). */
  listen: method(43, message({ on: bool }), nothing),
  /**
   * From a mediated device's driver: pins pages of 4 KiB behind IOVA `first` * 4096. E2BIG: more than 512; EACCES: type1 v1; EINVAL:
   * it does not listen, or not all is mapped; EPERM: nor for `prot` (PROT_*); ENOTTY: no type1; EFAULT, ENOMEM.
   */
  pinPages: method(44, message({ first: num, count: u32, prot: u8 }), result(nothing)),
  unpinPages: method(45, message({ first: num, count: u32 }), nothing),
  /**
   * From a mediated device's driver, during a call of `client`: its memory behind an IOVA. EINVAL: not all is mapped; EPERM: nor
   * readable, or writable; EFAULT: the memory, or another process's; ENOTTY: no type1. What was copied before stays.
   */
  memoryRead: method(46, message({ client: str, iova: u64, length: u32 }), result(bytes)),
  memoryWrite: method(47, message({ client: str, iova: u64, data: bytes }), result(nothing)),
  /**
   * From groups, for KVM's tables of TCEs: the window of the container that such a table fits, whose pages have 2^pageShift bytes;
   * `offset` and `size` in them. EINVAL: none.
   */
  tceWindow: method(
    40,
    message({ container: num, pageShift: u8, offset: u64, size: u64 }),
    result(message({ window: num })),
  ),
  /** Is memory of a client registered, so that a guest may have it in a window? True for a window that is gone. */
  tceRegistered: method(41, message({ container: num, window: num, client: str, va: u64 }), bool),
  /** A guest's TCE into a window, in pages of its table; `prot` 0 clears it. False: its memory is not registered, nothing is there. */
  tcePut: method(
    42,
    message({ container: num, window: num, client: str, pageShift: u8, entry: num, va: u64, prot: u8 }),
    bool,
  ),
});

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
});

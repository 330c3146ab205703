/** What device, groups and iommu ask of `iommufd`, besides the system calls that clients make (`sys`). */
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
  result,
  str,
  token,
  u32,
  u64,
  type ValueOf,
} from '../codec.js';
import { newFile } from './sys.js';

/** A device bound to a context, as its driver knows it. */
const bound = { context: num, device: u32 };

/** `bdf`: the device's name, of a mediated one its UUID; `emulated`: it becomes an access, and no IOMMU is asked. */
const binding = { bdf: str, emulated: optional(bool) };

const pageRequest = message({
  bdf: str,
  pasid: u32,
  domain: u32,
  /** Number of the request at iommu. */
  request: num,
  perm: u32,
  addr: u64,
});
export type PageRequestArgs = ValueOf<typeof pageRequest>;

export const iommufdApi = api('iommufd', {
  /** Which kernel release answers; asked before the first open, 6.12 until then, and log2 of its page in bytes. EINVAL: there is no such profile. */
  setup: method(31, message({ profile: str, pageShift: optional(u32) }), result(nothing)),
  /** A device claims its group for the context behind `client`'s token. EBADF, EBADFD, EPERM, EBUSY, EINVAL. */
  bind: method(32, message({ token, client: str, ...binding }), result(message(bound))),
  unbind: method(33, message(bound), nothing),
  /**
   * Attach or replace: `pt` is an IOAS or a HWPT; answers the HWPT in use. `replace` left out: whichever it takes; false and
   * attached: EBUSY. ENOENT, EINVAL, ENOMEM, EFAULT ...
   */
  attach: method(34, message({ ...bound, pt: u32, replace: optional(bool) }), result(message({ pt: u32 }))),
  detach: method(35, message(bound), nothing),
  /**
   * A group takes the context behind `client`'s token as its container, and keeps it until `compatDrop`: the IOAS of the VFIO
   * compatibility ioctls is made when there is none. `noiommu`: a group without an IOMMU, for which none is. EBADF, EBADFD,
   * ENOMEM; EINVAL: the context is for the other sort of groups.
   */
  compatHold: method(36, message({ token, client: str, noiommu: bool }), result(message({ context: num }))),
  compatDrop: method(37, message({ context: num }), nothing),
  /** A device of such a group: bound, and attached to the compatibility IOAS. ENODEV: there is none; else as bind and attach. */
  compatBind: method(38, message({ context: num, ...binding }), result(message(bound))),
  /** The same for a device without an IOMMU, which is bound to nothing. EPERM: `client` may not, or there is an IOAS. */
  compatNoiommu: method(39, message({ context: num, client: str }), result(nothing)),
  /**
   * From device: the function takes back what it lent by dma-bufs. Answers when no domain has a PTE to it any more; areas that
   * showed it stay and never get it back (semantics B8.3).
   */
  dmabufRevoke: method(49, nothing, nothing),
  /**
   * mmap(2) of /dev/iommu: bytes [offset, offset + length), `prot`: PROT_*. Answers a file that stands for the mapping: pread and
   * pwrite of it, from offset 0 on, are loads and stores, and it is closed to unmap. EBADF; ENODEV: before 7.2, or another
   * kind of file; EINVAL: not shared; EPERM: executable; ENXIO: not exactly a vIOMMU's window; ENOMEM: too many.
   */
  mmap: method(40, message({ token, offset: num, length: num, prot: u32, shared: bool }), result(newFile), {
    entropy: true,
    clients: true,
  }),
  /**
   * From a mediated device's driver: pins whole pages behind [iova, iova + length) of the IOAS that it is attached to. Answers a
   * number to unpin them by. EINVAL: nothing, being unmapped; EOVERFLOW; ENOENT: not attached, or a hole; EPERM; EFAULT, ENOMEM.
   */
  accessPin: method(61, message({ ...bound, iova: u64, length: u64, write: bool }), result(message({ item: u32 }))),
  accessUnpin: method(62, message({ ...bound, item: u32 }), nothing),
  /** During a call of `client`: memory behind an IOVA; errors as accessPin. What was copied before stays. */
  accessRead: method(63, message({ ...bound, client: str, iova: u64, length: u32 }), result(bytes)),
  accessWrite: method(64, message({ ...bound, client: str, iova: u64, data: bytes }), result(nothing)),
  /**
   * A fault that a program may put into an access of its own: its driver no longer listens when it is told to let go of what
   * it pinned, and UNMAP answers EDEADLK. EBADF; EINVAL: the file is no access.
   */
  deafen: method(48, message({ token }), result(nothing), { clients: true }),
  /** The same for one PASID. `replace`: it is attached already. EBUSY too: it is attached, and not to be replaced. */
  pasidAttach: method(56, message({ ...bound, pasid: u32, pt: u32, replace: bool }), result(message({ pt: u32 }))),
  /** Detaching what is not attached is nothing. */
  pasidDetach: method(57, message({ ...bound, pasid: u32 }), nothing),
  /**
   * From groups and devices: whose are these functions? For each the id of its object in the context; 0: it has none, but
   * another member of its group has one; -1: not the context's.
   */
  deviceIds: method(60, message({ context: num, bdfs: list(str) }), list(i32)),
  /**
   * From iommu: a device waits for a page of the domain. False: nobody answers page requests of it. `perm`: 1 read, 2 write;
   * `pasid` 0: none.
   */
  pageRequest: method(58, pageRequest, bool),
  /** From iommu: event records of a device whose guest table refused it. Nobody may be listening. */
  guestEvents: method(59, message({ bdf: str, events: list(bytes) }), nothing),
});

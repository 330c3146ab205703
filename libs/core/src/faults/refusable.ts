/**
 * Requests that their service may refuse, and what the refusal looks like.
 *
 * Rule: undoing and letting go cannot be refused; a request between services fails only as the kernel's own step can.
 */
import { type Errno, errnoNumber, errnos, fail, ioctlsByName } from '@vfiolab/uapi';
import { type Address, CONTAINER, GROUPS, IOMMU, IOMMUFD, PAGES } from '../address.js';
import type { AnyMethod } from '../codec.js';
import { encodeFrame, payloadOf, REPLY, STATUS } from '../frame.js';
import { containerApi } from '../protocol/container.js';
import { groupsApi } from '../protocol/groups.js';
import { BLOCKING, iommuApi } from '../protocol/iommu.js';
import { iommufdApi } from '../protocol/iommufd.js';
import { pagesApi } from '../protocol/pages.js';
import { type IoctlReply, streamApi, sysApi } from '../protocol/sys.js';

export interface Refusable {
  /** Left out: whoever is asked. */
  readonly to?: Address;
  readonly method: AnyMethod;
  readonly errnos: readonly Errno[];
  /** The answer that refuses; `fail(errno)` when the method answers with a result. */
  refuse?(errno: Errno): unknown;
  /** Requests that the kernel cannot fail: undoing, and letting go. */
  never?(args: unknown): boolean;
}

/** To no domain of a user's. */
const toBlocking = (args: unknown): boolean => (args as { domain: number }).domain <= BLOCKING;
const nothingDone = (errno: Errno): unknown => ({ done: 0, outcome: fail(errno) });

/** Between services. */
export const REFUSABLE: readonly (Refusable & { readonly to: Address })[] = [
  { to: PAGES, method: pagesApi.storeCreate, errnos: ['EFAULT', 'ENOMEM'] },
  { to: PAGES, method: pagesApi.storeCreateFile, errnos: ['EINVAL', 'ENOMEM'] },
  { to: PAGES, method: pagesApi.changeProcess, errnos: ['ENOMEM'] },
  { to: PAGES, method: pagesApi.pin, errnos: ['EFAULT', 'ENOMEM'] },
  { to: PAGES, method: pagesApi.storeRead, errnos: ['EFAULT', 'ENOMEM'] },
  { to: PAGES, method: pagesApi.storeWrite, errnos: ['EFAULT', 'ENOMEM'] },
  { to: IOMMU, method: iommuApi.domainAlloc, errnos: ['ENOMEM'] },
  { to: IOMMU, method: iommuApi.nestedAlloc, errnos: ['ENOMEM'] },
  { to: IOMMU, method: iommuApi.attach, errnos: ['ENOMEM', 'EINVAL'], never: toBlocking },
  { to: IOMMU, method: iommuApi.map, errnos: ['ENOMEM'] },
  { to: IOMMU, method: iommuApi.pasidAttach, errnos: ['ENOMEM'], never: toBlocking },
  { to: IOMMU, method: iommuApi.dirtyTracking, errnos: ['ENOMEM'] },
  { to: IOMMU, method: iommuApi.invalidate, errnos: ['EIO'], refuse: nothingDone },
  { to: IOMMU, method: iommuApi.invalidateDevices, errnos: ['EIO'], refuse: nothingDone },
  { to: IOMMU, method: iommuApi.mockAdd, errnos: ['ENOMEM'] },
  { to: IOMMU, method: iommuApi.windowsAlloc, errnos: ['ENOMEM'] },
  { to: PAGES, method: pagesApi.chargeLocked, errnos: ['ENOMEM'] },
  { to: PAGES, method: pagesApi.eventfdHold, errnos: ['EBADF'] },
  { to: CONTAINER, method: containerApi.join, errnos: ['ENOMEM'] },
  { to: GROUPS, method: groupsApi.groupUse, errnos: ['EINVAL'] },
  { to: GROUPS, method: groupsApi.cdevClaim, errnos: ['EBUSY'] },
  { to: GROUPS, method: groupsApi.claimDma, errnos: ['EPERM'] },
  { to: IOMMUFD, method: iommufdApi.bind, errnos: ['ENOMEM'] },
  { to: IOMMUFD, method: iommufdApi.attach, errnos: ['ENOMEM'] },
];

const ioctlFails = (errno: Errno): IoctlReply => ({ errno: errnoNumber(errno), ret: 0, writes: [], file: undefined });

/** System calls of programs: any errno, as strace can inject one. close(2) lets go, so it is not among them. */
const SYSTEM_CALLS: readonly Refusable[] = [
  ...[sysApi.open, sysApi.pread, sysApi.pwrite, sysApi.grant, streamApi.read, streamApi.write, streamApi.poll].map(
    (method) => ({ method, errnos }),
  ),
  ...[sysApi.ioctl, sysApi.ioctlFile].map((method) => ({ method, errnos, refuse: ioctlFails })),
];

const all: readonly Refusable[] = [...REFUSABLE, ...SYSTEM_CALLS];

/** Errnos with which a message or an ioctl can be refused; undefined: it cannot. */
export const errnosOf = (name: string): readonly Errno[] | undefined =>
  ioctlsByName.has(name) ? errnos : refusableCalled(name)?.errnos;

export const refusableCalled = (name: string): Refusable | undefined => all.find(({ method }) => method.name === name);

/** What is known of whoever refuses: what it says must not look older than what it has said. */
export interface Authority {
  readonly clock: number;
  readonly epoch: number;
}

/** Can this request be refused? `method` is its number at `to`. */
export function refusableAt(to: Address, method: number, frame: Uint8Array): Refusable | undefined {
  const found = all.find((each) => each.method.id === method && (each.to === undefined || each.to === to));
  return found?.never?.(found.method.args.read(payloadOf(frame))) ? undefined : found;
}

/** The answer to request `id`. It looks as the service itself would make it now. */
export function refusal({ method, refuse = fail }: Refusable, errno: Errno, id: number, by: Authority): Uint8Array {
  const about = { kind: REPLY, method: STATUS.ok, flags: 0, id, floor: 0, seen: 0, deadline: 0, ...by };
  return encodeFrame(about, method.reply, refuse(errno));
}

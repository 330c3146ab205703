/**
 * What a container does not know itself: how its backend (type1, SPAPR TCE, noiommu) serves groups and ioctls.
 *
 * Words: a *driver* makes backends; which one serves a container is asked at VFIO_SET_IOMMU, in the order of the list in
 * `drivers.ts`. A backend lives from then until the container's last group leaves.
 * Rule: the container calls `join`, `leave` and `release` with its lock held for writing, `ioctl` with it held for reading.
 */
import type { Address, ByteReader, ByteWriter, IoctlArgs, IoctlReply, Op, Request, View } from '@vfiolab/core';
import type { Result } from '@vfiolab/uapi';
import type { BackendClaims } from './claims.js';
import type { Host } from './host.js';

/** A group in a container. `members`: its PCI functions, in address order, or a mediated device (then it is *emulated*). */
export interface JoinedGroup {
  readonly group: number;
  readonly members: readonly string[];
  readonly noiommu: boolean;
  readonly emulated: boolean;
}

export interface Backend {
  /** The name of its driver. */
  readonly driver: string;
  /** It was there before any group and stays when the last one leaves: the container is its domain. */
  readonly standing?: boolean;
  /** The process whose memory it works on, where it is of one process. */
  readonly owner?: string | undefined;
  /** VFIO_CHECK_EXTENSION: 0 or more. */
  checkExtension(extension: number): number;
  /** Every ioctl that is not the container's own. A number without a row is ENOTTY. */
  ioctl(req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply>;
  /** The group's devices reach what the container maps from here on. On failure nothing has changed. */
  join(group: JoinedGroup): Op<Result<void>>;
  /** Undoes `join`; never fails. */
  leave(group: JoinedGroup): Op<void>;
  /** The last group has left; never fails. */
  release(): Op<void>;
  encode(w: ByteWriter, view: View): void;
  /** Broken invariants, in words. `groups`: those of the container. */
  check(groups: readonly JoinedGroup[]): string[];
  /** What it holds of other services. */
  claims(): BackendClaims;
  describe(): string[];
  /** Mappings, registrations, windows: what must be gone at rest. */
  readonly held: number;
}

export interface BackendDriver {
  readonly name: string;
  /** Serves groups without an IOMMU, and no others. */
  readonly noiommu: boolean;
  /** VFIO_CHECK_EXTENSION before there is a backend: does the driver know this type or feature? */
  offers(extension: number, host: Host): boolean;
  /** A backend of this type for a container of `client`. EINVAL, EPERM, ENOMEM. */
  open(type: number, host: Host, client: Address): Op<Result<Backend>>;
  decode(r: ByteReader, host: Host): Backend;
}

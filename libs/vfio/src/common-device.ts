/**
 * What the vfio core knows of a device, whichever driver it has; and what it asks of the driver. [vfio_main.c]
 *
 * Words: an *emulated* device reaches memory through its driver only: no IOMMU is asked, and to an iommufd it is an access.
 * Rule: bind, attach, detach, the group path and the migration features are the core's; everything else is the driver's.
 */
import type {
  Address,
  ArgsOf,
  ByteReader,
  ByteWriter,
  deviceApi,
  IoctlArgs,
  IoctlReply,
  IoctlResult,
  Lock,
  Op,
  Request,
  View,
} from '@vfiolab/core';
import type { Errno, Result } from '@vfiolab/uapi';
import type { Binding, CdevFile } from './cdev-file.js';
import type { LoggedRange } from './dma-log.js';
import type { MadeFiles } from './made-files.js';
import type { DeviceMigration } from './migration/device-migration.js';
import type { ProfileFlags } from './profile-flags.js';

/** A log of the memory that the device writes to. */
export interface DmaLogging {
  /** May a log be started? */
  readonly canStart: boolean;
  /** Is there one to report and stop? */
  readonly on: boolean;
  start(ranges: readonly LoggedRange[]): void;
  stop(): void;
  take(first: bigint, last: bigint): LoggedRange[];
}

export interface CommonDevice {
  /** As `groups` names it: a BDF, or a UUID. */
  readonly name: string;
  /** Path of the node that it is opened by; undefined: there is none. */
  readonly node: string | undefined;
  readonly emulated: boolean;
  /** There is no IOMMU between the device and memory. */
  readonly noiommu: boolean;
  readonly flags: ProfileFlags;
  /** Held by bind, attach, detach and the release of a bound file (the kernel's device set lock). */
  readonly set: Lock;
  /** Held for writing while nothing else may reach the device's registers. */
  readonly memory: Lock;
  /** A BIND may bring a VF token: a PF, or a VF. */
  readonly takesToken: boolean;
  readonly migration: DeviceMigration | undefined;
  readonly log: DmaLogging;
  /** The file of the cdev that has access. */
  bound: CdevFile | undefined;
  /** The device is open through its group: by how many files, and bound to which iommufd, if to one. */
  shared: { files: number; readonly binding: Binding | undefined } | undefined;
  readonly isOpen: boolean;
  /** Its driver wants to know the VM that it is opened with, 0: none. Asked before `enable`. */
  takeVm?(vm: number): void;
  /**
   * Its driver pins memory, and wants to hear what goes: pages `first` to `last`. Answers when it has let go.
   */
  dmaUnmap?(first: number, last: number): Op<void>;
  /** What the first open fails with, when the driver does not find what it needs. */
  readonly refusesOpen: Errno | undefined;
  /** First open. */
  enable(): void;
  /** What of it takes time. */
  resetForUser?(): Op<void>;
  /** Last close: it starts nothing any more. */
  disable(): Op<void>;
}

/** The file that a call came on, and where new ones are put. */
export interface OpenFile {
  readonly file: CdevFile;
  readonly made: MadeFiles;
}

export type MapWanted = Omit<ArgsOf<typeof deviceApi.mapRegion>, 'token'>;

export interface Driver {
  readonly device: CommonDevice;
  /** A call has come on a file with access. */
  wakeUp(): Op<void>;
  /** An ioctl that is not RESET. A number that the driver does not know is ENOTTY. */
  ioctl(on: OpenFile, req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply>;
  reset(): Op<IoctlResult>;
  read(offset: number, length: number): Op<Result<Uint8Array>>;
  write(offset: number, data: Uint8Array, client: Address): Op<Result<number>>;
  map(client: Address, wanted: MapWanted): Op<Result<number>>;
  load(offset: number, length: number): Op<Result<Uint8Array>>;
  store(offset: number, data: Uint8Array): Op<Result<number>>;
  /** Somebody wants the device back: its user is asked to let go. */
  request(): Op<void>;
  readonly heldEventfds: number;
  encode(w: ByteWriter, view: View): void;
  decode(r: ByteReader): void;
  check(): string[];
  describe(): string[];
}

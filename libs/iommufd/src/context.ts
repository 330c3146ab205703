/**
 * One open of /dev/iommu.
 *
 * Words: an *igroup* is an IOMMU group as this context sees it: made when its first device is bound, gone with the last.
 * A *mock* device is one of the kernel's self-test; it belongs to the context and goes with it.
 * Rule: the context lives while its file is open, a group has it as its container, a device is bound to it, or a file made by
 * it is open (semantics E4).
 */
import { Lock, RLIMIT_USER } from '@vfiolab/core';
import type { Access } from './access.js';
import type { FaultQueue } from './fault-queue.js';
import type { Ioas } from './ioas.js';
import type { PagingHwpt } from './hwpt.js';
import type { Hwpt, NestedHwpt } from './nested-hwpt.js';
import { ObjectTable, type IommufdObject } from './objects.js';
import type { MockObject } from './selftest/mock-object.js';
import type { HwQueue } from './hw-queue.js';
import type { VeventQueue } from './vevent-queue.js';
import type { Vdevice, Viommu } from './viommu.js';

/** A device's further address space. */
export interface PasidAttachment {
  readonly pasid: number;
  readonly device: BoundDevice;
  readonly hwpt: Hwpt;
}

export interface Igroup {
  readonly id: number;
  /** All functions of the IOMMU group: they move together. */
  readonly members: readonly string[];
  /** Held while attachments of the group change. */
  readonly lock: Lock;
  hwpt: Hwpt | undefined;
  /** Attached devices, in the order in which they came. */
  attached: BoundDevice[];
  pasids: PasidAttachment[];
  bound: number;
}

export class BoundDevice implements IommufdObject {
  readonly type = 'device';
  id = 0;
  /** The table's and the driver's reference. */
  users = 2;
  readonly shortTerm = new Lock();
  vdevice: Vdevice | undefined;
  /** Being unbound: nothing new may refer to it. */
  leaving = false;
  /** Where events of the device go while it is attached through a vIOMMU, and under which id. */
  route: { readonly viommu: Viommu; readonly virtId: bigint } | undefined;

  constructor(
    readonly bdf: string,
    readonly igroup: Igroup,
    readonly mock = false,
    /** There is no IOMMU: its HWPTs are tables to look addresses up in, and it is attached to nothing (semantics A4.3). */
    readonly noiommu = false,
  ) {}

  get attached(): boolean {
    return this.igroup.attached.includes(this);
  }
}

export class Context {
  readonly objects = new ObjectTable();
  readonly igroups = new Map<number, Igroup>();
  /** Held for reading by every ioctl on it, for writing by the last close. */
  readonly running = new Lock();
  rlimitMode = RLIMIT_USER;
  fileOpen = true;
  /** Open files of accesses and queues. */
  openFiles = 0;
  /** What the VFIO compatibility ioctls act on. */
  compatIoas: Ioas | undefined;
  /** Groups that have it as their container. */
  groups = 0;
  /** It is the container of groups without an IOMMU, for good. */
  noiommu = false;

  /** `page`: the kernel's, in bytes. */
  constructor(
    readonly id: number,
    readonly page = 4096n,
  ) {}

  /** Nobody can reach the context any more. */
  get abandoned(): boolean {
    if (this.fileOpen || this.openFiles > 0 || this.groups > 0) return false;
    return !this.objects.all().some((o) => (isDevice(o) && !o.mock) || (isAccess(o) && o.mdev !== undefined));
  }

  igroup(id: number, members: readonly string[]): Igroup {
    let g = this.igroups.get(id);
    if (!g) {
      g = { id, members, lock: new Lock(), hwpt: undefined, attached: [], pasids: [], bound: 0 };
      this.igroups.set(id, g);
    }
    return g;
  }
}

export const isIoas = (o: IommufdObject): o is Ioas => o.type === 'ioas';
export const isHwpt = (o: IommufdObject): o is PagingHwpt => o.type === 'hwpt';
export const isNested = (o: IommufdObject): o is NestedHwpt => o.type === 'nested';
export const isDevice = (o: IommufdObject): o is BoundDevice => o.type === 'device';
export const isAccess = (o: IommufdObject): o is Access => o.type === 'access';
export const isFaultQueue = (o: IommufdObject): o is FaultQueue => o.type === 'fault';
export const isViommu = (o: IommufdObject): o is Viommu => o.type === 'viommu';
export const isVdevice = (o: IommufdObject): o is Vdevice => o.type === 'vdevice';
export const isVeventQueue = (o: IommufdObject): o is VeventQueue => o.type === 'veventq';
export const isHwQueue = (o: IommufdObject): o is HwQueue => o.type === 'hwqueue';
export const isMockObject = (o: IommufdObject): o is MockObject => o.type === 'selftest';

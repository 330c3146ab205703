/**
 * One open of /dev/iommu.
 *
 * Words: an *igroup* is an IOMMU group as this context sees it: made when its first device is bound, gone with the last.
 * Rule: the context lives while its file is open or a device is bound to it (semantics E4).
 */
import { Lock, RLIMIT_USER } from '@vfiolab/core';
import { ObjectTable, type IommufdObject } from './objects.js';
import type { Ioas } from './ioas.js';
import type { PagingHwpt } from './hwpt.js';

export interface Igroup {
  readonly id: number;
  /** All functions of the IOMMU group: they move together. */
  readonly members: readonly string[];
  /** Held while attachments of the group change. */
  readonly lock: Lock;
  hwpt: PagingHwpt | undefined;
  /** Attached devices, in the order in which they came. */
  attached: BoundDevice[];
  bound: number;
}

export class BoundDevice implements IommufdObject {
  readonly type = 'device';
  id = 0;
  /** The table's and the driver's reference. */
  users = 2;
  readonly shortTerm = new Lock();

  constructor(
    readonly bdf: string,
    readonly igroup: Igroup,
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

  constructor(readonly id: number) {}

  get boundDevices(): number {
    let n = 0;
    for (const g of this.igroups.values()) n += g.bound;
    return n;
  }

  igroup(id: number, members: readonly string[]): Igroup {
    let g = this.igroups.get(id);
    if (!g) {
      g = { id, members, lock: new Lock(), hwpt: undefined, attached: [], bound: 0 };
      this.igroups.set(id, g);
    }
    return g;
  }
}

export const isIoas = (o: IommufdObject): o is Ioas => o.type === 'ioas';
export const isHwpt = (o: IommufdObject): o is PagingHwpt => o.type === 'hwpt';
export const isDevice = (o: IommufdObject): o is BoundDevice => o.type === 'device';

/**
 * The backend of DMA windows (SPAPR TCE), v1 and v2: memory of one process in the windows of the container's groups.
 *
 * Words: v1 charges its whole window at ENABLE and pins page by page; v2 has memory *registered* before, and windows that
 * come and go. The *default* window is made when it is first needed.
 * Rule: the windows of a container are one domain of the iommu service, in which every group is; the first process that
 * enables or registers owns the container from then on (semantics C10.4).
 */
import {
  BLOCKING,
  call,
  IOMMU,
  iommuApi,
  type ByteWriter,
  type IoctlArgs,
  type IoctlReply,
  Lock,
  lockWrite,
  type Op,
  failed,
  isOp,
  type Request,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result, VFIO_EEH, VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from '@vfiolab/uapi';
import type { Backend, JoinedGroup } from '../backend.js';
import { type BackendClaims, claimsOfSpapr } from '../claims.js';
import type { Host } from '../host.js';
import { checkSpapr, describeSpapr } from './inspect.js';
import { spaprTable } from './ioctl-table.js';
import { encodeSpapr } from './state.js';
import type { TcePlatform, WindowPlace } from './platform.js';
import { dropRegistration, uncharge } from './memory.js';
import type { TceTable } from './tce-table.js';
import { clearEverything, freeWindow } from './windows.js';

export const SPAPR = 'spapr-tce';

/** A window of the container. `frames`: what its table is charged; `id`: no other window has had it. */
export interface DmaWindow {
  readonly id: number;
  readonly place: WindowPlace;
  readonly frames: number;
  readonly table: TceTable;
}

/** What the kernel does wrong, counted: the answers are the kernel's, the lab's own state stays whole. */
export interface KernelBugs {
  /** TCEs written behind the end of a window (q001, q002). */
  pastTheEnd: number;
  /** Frames charged for a table that was then refused (p057). */
  lostCharge: number;
  /** Registrations that were dropped while mapped (p039). */
  lostRegistrations: number;
}

export class Spapr implements Backend {
  readonly driver = SPAPR;
  readonly lock = new Lock();
  enabled = false;
  /** The process whose memory this is, and the number of that memory at `pages` when something was charged. */
  owner: string | undefined;
  mm = 0;
  /** Frames charged by ENABLE. */
  locked = 0;
  /** The default window has not been made. */
  pending = false;
  nextWindow = 1;
  /** By slot. */
  readonly windows: (DmaWindow | undefined)[];
  /** Newest first. */
  groups: JoinedGroup[] = [];
  domain: number | undefined;
  /** v2: what this container has registered. */
  registered: number[] = [];
  /** v1: frames that each store still has in TCEs. */
  readonly stores = new Map<number, number>();
  readonly bugs: KernelBugs = { pastTheEnd: 0, lostCharge: 0, lostRegistrations: 0 };

  constructor(
    readonly host: Host,
    readonly platform: TcePlatform,
    readonly v2: boolean,
  ) {
    this.windows = Array.from({ length: platform.windows }, () => undefined);
  }

  get held(): number {
    const tces = this.windows.reduce((sum, window) => sum + (window ? 1 + window.table.size : 0), 0);
    return tces + this.registered.length;
  }

  checkExtension(extension: number): number {
    if (extension === VFIO_EEH) return this.platform.eeh ? 1 : 0;
    return extension === VFIO_SPAPR_TCE_IOMMU || extension === VFIO_SPAPR_TCE_v2_IOMMU ? 1 : 0;
  }

  /** The owner alone may go on; EPERM. False: somebody else owns the container. */
  claim(client: string): boolean {
    this.owner ??= client;
    return this.owner === client;
  }

  *ioctl(req: Request, args: IoctlArgs): Op<IoctlReply> {
    yield* lockWrite(this.lock);
    if (this.owner !== undefined && this.owner !== req.from) return failed('EPERM');
    const row = spaprTable.get(args.cmd);
    if (!row || (row.only !== undefined && row.only !== (this.v2 ? 2 : 1))) return failed('ENOTTY');
    const refused = row.before?.(this, req.from);
    if (refused) return failed(refused);
    const answer = row.answer(this, req, args);
    return isOp(answer) ? yield* answer as Op<IoctlReply> : answer;
  }

  /** EBUSY: v1 takes one group; EPERM: the platform does not share the windows that are there; ENOSPC: no domain. */
  *join(group: JoinedGroup): Op<Result<void>> {
    // Emulated groups have no table to map in.
    if (group.emulated) return fail('EINVAL');
    if (!this.v2 && this.groups.length > 0) return fail('EBUSY');
    if (this.groups.length === 0 && !this.windows[0]) this.pending = true;
    if (this.windows.some((window) => window) && !this.platform.sharesWindows) return fail('EPERM');
    if (this.domain === undefined) {
      const made = yield* call(IOMMU, iommuApi.windowsAlloc, { bdf: group.members[0]! });
      if (!made.ok) return made;
      this.domain = made.value.domain;
    }
    const attached = yield* call(IOMMU, iommuApi.attach, { bdfs: [...group.members], domain: this.domain });
    if (attached.ok) this.groups.unshift(group);
    return attached.ok ? ok(undefined) : attached;
  }

  /** A group that leaves clears every window, though others stay (tce_iommu_release_ownership). */
  *leave({ group, members }: JoinedGroup): Op<void> {
    yield* call(IOMMU, iommuApi.attach, { bdfs: [...members], domain: BLOCKING });
    this.groups = this.groups.filter((each) => each.group !== group);
    for (const window of this.windows) if (window) yield* clearEverything(this, window);
  }

  *release(): Op<void> {
    for (const slot of this.windows.keys()) yield* freeWindow(this, slot);
    for (const id of this.registered) yield* dropRegistration(this, this.host.registrations.existing(id));
    this.registered = [];
    if (this.locked > 0) yield* uncharge(this, this.locked);
    this.locked = 0;
    if (this.domain !== undefined) yield* call(IOMMU, iommuApi.domainFree, { domain: this.domain });
    this.domain = undefined;
  }

  encode(w: ByteWriter, view: View): void {
    w.bool(this.v2);
    encodeSpapr(w, this, view);
  }

  check(groups: readonly JoinedGroup[]): string[] {
    return checkSpapr(this, groups);
  }

  claims(): BackendClaims {
    return claimsOfSpapr(this);
  }

  describe(): string[] {
    return describeSpapr(this);
  }
}

/**
 * The type1 backend: mappings of a process's memory in the domains of every group of the container.
 *
 * Words: *v1* and *v2* differ in how they unmap; a *domain* here is one of the iommu service's with the groups attached to it.
 * Rule: every domain maps exactly what the container maps, whichever came first (invariant I03); one ioctl at a time, as
 * under the kernel's mutex.
 */
import { answerIoctl, type DomainInfo, failed, type IoctlArgs, type IoctlReply, Lock, type Op } from '@vfiolab/core';
import { type ByteWriter, type Request, type View } from '@vfiolab/core';
import {
  __VFIO_RESERVED_TYPE1_NESTING_IOMMU,
  type Result,
  VFIO_DMA_CC_IOMMU,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from '@vfiolab/uapi';
import type { Backend, JoinedGroup } from '../backend.js';
import { type BackendClaims, claimsOfType1 } from '../claims.js';
import type { Host } from '../host.js';
import { checkType1, describeType1 } from './inspect.js';
import { joinGroup, leaveGroup } from './groups.js';
import { type1Table } from './ioctl-table.js';
import { Mappings } from './mappings.js';
import { type IovaSpan, validSpans } from './spans.js';
import { encodeType1 } from './state.js';

export const TYPE1 = 'type1';

export interface AttachedGroup {
  readonly group: number;
  readonly members: readonly string[];
  readonly reserved: readonly IovaSpan[];
}
export interface GroupDomain {
  readonly info: DomainInfo;
  readonly groups: AttachedGroup[];
}

/** Types and features that type1 knows without a container. */
export const isType1Extension = (extension: number, { flags, iommu }: Host): boolean =>
  iommu.tce === undefined &&
  (extension === VFIO_TYPE1_IOMMU ||
    extension === VFIO_TYPE1v2_IOMMU ||
    extension === VFIO_UNMAP_ALL ||
    (extension === __VFIO_RESERVED_TYPE1_NESTING_IOMMU && flags.nestedType1));

export class Type1 implements Backend {
  readonly driver = TYPE1;
  readonly lock = new Lock();
  readonly mappings = new Mappings();
  /** Newest first. */
  domains: GroupDomain[] = [];
  /** Groups of mediated devices, which have no domain: their drivers ask for memory when they need it. */
  emulated: number[] = [];
  /** Names of open devices whose drivers want to hear of unmaps; the newest first. */
  listeners: string[] = [];
  /** Undefined: there was no domain yet to narrow it. */
  valid: IovaSpan[] | undefined;
  /** Dirty pages are being collected. */
  tracking = false;
  /** Mappings whose address is invalid. */
  invalid = 0;

  constructor(
    readonly host: Host,
    readonly type: number,
    /** Mappings that it may have: dma_entry_limit when it was made. */
    readonly limit: number,
  ) {}

  get v2(): boolean {
    return this.type !== VFIO_TYPE1_IOMMU;
  }

  get nested(): boolean {
    return this.type === __VFIO_RESERVED_TYPE1_NESTING_IOMMU;
  }

  get held(): number {
    return this.mappings.size + this.domains.length + this.emulated.length;
  }

  /** Page sizes of every domain; a size below a page counts as a page. */
  get pageSizes(): bigint {
    const common = this.domains.reduce((all, { info }) => all & info.pageSizes, (1n << 64n) - 1n);
    return common & 0xfffn ? (common & ~0xfffn) | 0x1000n : common;
  }

  /** The smallest page, in bytes. */
  get pageSize(): bigint {
    const sizes = this.pageSizes;
    return sizes & -sizes;
  }

  get domainIds(): number[] {
    return this.domains.map(({ info }) => info.domain);
  }

  /** What every domain and group leaves for mappings. */
  refreshValid(): void {
    const reserved = this.domains.flatMap(({ groups }) => groups.flatMap((g) => g.reserved));
    this.valid = validSpans(
      this.domains.map(({ info }) => info),
      reserved,
    );
  }

  checkExtension(extension: number): number {
    // type1 asks every domain to be coherent (trace b017); one that is not makes the answer no (semantics C4.2).
    if (extension === VFIO_DMA_CC_IOMMU) return this.domains.every(({ info }) => info.coherent) ? 1 : 0;
    if (extension === VFIO_UPDATE_VADDR) return this.emulated.length > 0 ? 0 : 1;
    return isType1Extension(extension, this.host) ? 1 : 0;
  }

  ioctl(req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply> {
    const found = type1Table.get(args.cmd);
    if (!found) return failed('ENOTTY');
    // Asked before the argument is looked at.
    if (found.ioctl.nr === VFIO_IOMMU_DIRTY_PAGES.nr && !this.v2) return failed('EACCES');
    return answerIoctl(found, this.host.flags.profile, this, req, args);
  }

  join(group: JoinedGroup): Op<Result<void>> {
    return joinGroup(this, group);
  }

  leave(group: JoinedGroup): Op<void> {
    return leaveGroup(this, group);
  }

  /** The last group has taken everything along. */
  *release(): Op<void> {}

  encode(w: ByteWriter, view: View): void {
    w.u32(this.type);
    w.u32(this.limit);
    encodeType1(w, this, view);
  }

  check(groups: readonly JoinedGroup[]): string[] {
    return checkType1(this, groups);
  }

  claims(): BackendClaims {
    return claimsOfType1(this);
  }

  describe(): string[] {
    return describeType1(this);
  }
}

/**
 * One domain of the designs of 2010: what an open of /dev/uiommu gives, or what a device has of its own.
 *
 * Words: it keeps its mappings as a type1 backend does, in the one domain of the IOMMU that its groups share.
 * Rule: it never has a second domain: a device that does not fit the one there is, is refused. Mappings are the
 * program's: they stay when the last device leaves, and their memory is not pinned until the next one comes.
 */
import {
  answerIoctl,
  failed,
  frontDoor,
  type IoctlArgs,
  type IoctlReply,
  type IoctlResult,
  type Op,
  row,
} from '@vfiolab/core';
import type { ByteReader, ByteWriter, Request, View } from '@vfiolab/core';
import {
  ok,
  type Result,
  UIOMMU_BIND,
  UIOMMU_MAP,
  UIOMMU_SHARE,
  UIOMMU_UNMAP,
  VFIO_TYPE1v2_IOMMU,
} from '@vfiolab/uapi';
import { type BackendClaims, claimsOfType1 } from '../claims.js';
import type { Backend, JoinedGroup } from '../backend.js';
import type { Host } from '../host.js';
import { checkType1, describeType1 } from '../type1/inspect.js';
import { unmapAndUnpin } from '../type1/memory.js';
import { decodeType1, encodeType1 } from '../type1/state.js';
import { Type1 } from '../type1/type1.js';
import { joinDomain, leaveDomain } from './groups.js';
import { map, unmap } from './memory.js';

export const UIOMMU = 'uiommu';

const table = frontDoor<Uiommu>({
  UIOMMU_MAP: row(UIOMMU_MAP, ({ file, client }, cmd) => map(file, client, cmd)),
  UIOMMU_UNMAP: row(UIOMMU_UNMAP, function* (call, cmd): Op<IoctlResult> {
    const gone = yield* unmap(call.file, cmd);
    if (!gone.ok) return gone;
    const answered = call.respond({ size: gone.value });
    return answered.ok ? ok(0) : answered;
  }),
});

export class Uiommu implements Backend {
  readonly driver = UIOMMU;
  readonly standing = true;
  readonly memory: Type1;

  constructor(
    readonly host: Host,
    /** Mappings that it may have. */
    limit = host.get('dma_entry_limit'),
  ) {
    this.memory = new Type1(host, VFIO_TYPE1v2_IOMMU, limit);
  }

  get held(): number {
    return this.memory.held;
  }

  checkExtension(): number {
    return 0;
  }

  ioctl(req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply> {
    // A device's calls: whoever makes them here has the two descriptors the wrong way round.
    if (args.cmd === UIOMMU_BIND.nr || args.cmd === UIOMMU_SHARE.nr) return failed('EBADF');
    const found = table.get(args.cmd);
    return found ? answerIoctl(found, this.host.flags.profile, this, req, args) : failed('ENOTTY');
  }

  join(group: JoinedGroup): Op<Result<void>> {
    return joinDomain(this, group);
  }

  leave(group: JoinedGroup): Op<void> {
    return leaveDomain(this, group);
  }

  /** Nobody has the domain any more. */
  release(): Op<void> {
    return unmapAndUnpin(this.memory, [...this.memory.mappings]);
  }

  encode(w: ByteWriter, view: View): void {
    w.u32(this.memory.limit);
    encodeType1(w, this.memory, view);
  }

  static decode(r: ByteReader, host: Host): Uiommu {
    const uiommu = new Uiommu(host, r.u32());
    decodeType1(r, uiommu.memory);
    return uiommu;
  }

  check(groups: readonly JoinedGroup[]): string[] {
    const { domains } = this.memory;
    const second = domains.length > 1 ? [`I56: ${domains.length} domains behind one /dev/uiommu`] : [];
    return [...checkType1(this.memory, groups), ...second];
  }

  claims(): BackendClaims {
    return claimsOfType1(this.memory);
  }

  describe(): string[] {
    return ['domain of 2010', ...describeType1(this.memory)];
  }
}

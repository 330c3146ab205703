/** VFIO_IOMMU_GET_INFO: page sizes, and a chain of three capabilities. */
import {
  type AnyStruct,
  type Capability,
  capabilityReply,
  copyOut,
  encode,
  ok,
  type StructOf,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  vfio_info_cap_header,
  vfio_iommu_type1_info,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  vfio_iommu_type1_info_dma_avail,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iova_range,
} from '@vfiolab/uapi';
import type { IoctlCall, IoctlResult, Op } from '@vfiolab/core';
import { MAX_BITMAP_BYTES } from '../dirty-bitmap.js';
import type { IovaSpan } from '../spans.js';
import type { Type1 } from '../type1.js';

const INFO = vfio_iommu_type1_info.size;
const HEADER = vfio_info_cap_header.size;

/** argsz comes back as it was when the whole chain fits (SURPRISES 25). EINVAL: argsz; EFAULT. */
export function* getInfo(
  call: IoctlCall<Type1, typeof vfio_iommu_type1_info>,
  cmd: StructOf<typeof vfio_iommu_type1_info>,
): Op<IoctlResult> {
  const { file: type1, user, arg } = call;
  yield type1.lock.writing;
  const caps = [migration(type1), dmaAvail(type1), ...(type1.valid ? [iovaRanges(type1.valid)] : [])];
  const { chain, argsz, capOffset } = capabilityReply(INFO, cmd.argsz, caps);
  const chained = copyOut(user, arg + BigInt(INFO), chain);
  if (!chained.ok) return chained;
  const told = call.respond({
    argsz,
    flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
    iova_pgsizes: type1.pageSizes,
    cap_offset: capOffset,
  });
  return told.ok ? ok(0) : told;
}

/** The chain's header is written by whoever lays the chain out. */
function capability<S extends AnyStruct>(id: number, struct: S, fields: Omit<StructOf<S>, 'header'>): Capability {
  const bytes = encode(struct, { ...fields, header: { id, version: 1, next: 0 } } as never);
  return { id, version: 1, body: bytes.subarray(HEADER) };
}

const migration = ({ pageSize }: Type1): Capability =>
  capability(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, vfio_iommu_type1_info_cap_migration, {
    flags: 0,
    pgsize_bitmap: pageSize,
    max_dirty_bitmap_size: MAX_BITMAP_BYTES,
  });

const dmaAvail = ({ limit, mappings }: Type1): Capability =>
  capability(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, vfio_iommu_type1_info_dma_avail, { avail: limit - mappings.size });

/** Left out where no domain narrows what may be mapped (trace b096). */
function iovaRanges(valid: readonly IovaSpan[]): Capability {
  const head = capability(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, vfio_iommu_type1_info_cap_iova_range, {
    nr_iovas: valid.length,
    reserved: 0,
  });
  const body = new Uint8Array(head.body.length + valid.length * vfio_iova_range.size);
  body.set(head.body);
  valid.forEach(({ start, last }, i) =>
    encode(vfio_iova_range, { start, end: last }, body, head.body.length + i * vfio_iova_range.size),
  );
  return { ...head, body };
}

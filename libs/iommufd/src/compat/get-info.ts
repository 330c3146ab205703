/** VFIO_IOMMU_GET_INFO on an iommufd: page sizes, and a chain of two capabilities. */
import {
  encode,
  fail,
  ok,
  type StructOf,
  type UserMemory,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  vfio_iommu_type1_info,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_dma_avail,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iova_range,
} from '@vfiolab/uapi';
import { type IoctlResult, lockRead, type Op } from '@vfiolab/core';
import type { Call } from '../ioctl/call.js';
import { type Ioas, max } from '../ioas.js';
import { U64_MAX } from '../spans.js';
import { holdCompatIoas } from './hold.js';

const INFO = vfio_iommu_type1_info.size;
/** Mappings have no limit of their own here; the kernel says so with the largest number. */
const UNLIMITED = 0xffffffff;
/** Offset of `next` in a capability's header. */
const NEXT = 4;

/**
 * argsz always comes back as what the whole chain needs; a capability is written when it fits, and announced only when all
 * do (SURPRISES 25). EINVAL: argsz; ENODEV; EFAULT.
 */
export function* getInfo(
  call: Call<typeof vfio_iommu_type1_info>,
  cmd: StructOf<typeof vfio_iommu_type1_info>,
): Op<IoctlResult> {
  const held = yield* holdCompatIoas(call.file.context);
  if (!held.ok) return held;
  const ioas = held.value;
  yield* lockRead(ioas.domainsLock);
  const needed = writeChain(call.user, call.arg, cmd.argsz, [dmaAvail(), iovaRanges(ioas)]);
  if (needed === undefined) return fail('EFAULT');
  const told = call.respond({
    argsz: needed,
    flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
    iova_pgsizes: pageSizes(ioas),
    cap_offset: cmd.argsz >= needed ? INFO : 0,
  });
  return told.ok ? ok(0) : told;
}

/** What every domain has; sizes below a page count as a page, as type1 says it. */
function pageSizes(ioas: Ioas): bigint {
  const { page } = ioas;
  let sizes = ioas.hwpts.reduce((all, { domain }) => all & domain.pageSizes, U64_MAX);
  if (sizes & (page - 1n)) sizes = (sizes & ~(page - 1n)) | page;
  return max(sizes, ioas.alignment);
}

/** Writes the capabilities that fit and answers the size of info and chain; undefined: EFAULT. */
function writeChain(user: UserMemory, arg: bigint, argsz: number, caps: readonly Uint8Array[]): number | undefined {
  let at = INFO;
  for (const [i, cap] of caps.entries()) {
    const before = i === 0 ? undefined : at - aligned(caps[i - 1]!.length);
    if (argsz - at >= cap.length && !user.write(arg + BigInt(at), cap)) return undefined;
    if (before !== undefined && argsz >= at && !user.write(arg + BigInt(before + NEXT), u32Bytes(at))) return undefined;
    at += aligned(cap.length);
  }
  return at;
}

const aligned = (length: number): number => Math.ceil(length / 8) * 8;

function u32Bytes(n: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, n, true);
  return out;
}

const dmaAvail = (): Uint8Array =>
  encode(vfio_iommu_type1_info_dma_avail, {
    header: { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1, next: 0 },
    avail: UNLIMITED,
  });

function iovaRanges(ioas: Ioas): Uint8Array {
  const ranges = ioas.ranges();
  const head = vfio_iommu_type1_info_cap_iova_range.size;
  const out = new Uint8Array(head + ranges.length * vfio_iova_range.size);
  const header = { id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1, next: 0 };
  encode(vfio_iommu_type1_info_cap_iova_range, { header, nr_iovas: ranges.length }, out);
  ranges.forEach(({ start, last }, i) =>
    encode(vfio_iova_range, { start, end: last }, out, head + i * vfio_iova_range.size),
  );
  return out;
}

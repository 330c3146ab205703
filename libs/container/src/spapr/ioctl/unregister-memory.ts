/** VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY (v2): gives a registration of this container up. */
import type { IoctlCall, IoctlResult, Op } from '@vfiolab/core';
import { fail, ok, type StructOf, type vfio_iommu_spapr_register_memory } from '@vfiolab/uapi';
import { dropRegistration } from '../memory.js';
import type { Spapr } from '../spapr.js';

/**
 * EPERM: no process owns the container yet, or another one does; EINVAL: argsz, flags, not in pages; ENOENT: this container
 * has not registered it. Memory that is mapped is given up too, but stays pinned and charged (trace p039).
 */
export function* unregisterMemory(
  call: IoctlCall<Spapr, typeof vfio_iommu_spapr_register_memory>,
  { flags, vaddr, size }: StructOf<typeof vfio_iommu_spapr_register_memory>,
): Op<IoctlResult> {
  const { file: spapr } = call;
  if (flags !== 0) return fail('EINVAL');
  if (((vaddr | size) & ((1n << BigInt(spapr.host.pageShift)) - 1n)) !== 0n) return fail('EINVAL');
  const found = spapr.host.registrations.exact(spapr.owner!, vaddr, size);
  if (!found || !spapr.registered.includes(found.id)) return fail('ENOENT');
  spapr.registered = spapr.registered.filter((id) => id !== found.id);
  yield* dropRegistration(spapr, found);
  return ok(0);
}

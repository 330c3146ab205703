/** IOMMU_IOAS_ALLOC: an empty IO address space. */
import { fail, type iommu_ioas_alloc, ok, type StructOf } from '@vfiolab/uapi';
import type { IoctlResult } from '@vfiolab/core';
import { Ioas } from '../ioas.js';
import type { Call } from './call.js';

/** EOPNOTSUPP: flags. EFAULT: the id cannot be copied out, and nothing was made. */
export function ioasAlloc(call: Call<typeof iommu_ioas_alloc>, cmd: StructOf<typeof iommu_ioas_alloc>): IoctlResult {
  if (cmd.flags) return fail('EOPNOTSUPP');
  const { objects, page } = call.file.context;
  const ioas = new Ioas(page);
  const id = objects.reserve(ioas);
  if (!id.ok) return id;
  const told = call.respond({ out_ioas_id: id.value });
  if (!told.ok) {
    objects.abort(ioas);
    return told;
  }
  objects.finalize(ioas);
  return ok(0);
}

/** VFIO_EEH_PE_OP: states of the container's partitionable endpoints. */
import type { IoctlCall, IoctlResult } from '@vfiolab/core';
import { fail, ok, type StructOf, type vfio_eeh_pe_op, VFIO_EEH_PE_INJECT_ERR } from '@vfiolab/uapi';
import type { Spapr } from '../spapr.js';

/** EINVAL: argsz, flags, op. */
export function eehPeOp(
  _call: IoctlCall<Spapr, typeof vfio_eeh_pe_op>,
  { flags, op }: StructOf<typeof vfio_eeh_pe_op>,
): IoctlResult {
  if (flags !== 0 || op > VFIO_EEH_PE_INJECT_ERR) return fail('EINVAL');
  return ok(0);
}

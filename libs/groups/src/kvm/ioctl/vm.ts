/** Short ioctls of a VM: its memory slots, and what its guest would do. */
import { DONE, type IoctlCall, type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import { H_TOO_HARD, type kvm_userspace_memory_region, type StructOf, type vfiolab_h_put_tce } from '@vfiolab/uapi';
import { pageShiftOf } from '../../host.js';
import { traitsOf } from '../arch.js';
import type { VmCall } from '../ioctl-table.js';

type Region = typeof kvm_userspace_memory_region;
type PutTce = typeof vfiolab_h_put_tce;

/** KVM_SET_USER_MEMORY_REGION: see GuestMemory.set. */
export function setUserMemoryRegion(c: IoctlCall<VmCall, Region>, region: StructOf<Region>): IoctlResult {
  const { vm, host } = c.file;
  const set = vm.memory.set(region, traitsOf(host.iommu), pageShiftOf(host));
  return set.ok ? DONE : set;
}

/** VFIOLAB_H_PUT_TCE: a virtual CPU writes a TCE. Never fails: `ret` is what the guest gets; EFAULT. */
export function* hPutTce(c: IoctlCall<VmCall, PutTce>, { liobn, ioba, tce }: StructOf<PutTce>): Op<IoctlResult> {
  const { vm } = c.file;
  yield* lockWrite(vm.hypercalls);
  const table = vm.tables.get(liobn);
  const ret = table ? yield* table.put(vm, ioba, tce) : H_TOO_HARD;
  const written = c.respond({ ret: BigInt(ret) });
  return written.ok ? DONE : written;
}

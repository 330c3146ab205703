/**
 * KVM_CREATE_DEVICE: the VFIO device of a VM. ENODEV: another type; EBUSY: the VM has one; EFAULT; EMFILE.
 *
 * Rule: what cannot be told to the caller is not made; the kernel leaves an fd behind then that nobody knows.
 */
import { DONE, type IoctlCall, type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import { fail, KVM_CREATE_DEVICE_TEST, KVM_DEV_TYPE_VFIO, type kvm_create_device, type StructOf } from '@vfiolab/uapi';
import type { VmCall } from '../ioctl-table.js';
import { VfioDeviceOfVm } from '../vm.js';

type Create = typeof kvm_create_device;

export function* createDevice(c: IoctlCall<VmCall, Create>, { type, flags }: StructOf<Create>): Op<IoctlResult> {
  const { kvm, vm } = c.file;
  if (type !== KVM_DEV_TYPE_VFIO) return fail('ENODEV');
  const test = (flags & KVM_CREATE_DEVICE_TEST) !== 0;
  yield* lockWrite(vm.lock);
  if (!test && vm.vfio) return fail('EBUSY');
  const written = c.respond({});
  if (!written.ok || test) return written.ok ? DONE : written;
  const made = kvm.make(c.req, 'kvm-device', vm);
  if (!made.ok) return made;
  vm.vfio = new VfioDeviceOfVm();
  c.returnFile(made.value);
  return DONE;
}

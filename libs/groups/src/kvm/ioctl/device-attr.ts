/**
 * Attributes of a VM's VFIO device: the one group of them, whose attributes are acts.
 *
 * Rule: an unknown group or attribute (ENXIO) is judged before the value is read (EFAULT).
 */
import { DONE, type IoctlCall, type IoctlResult, type Op } from '@vfiolab/core';
import {
  fail,
  type kvm_device_attr,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  ok,
  readUserS32,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import type { VmCall } from '../ioctl-table.js';
import { addFile, deleteFile, type VfioCall } from '../vfio-device.js';

type Attribute = typeof kvm_device_attr;
type Call = IoctlCall<VmCall, Attribute>;

const ACTS = new Map<bigint, (c: VfioCall, fd: number) => Op<Result<undefined>>>([
  [BigInt(KVM_DEV_VFIO_FILE_ADD), addFile],
  [BigInt(KVM_DEV_VFIO_FILE_DEL), deleteFile],
]);

export function* setDeviceAttr(c: Call, { group, attr, addr }: StructOf<Attribute>): Op<IoctlResult> {
  const act = group === KVM_DEV_VFIO_FILE ? ACTS.get(attr) : undefined;
  if (!act) return fail('ENXIO');
  const fd = readUserS32(c.user, addr);
  if (!fd.ok) return fd;
  const { host, files, vm } = c.file;
  const done = yield* act({ host, files, vm, vfio: vm.vfio!, req: c.req, fds: c.fds }, fd.value);
  return done.ok ? DONE : done;
}

/** The VFIO device has nothing to read. */
export const getDeviceAttr = (): IoctlResult => fail('EPERM');

export const hasDeviceAttr = (_c: Call, { group, attr }: StructOf<Attribute>): IoctlResult =>
  group === KVM_DEV_VFIO_FILE && ACTS.has(attr) ? ok(0) : fail('ENXIO');

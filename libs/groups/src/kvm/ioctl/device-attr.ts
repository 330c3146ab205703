/**
 * Attributes of a VM's VFIO device: the one group of them, whose attributes are acts.
 *
 * Rule: an unknown group or attribute (ENXIO) is judged before the value is read (EFAULT).
 */
import { DONE, type IoctlCall, type IoctlResult, type Op } from '@vfiolab/core';
import {
  copyIn,
  decode,
  fail,
  type kvm_device_attr,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE,
  kvm_vfio_spapr_tce,
  ok,
  readUserS32,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import { traitsOf } from '../arch.js';
import type { VmCall } from '../ioctl-table.js';
import { addFile, deleteFile, setSpaprTce, type VfioCall } from '../vfio-device.js';

type Attribute = typeof kvm_device_attr;
type Call = IoctlCall<VmCall, Attribute>;

const SET_SPAPR_TCE = BigInt(KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE);
const ACTS = new Map<bigint, (c: VfioCall, fd: number) => Op<Result<undefined>>>([
  [BigInt(KVM_DEV_VFIO_FILE_ADD), addFile],
  [BigInt(KVM_DEV_VFIO_FILE_DEL), deleteFile],
]);

export function* setDeviceAttr(c: Call, { group, attr, addr }: StructOf<Attribute>): Op<IoctlResult> {
  if (!isKnown(c, group, attr)) return fail('ENXIO');
  const { host, kvm, files, vm } = c.file;
  const on = { host, kvm, files, vm, vfio: vm.vfio!, req: c.req, fds: c.fds };
  const done = attr === SET_SPAPR_TCE ? yield* setTables(c, on, addr) : yield* setFile(c, on, attr, addr);
  return done.ok ? DONE : done;
}

function* setFile(c: Call, on: VfioCall, attr: bigint, addr: bigint): Op<Result<undefined>> {
  const fd = readUserS32(c.user, addr);
  return fd.ok ? yield* ACTS.get(attr)!(on, fd.value) : fd;
}

function* setTables(c: Call, on: VfioCall, addr: bigint): Op<Result<undefined>> {
  const value = copyIn(c.user, addr, kvm_vfio_spapr_tce.size);
  if (!value.ok) return value;
  const { groupfd, tablefd } = decode(kvm_vfio_spapr_tce, value.value);
  return yield* setSpaprTce(on, groupfd, tablefd);
}

const isKnown = ({ file: { host } }: Call, group: number, attr: bigint): boolean =>
  group === KVM_DEV_VFIO_FILE && (ACTS.has(attr) || (attr === SET_SPAPR_TCE && traitsOf(host.iommu).tces));

/** The VFIO device has nothing to read. */
export const getDeviceAttr = (): IoctlResult => fail('EPERM');

export const hasDeviceAttr = (c: Call, { group, attr }: StructOf<Attribute>): IoctlResult =>
  isKnown(c, group, attr) ? ok(0) : fail('ENXIO');

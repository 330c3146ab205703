/**
 * The ioctls of KVM's files, as far as the lab has them: all others are unknown to it.
 *
 * Rule: a VM and its devices serve only the process that made the VM: EIO for others. A running call holds its file.
 */
import {
  answerIoctl,
  type AnyIoctlRow,
  failed,
  frontDoor,
  type IoctlArgs,
  type IoctlReply,
  isOp,
  lockRead,
  type NewFile,
  type Op,
  type Request,
  row,
} from '@vfiolab/core';
import {
  KVM_API_VERSION,
  KVM_CAP_CHECK_EXTENSION_VM,
  KVM_CAP_DEVICE_CTRL,
  KVM_CAP_SPAPR_TCE_64,
  KVM_CAP_SPAPR_TCE_VFIO,
  KVM_CAP_USER_MEMORY,
  KVM_CHECK_EXTENSION,
  KVM_CREATE_DEVICE,
  KVM_CREATE_SPAPR_TCE_64,
  KVM_CREATE_VM,
  KVM_GET_API_VERSION,
  KVM_GET_DEVICE_ATTR,
  KVM_HAS_DEVICE_ATTR,
  KVM_SET_DEVICE_ATTR,
  KVM_SET_USER_MEMORY_REGION,
  VFIOLAB_H_PUT_TCE,
  type KernelProfile,
  type Result,
  fail,
} from '@vfiolab/uapi';
import type { GroupFiles } from '../group-files.js';
import type { Host } from '../host.js';
import { type KvmTraits, traitsOf } from './arch.js';
import type { KvmFile, KvmFiles } from './files.js';
import { createDevice } from './ioctl/create-device.js';
import { createSpaprTce } from './ioctl/create-spapr-tce.js';
import { getDeviceAttr, hasDeviceAttr, setDeviceAttr } from './ioctl/device-attr.js';
import { hPutTce, setUserMemoryRegion } from './ioctl/vm.js';
import type { Vm } from './vm.js';

/** What an ioctl of a VM or of its VFIO device is made on. */
export interface VmCall {
  readonly host: Host;
  readonly kvm: KvmFiles;
  readonly files: GroupFiles;
  readonly vm: Vm;
}

const VM_ROWS = {
  KVM_CREATE_DEVICE: row(KVM_CREATE_DEVICE, createDevice),
  KVM_SET_USER_MEMORY_REGION: row(KVM_SET_USER_MEMORY_REGION, setUserMemoryRegion),
};
const VM = frontDoor<VmCall>(VM_ROWS);
/** The same where guests write TCEs. */
const VM_WITH_TCES = frontDoor<VmCall>({
  ...VM_ROWS,
  KVM_CREATE_SPAPR_TCE_64: row(KVM_CREATE_SPAPR_TCE_64, createSpaprTce),
  VFIOLAB_H_PUT_TCE: row(VFIOLAB_H_PUT_TCE, hPutTce),
});

const DEVICE = frontDoor<VmCall>({
  KVM_SET_DEVICE_ATTR: row(KVM_SET_DEVICE_ATTR, setDeviceAttr),
  KVM_GET_DEVICE_ATTR: row(KVM_GET_DEVICE_ATTR, getDeviceAttr),
  KVM_HAS_DEVICE_ATTR: row(KVM_HAS_DEVICE_ATTR, hasDeviceAttr),
});

interface On {
  readonly host: Host;
  readonly kvm: KvmFiles;
  readonly files: GroupFiles;
}

export function* answerKvmIoctl(on: On, file: KvmFile, req: Request, args: IoctlArgs): Op<IoctlReply> {
  yield* lockRead(file.inUse);
  const { vm, kind } = file;
  const traits = traitsOf(on.host.iommu);
  if (!vm) return onKvm(on, traits, req, args);
  if (kind === 'kvm-tce') return failed('ENOTTY');
  if (vm.client !== req.from) return failed('EIO');
  if (kind === 'kvm-vm' && args.cmd === KVM_CHECK_EXTENSION.nr) return number(extension(traits, args.arg));
  const rows = kind === 'kvm-device' ? DEVICE : traits.tces ? VM_WITH_TCES : VM;
  const found = rows.get(args.cmd) as AnyIoctlRow<VmCall> | undefined;
  if (!found) return failed(kind === 'kvm-vm' ? traits.unknown : 'ENOTTY');
  const answer = answerIoctl(found, on.host.setup.profile as KernelProfile, { ...on, vm }, req, args);
  return isOp(answer) ? yield* answer : answer;
}

/** On /dev/kvm. EINVAL: unknown, or an argument that is none. */
function onKvm({ host, kvm }: On, traits: KvmTraits, req: Request, { cmd, arg }: IoctlArgs): IoctlReply {
  switch (cmd) {
    case KVM_GET_API_VERSION.nr:
      return arg === 0 ? number(KVM_API_VERSION) : failed('EINVAL');
    case KVM_CREATE_VM.nr:
      return newFile(traits.acceptsType(arg) ? kvm.makeVm(host, req) : fail('EINVAL'));
    case KVM_CHECK_EXTENSION.nr:
      return number(extension(traits, arg));
    default:
      return failed('EINVAL');
  }
}

const EXTENSIONS: ReadonlySet<number> = new Set([KVM_CAP_USER_MEMORY, KVM_CAP_DEVICE_CTRL, KVM_CAP_CHECK_EXTENSION_VM]);
const OF_TCES: ReadonlySet<number> = new Set([KVM_CAP_SPAPR_TCE_64, KVM_CAP_SPAPR_TCE_VFIO]);

const extension = ({ tces }: KvmTraits, cap: number): number =>
  EXTENSIONS.has(cap) || (tces && OF_TCES.has(cap)) ? 1 : 0;

const number = (ret: number): IoctlReply => ({ errno: 0, ret, writes: [], file: undefined });
const newFile = (made: Result<NewFile>): IoctlReply =>
  made.ok ? { ...number(0), file: made.value } : failed(made.errno);

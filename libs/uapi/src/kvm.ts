/**
 * /dev/kvm as far as VFIO knows it (linux/kvm.h): VMs, their VFIO device, their memory slots and TCE tables.
 *
 * Words: a *VM* is the fd of KVM_CREATE_VM, its *VFIO device* that of KVM_CREATE_DEVICE.
 * The one rule: these structs carry no size word: exactly the struct is copied (`tail: 'fixed'`). Numbers are those of the
 * generic encoding on every machine, also on POWER, whose own have other direction bits.
 */
import { s32, s64, struct, u32, u64 } from './codec.js';
import { ioctl, plainIoctl } from './ioctl.js';
import { fdAt, range } from './metadata.js';

export const KVM_API_VERSION = 12;

/** KVM_CHECK_EXTENSION. */
export const KVM_CAP_USER_MEMORY = 3;
export const KVM_CAP_DEVICE_CTRL = 89;
export const KVM_CAP_CHECK_EXTENSION_VM = 105;
export const KVM_CAP_SPAPR_TCE_64 = 125;
export const KVM_CAP_SPAPR_TCE_VFIO = 142;

export const KVM_GET_API_VERSION = plainIoctl({ name: 'KVM_GET_API_VERSION', nr: 0xae00, fd: 'kvm', arg: 'value' });

/** The argument is the type of the machine. */
export const KVM_CREATE_VM = plainIoctl({
  name: 'KVM_CREATE_VM',
  nr: 0xae01,
  fd: 'kvm',
  arg: 'value',
  returnsFd: true,
});

/** The same on a VM. */
export const KVM_CHECK_EXTENSION = plainIoctl({ name: 'KVM_CHECK_EXTENSION', nr: 0xae03, fd: 'kvm', arg: 'value' });

/** `type` of KVM_CREATE_DEVICE: types behind the last one are ENODEV like those that are not there. */
export const KVM_DEV_TYPE_VFIO = 4;
/** `flags`: only say whether the type is there. */
export const KVM_CREATE_DEVICE_TEST = 1;

export const kvm_create_device = struct('kvm_create_device', 12, { type: u32(0), fd: u32(4), flags: u32(8) });

export const KVM_CREATE_DEVICE = ioctl({
  name: 'KVM_CREATE_DEVICE',
  nr: 0xc00caee0,
  fd: 'kvm-vm',
  struct: kvm_create_device,
  minSize: 12,
  tail: 'fixed',
  copyBack: 'struct',
  fds: () => [fdAt(4, 'out')],
});

export const kvm_userspace_memory_region = struct('kvm_userspace_memory_region', 32, {
  slot: u32(0),
  flags: u32(4),
  guest_phys_addr: u64(8),
  memory_size: u64(16),
  userspace_addr: u64(24),
});

/** Memory of the process becomes memory of the guest; a size of 0 takes the slot away. */
export const KVM_SET_USER_MEMORY_REGION = ioctl({
  name: 'KVM_SET_USER_MEMORY_REGION',
  nr: 0x4020ae46,
  fd: 'kvm-vm',
  struct: kvm_userspace_memory_region,
  minSize: 32,
  tail: 'fixed',
  memory: (cmd) => [range('userspace_addr', cmd.userspace_addr, cmd.memory_size, 'pin')],
});

/** `offset` and `size` in pages of 2^page_shift bytes. */
export const kvm_create_spapr_tce_64 = struct('kvm_create_spapr_tce_64', 32, {
  liobn: u64(0),
  page_shift: u32(8),
  flags: u32(12),
  offset: u64(16),
  size: u64(24),
});

/** POWER: a table of TCEs that the guest writes by hypercalls, under a logical bus number. Answers its fd. */
export const KVM_CREATE_SPAPR_TCE_64 = ioctl({
  name: 'KVM_CREATE_SPAPR_TCE_64',
  nr: 0x4020aea8,
  fd: 'kvm-vm',
  struct: kvm_create_spapr_tce_64,
  minSize: 32,
  tail: 'fixed',
  returnsFd: () => true,
});

export const kvm_device_attr = struct('kvm_device_attr', 24, {
  flags: u32(0),
  group: u32(4),
  attr: u64(8),
  addr: u64(16),
});

/** The one group of attributes of the VFIO device; GROUP is its old name. */
export const KVM_DEV_VFIO_FILE = 1;
export const KVM_DEV_VFIO_GROUP = KVM_DEV_VFIO_FILE;
/** `addr` points at an s32 fd. */
export const KVM_DEV_VFIO_FILE_ADD = 1;
export const KVM_DEV_VFIO_FILE_DEL = 2;
export const KVM_DEV_VFIO_GROUP_ADD = KVM_DEV_VFIO_FILE_ADD;
export const KVM_DEV_VFIO_GROUP_DEL = KVM_DEV_VFIO_FILE_DEL;
/** `addr` points at a kvm_vfio_spapr_tce. */
export const KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE = 3;

export const kvm_vfio_spapr_tce = struct('kvm_vfio_spapr_tce', 8, { groupfd: s32(0), tablefd: s32(4) });

/** fds that an attribute's value has. */
const fdsOfAttribute = ({ group, attr }: { group: number; attr: bigint }): number => {
  if (group !== KVM_DEV_VFIO_FILE) return 0;
  if (attr === BigInt(KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE)) return 2;
  return attr === BigInt(KVM_DEV_VFIO_FILE_ADD) || attr === BigInt(KVM_DEV_VFIO_FILE_DEL) ? 1 : 0;
};

export const KVM_SET_DEVICE_ATTR = ioctl({
  name: 'KVM_SET_DEVICE_ATTR',
  nr: 0x4018aee1,
  fd: 'kvm-device',
  struct: kvm_device_attr,
  minSize: 24,
  tail: 'fixed',
  memory: (cmd) => [range('addr', cmd.addr, fdsOfAttribute(cmd) * 4, 'in')],
  fds: (cmd) => [{ ...fdAt(0, 'in', fdsOfAttribute(cmd)), va: cmd.addr }],
});

export const KVM_GET_DEVICE_ATTR = ioctl({
  name: 'KVM_GET_DEVICE_ATTR',
  nr: 0x4018aee2,
  fd: 'kvm-device',
  struct: kvm_device_attr,
  minSize: 24,
  tail: 'fixed',
});

export const KVM_HAS_DEVICE_ATTR = ioctl({
  name: 'KVM_HAS_DEVICE_ATTR',
  nr: 0x4018aee3,
  fd: 'kvm-device',
  struct: kvm_device_attr,
  minSize: 24,
  tail: 'fixed',
});

/** What hypercalls of POWER answer. */
export const H_SUCCESS = 0;
export const H_PARAMETER = -4;
/** The kernel leaves the call to the program. */
export const H_TOO_HARD = 9999;
/** Low bits of a TCE. */
export const TCE_PCI_READ = 1;
export const TCE_PCI_WRITE = 2;

export const vfiolab_h_put_tce = struct('vfiolab_h_put_tce', 32, {
  liobn: u64(0),
  ioba: u64(8),
  tce: u64(16),
  ret: s64(24),
});

/**
 * The lab's own, for want of guests: a virtual CPU of the VM makes the hypercall H_PUT_TCE. `ioba`: bus address in bytes;
 * `tce`: guest address with TCE_PCI_*; `ret`: what the hypercall answers (H_*).
 */
export const VFIOLAB_H_PUT_TCE = ioctl({
  name: 'VFIOLAB_H_PUT_TCE',
  nr: 0xc0204c00,
  fd: 'kvm-vm',
  struct: vfiolab_h_put_tce,
  minSize: 32,
  tail: 'fixed',
  copyBack: 'struct',
});

/** VMs of programs, and their VFIO devices. */
import {
  encode,
  type Errno,
  KVM_CREATE_DEVICE,
  KVM_CREATE_SPAPR_TCE_64,
  KVM_SET_USER_MEMORY_REGION,
  VFIOLAB_H_PUT_TCE,
  KVM_CREATE_VM,
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE,
  KVM_SET_DEVICE_ATTR,
  kvm_vfio_spapr_tce,
} from '@vfiolab/uapi';
import type { VfioProgram } from './container-lab.js';

/** A VM of the program: its fd. */
export async function createVm(p: VfioProgram): Promise<number> {
  const kvm = await p.must(p.process.open('/dev/kvm'));
  const { ret, errno } = await p.run(p.process.ioctlPlain(kvm, KVM_CREATE_VM, 0));
  if (errno) throw new Error(`KVM_CREATE_VM: ${errno}`);
  await p.close(kvm);
  return ret;
}

/** Its VFIO device: the fd, or the errno. */
export async function vfioDevice(p: VfioProgram, vm: number, flags = 0): Promise<number | Errno> {
  const { errno, out } = await p.ioctl(vm, KVM_CREATE_DEVICE, { type: KVM_DEV_TYPE_VFIO, flags });
  return errno ?? out.fd;
}

/** A VM with its VFIO device. */
export async function vmWithVfio(p: VfioProgram): Promise<{ vm: number; vfio: number }> {
  const vm = await createVm(p);
  const vfio = await vfioDevice(p, vm);
  if (typeof vfio !== 'number') throw new Error(`KVM_CREATE_DEVICE: ${vfio}`);
  return { vm, vfio };
}

async function set(p: VfioProgram, vfio: number, attr: number, value: Uint8Array): Promise<Errno | undefined> {
  const fields = { group: KVM_DEV_VFIO_FILE, attr: BigInt(attr), addr: value };
  return (await p.ioctl(vfio, KVM_SET_DEVICE_ATTR, fields)).errno;
}

const s32 = (fd: number): Uint8Array => new Uint8Array(Int32Array.of(fd).buffer);

export const addFile = (p: VfioProgram, vfio: number, fd: number) => set(p, vfio, KVM_DEV_VFIO_FILE_ADD, s32(fd));
export const deleteFile = (p: VfioProgram, vfio: number, fd: number) => set(p, vfio, KVM_DEV_VFIO_FILE_DEL, s32(fd));
export const setSpaprTce = (p: VfioProgram, vfio: number, groupfd: number, tablefd: number) =>
  set(p, vfio, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, encode(kvm_vfio_spapr_tce, { groupfd, tablefd }));

/** What the lab tells of the n-th VM; undefined: it is gone. */
export async function told(p: VfioProgram, file: 'assigned' | 'devices' | 'noncoherent_dma', n = 1) {
  const read = await p.run(p.process.sysfsRead(`/sys/kernel/debug/kvm/${n}/${file}`));
  return read.ok ? read.value.trimEnd() : undefined;
}

/** Memory of the process becomes the guest's. */
export async function guestMemory(p: VfioProgram, vm: number, slot: number, guest: bigint, va: bigint, bytes: number) {
  const place = { slot, guest_phys_addr: guest, userspace_addr: va, memory_size: BigInt(bytes) };
  return (await p.ioctl(vm, KVM_SET_USER_MEMORY_REGION, place)).errno;
}

/** A table of TCEs of the guest: its fd, or the errno. */
export async function tceTable(
  p: VfioProgram,
  vm: number,
  liobn: bigint,
  page_shift: number,
  size: bigint,
  offset = 0n,
) {
  const { ret, errno } = await p.ioctl(vm, KVM_CREATE_SPAPR_TCE_64, { liobn, page_shift, offset, size });
  return errno ?? ret;
}

/** The guest's hypercall H_PUT_TCE: what it answers. */
export async function putTce(p: VfioProgram, vm: number, liobn: bigint, ioba: bigint, tce: bigint): Promise<number> {
  const { errno, out } = await p.ioctl(vm, VFIOLAB_H_PUT_TCE, { liobn, ioba, tce });
  if (errno) throw new Error(`H_PUT_TCE: ${errno}`);
  return Number(out.ret);
}

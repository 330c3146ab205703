import {
  KVM_CHECK_EXTENSION,
  KVM_CREATE_DEVICE,
  KVM_CREATE_DEVICE_TEST,
  KVM_CREATE_VM,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_GET_API_VERSION,
  KVM_GET_DEVICE_ATTR,
  KVM_HAS_DEVICE_ATTR,
  KVM_SET_DEVICE_ATTR,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '@vfiolab/uapi';
import { ContainerLab, ENGINE, IOVA, NOTHING, PAGE, PAIR, type VfioProgram } from './support/container-lab.js';
import { addFile, createVm, deleteFile, told, vfioDevice, vmWithVfio } from './support/kvm.js';
import { bind, create, openCdev, openGroup, remove } from './support/mdev.js';

const lab = async (machine: 'B-type1' | 'C-amd' = 'B-type1') => {
  const l = await ContainerLab.boot({ machine, kvm: 'files' });
  return { l, p: await l.program('vmm') };
};
const deviceDir = (bdf = ENGINE): string => `/sys/bus/pci/devices/${bdf}`;
const reopened = async (p: VfioProgram, group: string): Promise<string> => {
  const again = await p.run(p.process.open(group));
  if (again.ok) await p.close(again.value);
  return again.ok ? 'opened' : again.errno;
};
const groupNode = async (p: VfioProgram, bdf = ENGINE): Promise<string> =>
  `/dev/vfio/${(await p.must(p.process.readlink(`${deviceDir(bdf)}/iommu_group`))).split('/').pop()}`;

it('70: a VM, its one VFIO device, and what they answer', async () => {
  const { l, p } = await lab();
  const kvm = await p.must(p.process.open('/dev/kvm'));
  expect([await p.plain(kvm, KVM_GET_API_VERSION), await p.plain(kvm, KVM_GET_API_VERSION, 1)]).toEqual([12, 'EINVAL']);
  expect([await p.plain(kvm, KVM_CHECK_EXTENSION, 89), await p.plain(kvm, KVM_CHECK_EXTENSION, 125)]).toEqual([1, 0]);
  expect([await p.plain(kvm, KVM_CREATE_VM, 5), await p.plain(kvm, { ...KVM_CREATE_VM, nr: 0xae77 })]).toEqual([
    'EINVAL',
    'EINVAL',
  ]);
  const vm = await createVm(p);
  expect(await p.plain(vm, { ...KVM_CREATE_VM, nr: 0xae77 })).toBe('ENOTTY');
  const type = async (n: number) => (await p.ioctl(vm, KVM_CREATE_DEVICE, { type: n })).errno;
  expect([await type(3), await type(0xffff_ffff)]).toEqual(['ENODEV', 'ENODEV']);
  expect([await vfioDevice(p, vm, KVM_CREATE_DEVICE_TEST)]).toEqual([0]);
  const vfio = (await vfioDevice(p, vm)) as number;
  expect([await vfioDevice(p, vm), await vfioDevice(p, vm, KVM_CREATE_DEVICE_TEST)]).toEqual(['EBUSY', 0]);
  const attribute = async (def: typeof KVM_HAS_DEVICE_ATTR, group: number, attr: bigint) =>
    (await p.ioctl(vfio, def, { group, attr })).errno;
  expect(await attribute(KVM_HAS_DEVICE_ATTR, 1, 2n)).toBeUndefined();
  for (const [group, attr] of [
    [2, 1n],
    [1, 0n],
    [1, 3n],
    [1, 1n << 32n],
  ] as const) {
    expect(await attribute(KVM_HAS_DEVICE_ATTR, group, attr)).toBe('ENXIO');
    expect(await attribute(KVM_SET_DEVICE_ATTR as never, group, attr)).toBe('ENXIO');
  }
  expect(await attribute(KVM_GET_DEVICE_ATTR as never, 1, 1n)).toBe('EPERM');
  expect(await attribute(KVM_SET_DEVICE_ATTR as never, 1, BigInt(KVM_DEV_VFIO_FILE_ADD))).toBe('EFAULT');
  // A device that is closed makes room for another.
  await p.close(vfio);
  expect(await vfioDevice(p, vm)).toEqual(expect.any(Number));
  expect([await told(p, 'assigned'), l.broken()]).toEqual(['', []]);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

it('70: without KVM there is no node; with it, one of root', async () => {
  const { p } = await lab();
  expect(await p.must(p.process.stat('/dev/kvm'))).toEqual({ kind: 'chr', mode: 0o600, major: 10, minor: 232 });
  expect((await p.must(p.process.sysfsRead('/proc/misc'))).split('\n', 1)).toEqual(['232 kvm']);
  const without = await (await ContainerLab.boot()).program('vmm');
  expect(await without.run(without.process.open('/dev/kvm'))).toEqual({ ok: false, errno: 'ENOENT' });
  expect(await without.must(without.process.listdir('/sys/kernel'))).toEqual(['iommu_groups']);
});

it('70: files of groups and of devices are added once and deleted; no other file is taken', async () => {
  const { l, p } = await lab();
  const { vm, vfio } = await vmWithVfio(p);
  const group = await p.group(ENGINE);
  const container = await p.container();
  const cdev = await openCdev(p, deviceDir(PAIR[0]));
  expect([await addFile(p, vfio, 99), await addFile(p, vfio, -1), await deleteFile(p, vfio, 99)]).toEqual([
    'EBADF',
    'EBADF',
    'EBADF',
  ]);
  for (const other of [container, vm, vfio, 0]) {
    expect(await addFile(p, vfio, other)).toBe('EINVAL');
    expect(await deleteFile(p, vfio, other)).toBe('ENOENT');
  }
  expect([await deleteFile(p, vfio, group), await deleteFile(p, vfio, cdev)]).toEqual(['ENOENT', 'ENOENT']);
  // No container is needed, and no bind.
  expect([await addFile(p, vfio, group), await addFile(p, vfio, group)]).toEqual([undefined, 'EEXIST']);
  expect([await addFile(p, vfio, cdev), await addFile(p, vfio, cdev)]).toEqual([undefined, 'EEXIST']);
  const second = await openCdev(p, deviceDir(PAIR[0]));
  expect([await deleteFile(p, vfio, second), await addFile(p, vfio, second)]).toEqual(['ENOENT', undefined]);
  expect(await told(p, 'assigned')).toBe(
    `group 1\ndevice ${PAIR[0]}\ndevice ${PAIR[0]}`.replace('1', await numberOf(p)),
  );
  for (const fd of [group, cdev, second]) expect(await deleteFile(p, vfio, fd)).toBeUndefined();
  expect([await told(p, 'assigned'), l.broken()]).toEqual(['', []]);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

const numberOf = async (p: VfioProgram): Promise<string> => (await groupNode(p)).split('/').pop()!;

it('70: KVM keeps the file: a closed group stays in its container, mapped, until the VM lets go', async () => {
  const { l, p } = await lab();
  const { vfio } = await vmWithVfio(p);
  const { container, groups } = await p.ready();
  const node = await groupNode(p);
  expect(await addFile(p, vfio, groups[0]!)).toBeUndefined();
  await p.map(container, { vaddr: await p.memory(PAGE), iova: IOVA, size: BigInt(PAGE) });
  await p.close(groups[0]!);
  expect([await p.lockedKb(), await reopened(p, node), l.broken()]).toEqual([4, 'EBUSY', []]);
  // Nobody can name the file any more: only the device's end lets go of it.
  await p.close(vfio);
  expect([await p.lockedKb(), await reopened(p, node), l.broken()]).toEqual([0, 'opened', []]);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

it('70: KVM keeps a bound device of a cdev bound', async () => {
  const { l, p } = await lab();
  const { vfio } = await vmWithVfio(p);
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const { fd } = await bind(p, iommufd, deviceDir());
  const dup = await p.must(Promise.resolve(p.process.dup(fd)));
  expect([await addFile(p, vfio, fd), await addFile(p, vfio, dup)]).toEqual([undefined, 'EEXIST']);
  await p.close(fd);
  await p.close(dup);
  const again = await openCdev(p, deviceDir());
  const rebind = async () => (await p.ioctl(again, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd })).errno;
  expect([await rebind(), l.broken()]).toEqual(['EINVAL', []]);
  await p.close(vfio);
  expect([await rebind(), l.broken()]).toEqual([undefined, []]);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

it('70: a device takes the VM of its group when it is first opened, and keeps it until its last close', async () => {
  const { l, p } = await lab();
  const { vm, vfio } = await vmWithVfio(p);
  const { groups } = await p.ready();
  const early = (await p.device(groups[0]!, ENGINE)) as number;
  await addFile(p, vfio, groups[0]!);
  // It was open before KVM came.
  expect(await told(p, 'devices')).toBe('');
  await p.close(early);
  const device = (await p.device(groups[0]!, ENGINE)) as number;
  expect(await told(p, 'devices')).toBe(ENGINE);
  await p.close(vfio);
  await p.close(vm);
  expect([await told(p, 'devices'), l.held()['groups vms']]).toEqual([ENGINE, 1]);
  await p.close(device);
  expect([await told(p, 'devices'), l.broken()]).toEqual([undefined, []]);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

it('70: a cdev takes the VM of its own file at the bind', async () => {
  const { l, p } = await lab();
  const { vfio } = await vmWithVfio(p);
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const [mine, other] = [await openCdev(p, deviceDir()), await openCdev(p, deviceDir())];
  const rebind = async (fd: number) => (await p.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd })).errno;
  await addFile(p, vfio, mine);
  expect([await rebind(other), await told(p, 'devices')]).toEqual([undefined, '']);
  await p.close(other);
  expect([await rebind(mine), await told(p, 'devices')]).toEqual([undefined, ENGINE]);
  await deleteFile(p, vfio, mine);
  expect(await told(p, 'devices')).toBe(ENGINE);
  await p.close(mine);
  expect([await told(p, 'devices'), l.broken()]).toEqual(['', []]);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

it('35, 70: one file that is not coherent makes the VM noncoherent, until it goes', async () => {
  const { l, p } = await lab('C-amd');
  const { vfio } = await vmWithVfio(p);
  const group = await p.group(ENGINE);
  expect([await addFile(p, vfio, group), await told(p, 'noncoherent_dma')]).toEqual([undefined, '0']);
  await create(p);
  const card = await openGroup(p);
  expect([await addFile(p, vfio, card), await told(p, 'noncoherent_dma')]).toEqual([undefined, '1']);
  const cdev = await openCdev(p);
  await addFile(p, vfio, cdev);
  expect([await deleteFile(p, vfio, card), await told(p, 'noncoherent_dma')]).toEqual([undefined, '1']);
  expect([await deleteFile(p, vfio, cdev), await told(p, 'noncoherent_dma')]).toEqual([undefined, '0']);
  for (const fd of [card, cdev]) await p.close(fd);
  expect([await remove(p), await l.afterwards(p)]).toEqual([1, NOTHING]);
});

it('35: behind an IOMMU that cannot enforce coherency the guest may use wbinvd', async () => {
  const { l, p } = await lab();
  const { vfio } = await vmWithVfio(p);
  const group = await p.group(ENGINE);
  expect([await addFile(p, vfio, group), await told(p, 'noncoherent_dma')]).toEqual([undefined, '1']);
  expect([await deleteFile(p, vfio, group), await told(p, 'noncoherent_dma')]).toEqual([undefined, '0']);
  expect(await l.afterwards(p)).toEqual(NOTHING);
});

it('70: a VM serves only the process that made it; a killed one leaves nothing', async () => {
  const { l, p } = await lab();
  const { vm, vfio } = await vmWithVfio(p);
  const { groups } = await p.ready();
  await addFile(p, vfio, groups[0]!);
  const child = await l.program('child');
  await p.must(p.process.fork(child.process));
  expect([await vfioDevice(child, vm), await addFile(child, vfio, groups[0]!)]).toEqual(['EIO', 'EIO']);
  await p.run(p.process.exit());
  expect([await told(child, 'assigned'), l.broken()]).toEqual([`group ${await numberOf(child)}`, []]);
  expect(await l.afterwards(child)).toEqual(NOTHING);
});

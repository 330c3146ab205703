import { ByteReader, ByteWriter, deviceApi, groupsApi, sysApi, type ReplyOf } from '@vfiolab/core';
import {
  encode,
  errnoName,
  KVM_CREATE_DEVICE,
  KVM_CREATE_VM,
  KVM_DEV_TYPE_VFIO,
  KVM_SET_DEVICE_ATTR,
  kvm_create_device,
  kvm_device_attr,
  ok,
} from '@vfiolab/uapi';
import { traitsOf } from './arch.js';
import { GuestTceTable } from './tce-table.js';
import { GroupsCore } from '../groups-core.js';
import { LIMITS } from '../limits.js';
import { groupBench, TOKEN } from '../testing/group-client.js';
import { CLIENT, files, SETUP } from '../testing/machines.js';

const BDF = '0000:00:03.0';
const ACTOR = 'device:0000:00:03_0';
const [ARG, VALUE] = [0x10000, 0x20000];
const [ADD, DEL] = [1n, 2n];
const DEVICE_FD = 13;

type Bench = ReturnType<typeof kvmBench>;

/** A VM with its VFIO device. fd 13 is a file of 00:03.0, whose actor has all its files under number 5. */
function kvmBench(kvm: 'files' | 'groups' = 'files', coherent = true, iommu = SETUP.iommu) {
  const b = groupBench(
    {
      iommu: { enforcesCoherency: () => coherent },
      container: { extension: () => (coherent ? 1 : 0) },
      device: { fileHold: () => ok({ file: 5 }), fileDrop: () => undefined, fileVm: () => undefined },
    },
    { ...SETUP, kvm, iommu },
  );
  const open = new Map<number, { token: string; owner: string }>([
    [DEVICE_FD, { token: TOKEN.slice(0, 8), owner: ACTOR }],
  ]);
  const call = (token: string, cmd: number, bytes: Uint8Array, arg = ARG, value = new Uint8Array(0), fds = [0]) => {
    const segments = [
      { va: ARG, writable: true, bytes },
      { va: VALUE, writable: false, bytes: value },
    ];
    const passed = fds.flatMap((fd) => (open.has(fd) ? [{ fd, ...open.get(fd)! }] : []));
    const asked = b.bench.ask(CLIENT, sysApi.ioctlFile, { token, cmd, arg, segments, fds: passed });
    if (!asked.done) return { errno: 'waits', file: undefined };
    const { errno, file } = asked.value as ReplyOf<typeof sysApi.ioctl>;
    return { errno: errno ? errnoName(errno)! : 0, file };
  };
  return Object.assign(b, { fds: open, call });
}

function vmOf(b: Bench): { vm: string; vfio: string } {
  const vm = b.call(b.open('/dev/kvm'), KVM_CREATE_VM.nr, new Uint8Array(0), 0).file!.token;
  const wanted = encode(kvm_create_device, { type: KVM_DEV_TYPE_VFIO });
  return { vm, vfio: b.call(vm, KVM_CREATE_DEVICE.nr, wanted).file!.token };
}

function attribute(b: Bench, vfio: string, attr: bigint, fd: number): string | number {
  const fields = encode(kvm_device_attr, { group: 1, attr, addr: BigInt(VALUE) });
  return b.call(vfio, KVM_SET_DEVICE_ATTR.nr, fields, ARG, new Uint8Array(Int32Array.of(fd).buffer), [fd]).errno;
}

/** Opens a group as the next fd. */
function groupFd(b: Bench, path: string, fd: number): string {
  const token = b.open(path);
  b.fds.set(fd, { token, owner: 'groups' });
  return token;
}

const told = (b: Bench, name: string): unknown => files(b.bench).read(`/sys/kernel/debug/kvm/1/${name}`);

it('a device is told its VM, after KVM has its file and before coherency is computed; then none, before it is dropped', () => {
  const b = kvmBench();
  const { vfio } = vmOf(b);
  b.heard();
  expect(attribute(b, vfio, ADD, DEVICE_FD)).toBe(0);
  expect(b.heard()).toEqual(['device.fileHold', 'device.fileVm', 'iommu.enforcesCoherency']);
  expect(attribute(b, vfio, ADD, DEVICE_FD)).toBe('EEXIST');
  expect(b.heard()).toEqual(['device.fileHold', 'device.fileDrop']);
  expect(attribute(b, vfio, DEL, DEVICE_FD)).toBe(0);
  expect(b.heard()).toEqual(['device.fileHold', 'device.fileDrop', 'device.fileVm', 'device.fileDrop']);
});

it('ENOMEM at the bound of what a VM holds', () => {
  const b = kvmBench('files', false);
  const { vfio } = vmOf(b);
  const held = Array.from({ length: LIMITS.heldByVm }, (_, file) => ({
    kind: 'device' as const,
    owner: ACTOR,
    file: file + 6,
  }));
  b.bench.core.host!.vms.get(1)!.vfio!.held = held;
  expect(attribute(b, vfio, ADD, DEVICE_FD)).toBe('ENOMEM');
  b.bench.core.host!.vms.get(1)!.vfio!.held = held.slice(1);
  expect(attribute(b, vfio, ADD, DEVICE_FD)).toBe(0);
});

it('a group without an IOMMU is not coherent', () => {
  const b = kvmBench('files', true, 'none');
  const fs = files(b.bench);
  fs.write('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', '1');
  fs.write('/sys/bus/pci/drivers/vfio-pci/bind', BDF);
  const { vfio } = vmOf(b);
  groupFd(b, '/dev/vfio/noiommu-0', 20);
  expect([attribute(b, vfio, ADD, 20), told(b, 'noncoherent_dma')]).toEqual([0, '1\n']);
});

it('everything survives a snapshot', () => {
  const b = kvmBench('files', false);
  const { vfio } = vmOf(b);
  const group = groupFd(b, '/dev/vfio/1', 20);
  for (const fd of [20, DEVICE_FD]) attribute(b, vfio, ADD, fd);
  b.bench.get(ACTOR, groupsApi.groupUse, { bdf: BDF, client: CLIENT });
  b.close(group);
  const vm = b.bench.core.host!.vms.get(1)!;
  const region = { slot: 1, flags: 1, guest_phys_addr: 0x3000n, memory_size: 0x2000n, userspace_addr: 0x1000n };
  vm.memory.set(region, traitsOf({ processors: 'x86' }), 12);
  const table = new GuestTceTable({ liobn: 1n << 40n, pageShift: 16, offset: 1n, size: 2n }, 3, 32);
  table.links = [{ container: 5, window: 2, count: 2 }];
  vm.tables.set(1n << 40n, table);
  const bytes = (core: GroupsCore, view: 'snapshot' | 'meaning') => {
    const w = new ByteWriter();
    core.encode(w, view);
    return Buffer.from(w.take()).toString('hex');
  };
  const again = new GroupsCore();
  again.decode(new ByteReader(Buffer.from(bytes(b.bench.core, 'snapshot'), 'hex')));
  for (const view of ['snapshot', 'meaning'] as const) expect(bytes(again, view)).toBe(bytes(b.bench.core, view));
  expect([again.check(), again.figures()]).toEqual([[], b.bench.core.figures()]);
  expect([again.host!.vms.get(1)!.tables, again.host!.vms.get(1)!.memory]).toEqual([vm.tables, vm.memory]);
  expect(again.host!.vms.get(1)!.vfio).toMatchObject({ noncoherent: true, held: [{ kind: 'group' }, { file: 5 }] });
});

it('the end of a client ends its VMs: what they hold is let go of', () => {
  const b = kvmBench();
  const { vfio } = vmOf(b);
  groupFd(b, '/dev/vfio/1', 20);
  for (const fd of [20, DEVICE_FD]) attribute(b, vfio, ADD, fd);
  b.heard();
  b.bench.get('lab', sysApi.clientGone, { client: CLIENT });
  expect(b.heard()).toEqual(['device.fileVm', 'device.fileDrop']);
  expect(b.bench.core.figures()).toMatchObject({ files: 0, vms: 0 });
  expect(b.bench.core.check()).toEqual([]);
});

describe('KVM before Linux 5.19, an external user of groups (A5.1)', () => {
  it.each([
    ['in no container', 'EINVAL', (_b: Bench, _group: string) => undefined],
    ['in an iommufd', 'EINVAL', (b: Bench, group: string) => b.set(group, 11)],
    ['in a container', 0, (b: Bench, group: string) => b.set(group, 10)],
  ] as const)('a group %s: %s', (_where, answer, prepare) => {
    const b = kvmBench('groups');
    const { vfio } = vmOf(b);
    prepare(b, groupFd(b, '/dev/vfio/1', 20));
    expect(attribute(b, vfio, ADD, 20)).toBe(answer);
    expect(told(b, 'assigned')).toBe(answer === 0 ? 'group 1\n' : '');
  });

  it('EPERM: a group without an IOMMU', () => {
    const b = kvmBench('groups', true, 'none');
    const fs = files(b.bench);
    fs.write('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', '1');
    fs.write('/sys/bus/pci/drivers/vfio-pci/bind', BDF);
    const { vfio } = vmOf(b);
    b.set(groupFd(b, '/dev/vfio/noiommu-0', 20), 10);
    expect(attribute(b, vfio, ADD, 20)).toBe('EPERM');
    expect(b.bench.core.host!.vfioGroups.get(0)!.users).toBe(0);
  });

  it('EINVAL: it takes no files of devices; ENOENT; EEXIST', () => {
    const b = kvmBench('groups');
    const { vfio } = vmOf(b);
    b.set(groupFd(b, '/dev/vfio/1', 20), 10);
    expect([attribute(b, vfio, ADD, DEVICE_FD), attribute(b, vfio, DEL, DEVICE_FD)]).toEqual(['EINVAL', 'ENOENT']);
    expect([attribute(b, vfio, DEL, 20), attribute(b, vfio, ADD, 20), attribute(b, vfio, ADD, 20)]).toEqual([
      'ENOENT',
      0,
      'EEXIST',
    ]);
    // The second one was a user for a moment only.
    expect(b.bench.core.host!.vfioGroups.get(0)!.users).toBe(1);
  });

  it('coherency is what the container says', () => {
    const b = kvmBench('groups', false);
    const { vfio } = vmOf(b);
    b.set(groupFd(b, '/dev/vfio/1', 20), 10);
    b.heard();
    expect([attribute(b, vfio, ADD, 20), told(b, 'noncoherent_dma')]).toEqual([0, '1\n']);
    expect(b.heard()).toEqual(['container.ready', 'container.extension']);
    expect([attribute(b, vfio, DEL, 20), told(b, 'noncoherent_dma')]).toEqual([0, '0\n']);
  });
});

it('a VM without its VFIO device makes another; the files of a device are not those of KVM', () => {
  const b = kvmBench();
  const { vm, vfio } = vmOf(b);
  const wanted = () => encode(kvm_create_device, { type: KVM_DEV_TYPE_VFIO });
  expect(b.call(vm, KVM_CREATE_DEVICE.nr, wanted()).errno).toBe('EBUSY');
  b.close(vfio);
  expect(b.call(vm, KVM_CREATE_DEVICE.nr, wanted()).errno).toBe(0);
  expect(b.bench.get(CLIENT, sysApi.pread, { token: vm, offset: 0, length: 1 })).toEqual({
    ok: false,
    errno: 'EINVAL',
  });
  expect(b.bench.get(CLIENT, sysApi.pwrite, { token: vfio, offset: 0, data: new Uint8Array(1) })).toEqual({
    ok: false,
    errno: 'EBADF',
  });
  expect(deviceApi.fileHold.clients).toBe(false);
});

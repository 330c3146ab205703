/**
 * Mistakes that random programs on VFIO found, each in its smallest form.
 */
import { type Address, CAP_SYS_RAWIO, decodeHeader, GROUPS, groupsApi, PAGES } from '@vfiolab/core';
import type { Process } from '@vfiolab/client';
import { machineNamed } from '@vfiolab/scenario';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  type Result,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_SET_IOMMU,
} from '@vfiolab/uapi';
import { TestHost } from '../../test-host.js';
import { lostByRestart } from '../restart.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1000';
const PCI = '/sys/bus/pci/devices';
const [PF, ENGINE] = ['0000:02:00.0', '0000:00:03.0'];

class Bench {
  private constructor(
    readonly host: TestHost,
    readonly p: Process,
  ) {}

  static async boot(machine: string): Promise<Bench> {
    const { topology, ...rest } = machineNamed(machine);
    const host = await TestHost.boot({ ...rest, machine: topology, profile: '7.2' });
    return new Bench(host, await host.process('program'));
  }

  async must<T>(work: Promise<Result<T>>): Promise<T> {
    const r = await this.host.run(work);
    if (!r.ok) throw new Error(`the test's own call failed: ${r.errno}`);
    return r.value;
  }

  /** Takes a function from its driver, or gives it to vfio-pci. */
  async toVfio(bdf: string): Promise<void> {
    await this.host.run(this.p.sysfsWrite(`${PCI}/${bdf}/driver/unbind`, bdf));
    await this.must(this.p.sysfsWrite(`${PCI}/${bdf}/driver_override`, 'vfio-pci'));
    await this.must(this.p.sysfsWrite('/sys/bus/pci/drivers_probe', bdf));
  }

  vfs(count: number): Promise<number> {
    return this.must(this.p.sysfsWrite(`${PCI}/${PF}/sriov_numvfs`, String(count)));
  }

  async groupOf(directory: string): Promise<string> {
    return (await this.must(this.p.readlink(`${directory}/iommu_group`))).split('/').pop()!;
  }

  lost(of: Address = GROUPS): string[] {
    return lostByRestart(of, this.host.host.actor(of)!.machine.core);
  }

  /** Counts of what somebody still holds. */
  left(): string[] {
    const { host } = this.host;
    return host.addresses().flatMap((address) => {
      const left = Object.entries(this.host.figures(address)).filter(([, n]) => n !== 0);
      return left.map(([name, n]) => `${address}: ${n} ${name}`);
    });
  }
}

it('a mediated device that is made while VFs come does not get the number of their group', async () => {
  for (let hops = 0; hops < 10; hops++) {
    const b = await Bench.boot('D-vtd-q11');
    const create = (): Promise<unknown> =>
      b.p.sysfsWrite('/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create', UUID);
    await b.host.together(() =>
      Promise.all([b.p.sysfsWrite(`${PCI}/${PF}/sriov_numvfs`, '2'), b.host.pause(hops * 0.1 + 0.01).then(create)]),
    );
    const groups = [`${PCI}/0000:02:00.1`, `${PCI}/0000:02:00.2`, `/sys/bus/mdev/devices/${UUID}`];
    const numbers = new Set<string>();
    for (const each of groups) numbers.add(await b.groupOf(each));
    expect([hops, numbers.size, b.host.broken()]).toEqual([hops, 3, []]);
  }
});

it('a restarted groups service knows the group of a VF that is gone, which somebody has open', async () => {
  const b = await Bench.boot('D-vtd-q11');
  await b.vfs(1);
  await b.toVfio('0000:02:00.1');
  await b.must(b.p.open(`/dev/vfio/${await b.groupOf(`${PCI}/0000:02:00.1`)}`));
  await b.vfs(0);
  expect(b.lost()).toEqual([]);
});

it('and which group is whose, whatever order they came in', async () => {
  const b = await Bench.boot('B-noiommu-type1');
  await b.must(b.p.sysfsWrite('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', '1'));
  await b.vfs(1);
  for (const bdf of [ENGINE, '0000:02:00.1']) await b.toVfio(bdf);
  expect(b.lost()).toEqual([]);
});

it('a last close that is heard of late is not taken from the users of the container that the group is in by then', async () => {
  const b = await Bench.boot('B-type1');
  const { p, host } = b;
  const path = `/dev/vfio/${await b.groupOf(`${PCI}/${ENGINE}`)}`;
  const [before, iommufd, container] = [
    await b.must(p.open(path)),
    await b.must(p.open('/dev/iommu')),
    await b.must(p.open('/dev/vfio/vfio')),
  ];
  await host.run(p.ioctlPlain(before, VFIO_GROUP_SET_CONTAINER, iommufd));
  const { ret: fd } = await host.run(p.ioctlPlain(before, VFIO_GROUP_GET_DEVICE_FD, ENGINE));
  let lost = false;
  host.host.watch((_from, to, frame, when) => {
    const first =
      when === 'leaving' && !lost && to === GROUPS && decodeHeader(frame).method === groupsApi.groupUnuse.id;
    lost ||= first;
    return first;
  });
  await host.together(async () => {
    const closing = p.close(fd);
    await p.close(before);
    const after = await p.open(path);
    if (after.ok) await p.ioctlPlain(after.value, VFIO_GROUP_SET_CONTAINER, container);
    await closing;
  });
  await host.run(p.exit());
  await host.run(p.link.ports.sleep(500));
  expect([lost, host.broken(), host.figures(GROUPS).ownedGroups]).toEqual([true, [], 0]);
});

it('a device is open though its last close is heard of late, after it was opened again', async () => {
  const b = await Bench.boot('B-type1');
  const { p, host } = b;
  const group = await b.must(p.open(`/dev/vfio/${await b.groupOf(`${PCI}/${ENGINE}`)}`));
  const container = await b.must(p.open('/dev/vfio/vfio'));
  await host.run(p.ioctlPlain(group, VFIO_GROUP_SET_CONTAINER, container));
  await host.run(p.ioctlPlain(container, VFIO_SET_IOMMU, 3));
  const open = () => p.ioctlPlain(group, VFIO_GROUP_GET_DEVICE_FD, ENGINE);
  const { ret: fd } = await host.run(open());
  let lost = false;
  host.host.watch((_from, to, frame, when) => {
    const first =
      when === 'leaving' && !lost && to === GROUPS && decodeHeader(frame).method === groupsApi.groupUnuse.id;
    lost ||= first;
    return first;
  });
  const [, again] = await host.together(() => Promise.all([p.close(fd), host.pause(1).then(open)]));
  expect([lost, again.errno, host.broken()]).toEqual([true, undefined, []]);
});

it('read(2) and write(2) of an eventfd move its eight bytes', async () => {
  const { p, must, host } = await Bench.boot('B-type1').then((b) => ({ p: b.p, host: b.host, must: b.must.bind(b) }));
  const fd = await must(p.eventfd());
  expect(await must(p.writeFile(fd, Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 9)))).toBe(8);
  expect([...(await must(p.readFile(fd, 100)))]).toEqual([3, 0, 0, 0, 0, 0, 0, 0]);
  expect(await host.run(p.readFile(fd, 8))).toEqual({ ok: false, errno: 'EAGAIN' });
  expect(await host.run(p.readFile(fd, 7))).toEqual({ ok: false, errno: 'EINVAL' });
  expect(await host.run(p.writeFile(fd, new Uint8Array(7)))).toEqual({ ok: false, errno: 'EINVAL' });
});

it('a thread closes files while another one forks', async () => {
  const b = await Bench.boot('B-type1');
  const { p, host } = b;
  for (let i = 0; i < 6; i++) await b.must(p.eventfd());
  const child = await host.process('child');
  const [forked] = await host.together(() =>
    Promise.all([p.fork(child), ...p.openFds.slice(1).map((fd) => p.close(fd))]),
  );
  expect(forked.ok).toBe(true);
  await host.run(p.exit());
  await host.run(child.exit());
  expect(host.broken()).toEqual([]);
});

it('what is granted to a process that ends meanwhile stays with nobody', async () => {
  const b = await Bench.boot('B-type1');
  const { host } = b;
  for (let hops = 0; hops < 24; hops++) {
    const [p, child] = [await host.process(`p${hops}`), await host.process(`child${hops}`)];
    const [cdev] = await b.must(p.listdir(`${PCI}/0000:00:04.0/vfio-dev`));
    const group = await b.groupOf(`${PCI}/${ENGINE}`);
    const paths = ['/dev/iommu', '/dev/vfio/vfio', `/dev/vfio/${group}`, `/dev/vfio/devices/${cdev}`];
    for (const path of paths) await b.must(p.open(path));
    await b.must(p.eventfd());
    const grants = () => Promise.all(p.openFds.slice(3).map((fd) => p.grant(fd, child)));
    await host.together(() => Promise.all([child.exit(), host.pause(hops * 0.05 + 0.01).then(grants)]));
    await host.run(p.exit());
  }
  await host.run(b.p.exit());
  expect(b.left()).toEqual([]);
});

it('a restarted pages service takes it that a limit was lowered below what is locked', async () => {
  const b = await Bench.boot('B-compat');
  const { host } = b;
  const p = await host.process('user', { uid: 0, caps: CAP_SYS_RAWIO, memlock: 1 << 20 });
  const iommufd = await b.must(p.open('/dev/iommu'));
  const { out_ioas_id } = (await host.run(p.ioctl(iommufd, IOMMU_IOAS_ALLOC))).out;
  const user_va = BigInt(await b.must(p.mmap(8192)));
  const area = { ioas_id: out_ioas_id, flags: 7, user_va, length: 8192n, iova: 0n };
  expect((await host.run(p.ioctl(iommufd, IOMMU_IOAS_MAP, area))).errno).toBeUndefined();
  const [cdev] = await b.must(p.listdir(`${PCI}/${ENGINE}/vfio-dev`));
  const device = await b.must(p.open(`/dev/vfio/devices/${cdev}`));
  await host.run(p.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd }));
  await host.run(p.ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: out_ioas_id }));
  await b.must(p.setMemlock(0));
  expect(host.figures(PAGES)['charges']).toBe(2);
  expect(b.lost(PAGES)).toEqual([]);
});

import { IOMMUFD } from '@vfiolab/core';
import {
  IOMMU_DESTROY,
  IOMMU_IOAS_MAP,
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  VFIO_DEVICE_GET_INFO,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  type PlainArg,
  type PlainIoctlDef,
} from '@vfiolab/uapi';
import { ALONE, type Bench, bench, FIRST, FIXED_RW, SIBLING } from '../testing/bench.js';

/** A group's file, and ioctls without a struct on it: the return value, or the errno. */
class Group {
  private constructor(
    private readonly b: Bench,
    readonly fd: number,
  ) {}

  static async of(b: Bench, bdf: string): Promise<Group> {
    const link = await b.host.run(b.p.readlink(`/sys/bus/pci/devices/${bdf}/iommu_group`));
    const id = link.ok ? link.value.replace(/.*\//, '') : '';
    const opened = await b.host.run(b.p.open(`/dev/vfio/${id}`));
    if (!opened.ok) throw new Error(`the group of ${bdf}: ${opened.errno}`);
    return new Group(b, opened.value);
  }

  private async call<A extends PlainArg>(def: PlainIoctlDef<string, A>, ...arg: unknown[]): Promise<number | string> {
    const { ret, errno } = await this.b.host.run(this.b.p.ioctlPlain(this.fd, def, ...(arg as never)));
    return errno ?? ret;
  }

  set = (fd = this.b.fd) => this.call(VFIO_GROUP_SET_CONTAINER, fd);
  unset = () => this.call(VFIO_GROUP_UNSET_CONTAINER);
  device = (bdf: string) => this.call(VFIO_GROUP_GET_DEVICE_FD, bdf);
  status = async () => (await this.b.host.run(this.b.p.ioctl(this.fd, VFIO_GROUP_GET_STATUS))).out.flags;
}

const contexts = (b: Bench): number => b.host.figures(IOMMUFD)['contexts']!;
const compat = async (b: Bench): Promise<number> =>
  (await b.ioctl(IOMMU_VFIO_IOAS, { op: IOMMU_VFIO_IOAS_GET })).out.ioas_id;

it('the first open binds and attaches: what was mapped is pinned then, and let go with the last close (b076)', async () => {
  const b = await bench();
  const group = await Group.of(b, FIRST);
  await group.set();
  await b.map(await compat(b), 0x100000n, 0x4000n, await b.memory(0x4000));
  expect(await b.pinnedKb()).toBe(0);
  const [one, two] = [await group.device(FIRST), await group.device(FIRST)] as [number, number];
  expect([typeof one, two > one, await b.pinnedKb()]).toEqual(['number', true, 16]);
  await b.close(one);
  expect(await b.pinnedKb()).toBe(16);
  await b.close(two);
  expect([await b.pinnedKb(), b.host.broken()]).toEqual([0, []]);
});

it('ENODEV: the IOAS was taken away before the device is opened; nothing stays bound', async () => {
  const b = await bench();
  const group = await Group.of(b, ALONE);
  await group.set();
  await b.errno(IOMMU_VFIO_IOAS, { op: IOMMU_VFIO_IOAS_CLEAR });
  expect(await group.device(ALONE)).toBe('ENODEV');
  expect(b.host.figures('groups')).toMatchObject({ ownedGroups: 0 });
  await group.unset();
  await group.set();
  expect(typeof (await group.device(ALONE))).toBe('number');
});

it('EADDRINUSE: what is mapped does not fit the device; nothing stays bound', async () => {
  const b = await bench();
  const group = await Group.of(b, ALONE);
  await group.set();
  const [ioas_id, user_va] = [await compat(b), await b.memory(0x1000)];
  // The window of MSIs.
  await b.errno(IOMMU_IOAS_MAP, { ioas_id, user_va, iova: 0xfee00000n, length: 0x1000n, flags: FIXED_RW });
  expect(await group.device(ALONE)).toBe('EADDRINUSE');
  expect([b.host.figures('groups')['ownedGroups'], b.host.broken()]).toEqual([0, []]);
});

it('the context lives as long as a group has it, then as long as a device is bound to it (E4)', async () => {
  const b = await bench();
  const [group, other] = [await Group.of(b, FIRST), await Group.of(b, ALONE)];
  expect([await group.set(), await other.set()]).toEqual([0, 0]);
  await b.close(b.fd);
  expect(contexts(b)).toBe(1);
  const dev = (await group.device(SIBLING)) as number;
  for (const each of [group, other]) await b.close(each.fd);
  expect(contexts(b)).toBe(1);
  expect((await b.host.run(b.p.ioctl(dev, VFIO_DEVICE_GET_INFO))).errno).toBeUndefined();
  await b.close(dev);
  expect([contexts(b), b.host.figures('groups')['ownedGroups'], b.host.broken()]).toEqual([0, 0, []]);
});

it('a device that is open outlives its group: UNSET and close succeed, the node opens again (b017, b018)', async () => {
  const b = await bench();
  const group = await Group.of(b, FIRST);
  await group.set();
  const dev = (await group.device(FIRST)) as number;
  expect([await group.unset(), await group.status()]).toEqual([0, 0]);
  expect(await group.device(SIBLING)).toBe('EINVAL');
  await b.close(group.fd);
  const again = await Group.of(b, FIRST);
  const second = await b.host.run(b.p.open('/dev/iommu'));
  expect(await again.set(second.ok ? second.value : -1)).toBe(0);
  expect([typeof (await again.device(FIRST)), await again.device(SIBLING)]).toEqual(['number', 'EPERM']);
  expect((await b.host.run(b.p.ioctl(dev, VFIO_DEVICE_GET_INFO))).errno).toBeUndefined();
  await b.host.run(b.p.exit());
  expect([contexts(b), b.host.broken()]).toEqual([0, []]);
});

it('the IOAS of a group is an object like others: destroyed, it is made anew for the next group', async () => {
  const b = await bench();
  const group = await Group.of(b, FIRST);
  await group.set();
  expect(await b.errno(IOMMU_DESTROY, { id: await compat(b) })).toBeUndefined();
  expect([await group.device(FIRST), await (await Group.of(b, ALONE)).set()]).toEqual(['ENODEV', 0]);
  expect(typeof (await group.device(FIRST))).toBe('number');
});

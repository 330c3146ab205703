/**
 * Capability 74: who has the nodes needs no privilege: a program of another user, without any capability, does all of it but
 * what asks for one (RLIMIT_MODE; devices without an IOMMU are capability 5).
 */
import { readFileSync } from 'node:fs';
import { TestHost } from '@vfiolab/sim';
import * as uapi from '@vfiolab/uapi';

const machine = readFileSync(new URL('../machines/imac-cometlake.json', import.meta.url), 'utf8');
const BDF = '0000:00:12.0';
const MEMLOCK = 64 * 1024;
const OPTION_RLIMIT_MODE = 0;
const SET = 0;

async function bench(vfioContainer: 'vfio' | 'iommufd') {
  const host = await TestHost.boot({ machine, vfioContainer });
  const [root, user] = [
    await host.process('root'),
    await host.process('user', { uid: 1000, caps: 0, memlock: MEMLOCK }),
  ];
  const value = <T>(r: uapi.Result<T>): T | string => (r.ok ? r.value : r.errno);
  const write = async (by: typeof root, path: string, data: string) => value(await host.run(by.sysfsWrite(path, data)));
  await write(root, `/sys/bus/pci/devices/${BDF}/driver/unbind`, BDF);
  await write(root, `/sys/bus/pci/devices/${BDF}/driver_override`, 'vfio-pci');
  await write(root, '/sys/bus/pci/drivers_probe', BDF);
  const link = value(await host.run(root.readlink(`/sys/bus/pci/devices/${BDF}/iommu_group`)));
  const [cdev] = value(await host.run(root.listdir(`/sys/bus/pci/devices/${BDF}/vfio-dev`))) as string[];
  const nodes = {
    group: `/dev/vfio/${link.replace(/.*\//, '')}`,
    cdev: `/dev/vfio/devices/${cdev}`,
    iommu: '/dev/iommu',
  };
  const open = async (path: string) => value(await host.run(user.open(path)));
  const give = async () => {
    for (const path of Object.values(nodes)) await host.run(root.chmod(path, 0o666));
  };
  const plain = async <A extends uapi.PlainArg>(fd: unknown, def: uapi.PlainIoctlDef<string, A>, ...arg: unknown[]) => {
    const { ret, errno } = await host.run(user.ioctlPlain(fd as number, def, ...(arg as never)));
    return errno ?? ret;
  };
  const memory = async (length: number) => BigInt(value(await host.run(user.mmap(length))) as number);
  return { host, root, user, nodes, open, give, plain, write, memory };
}

it.each(['vfio', 'iommufd'] as const)('74: by its group, containers by %s', async (vfioContainer) => {
  const b = await bench(vfioContainer);
  expect(await b.open(b.nodes.group)).toBe('EACCES');
  await b.give();
  const [group, container] = [await b.open(b.nodes.group), await b.open('/dev/vfio/vfio')];
  expect(await b.plain(group, uapi.VFIO_GROUP_SET_CONTAINER, container)).toBe(0);
  expect(await b.plain(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU)).toBe(0);
  const device = await b.plain(group, uapi.VFIO_GROUP_GET_DEVICE_FD, BDF);
  expect(typeof device).toBe('number');
  const vaddr = await b.memory(2 * MEMLOCK);
  const map = async (iova: bigint, size: number) => {
    const mapped = b.user.ioctl(container as number, uapi.VFIO_IOMMU_MAP_DMA, {
      flags: 3,
      vaddr,
      iova,
      size: BigInt(size),
    });
    return (await b.host.run(mapped)).errno;
  };
  expect([await map(0x100000n, MEMLOCK), await map(0x200000n, 4096)]).toEqual([undefined, 'ENOMEM']);
  const info = await b.host.run(b.user.ioctl(device as number, uapi.VFIO_DEVICE_GET_INFO));
  expect(info.errno).toBeUndefined();
  await b.host.run(b.user.exit());
  expect(b.host.broken()).toEqual([]);
});

it('74: by its cdev, but for RLIMIT_MODE', async () => {
  const b = await bench('vfio');
  expect([await b.open(b.nodes.cdev), await b.open(b.nodes.iommu)]).toEqual(['EACCES', 'EACCES']);
  await b.give();
  const [device, iommufd] = [(await b.open(b.nodes.cdev)) as number, (await b.open(b.nodes.iommu)) as number];
  const mode = { option_id: OPTION_RLIMIT_MODE, op: SET, val64: 1n };
  expect((await b.host.run(b.user.ioctl(iommufd, uapi.IOMMU_OPTION, mode))).errno).toBe('EPERM');
  const bound = b.user.ioctl(device, uapi.VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd });
  expect((await b.host.run(bound)).errno).toBeUndefined();
  const ioas = (await b.host.run(b.user.ioctl(iommufd, uapi.IOMMU_IOAS_ALLOC))).out.out_ioas_id;
  const attached = b.user.ioctl(device, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: ioas });
  expect((await b.host.run(attached)).errno).toBeUndefined();
});

it('74: what belongs to root stays root’s: drivers, parameters, modes', async () => {
  const b = await bench('vfio');
  for (const [path, data] of [
    ['/sys/bus/pci/drivers/vfio-pci/unbind', BDF],
    [`/sys/bus/pci/devices/${BDF}/driver_override`, 'x'],
    ['/sys/module/iommufd/parameters/allow_unsafe_interrupts', '1'],
  ] as const)
    expect([path, await b.write(b.user, path, data)]).toEqual([path, 'EACCES']);
  expect(await b.host.run(b.user.chmod(b.nodes.group, 0o666))).toEqual({ ok: false, errno: 'EPERM' });
});

/**
 * Capability 5: devices without an IOMMU go through their groups, with both kinds of containers (semantics A4).
 *
 * Rule: what a real kernel answers with a container of its own, and what with iommufd in its place, stands side by side.
 */
import { readFileSync } from 'node:fs';
import type { Process } from '@vfiolab/client';
import { TestHost } from '@vfiolab/sim';
import * as uapi from '@vfiolab/uapi';

const machine = readFileSync(new URL('../machines/imac-cometlake.json', import.meta.url), 'utf8');
const BDF = '0000:00:12.0';
const NODE = '/dev/vfio/noiommu-0';
const NO_CAPS = { uid: 1000, caps: 0, memlock: 1 << 20 };

interface Bench {
  readonly host: TestHost;
  readonly p: Process;
  /** The fd, or the errno. */
  open(path: string, by?: Process): Promise<number | string>;
  /** The return value, or the errno. */
  plain<A extends uapi.PlainArg>(
    fd: number,
    def: uapi.PlainIoctlDef<string, A>,
    ...arg: (string | number)[]
  ): Promise<number | string>;
  write(path: string, data: string): Promise<number | string>;
}

async function bench(vfioContainer: 'vfio' | 'iommufd', iommu = 'none'): Promise<Bench> {
  const host = await TestHost.boot({ machine, iommu, vfioContainer });
  const p = await host.process('program');
  const value = <T>(r: uapi.Result<T>): T | string => (r.ok ? r.value : r.errno);
  const write = async (path: string, data: string) => value(await host.run(p.sysfsWrite(path, data)));
  await write(`/sys/bus/pci/devices/${BDF}/driver/unbind`, BDF);
  await write(`/sys/bus/pci/devices/${BDF}/driver_override`, 'vfio-pci');
  return {
    host,
    p,
    write,
    open: async (path, by = p) => value(await host.run(by.open(path))),
    plain: async (fd, def, ...arg) => {
      const { ret, errno } = await host.run(p.ioctlPlain(fd, def, ...(arg as never)));
      return errno ?? ret;
    },
  };
}

const switchOn = async (b: Bench) => {
  await b.write('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', '1');
  await b.write('/sys/bus/pci/drivers/vfio-pci/bind', BDF);
};

describe.each([
  ['vfio', 'ENODEV', 'EINVAL', 'ENOTTY'],
  ['iommufd', 'EINVAL', 'fd', 'ENODEV'],
] as const)('5: a device without an IOMMU, containers by %s', (vfioContainer, otherType, before, map) => {
  it('is given out only when the switch is on, by one node', async () => {
    const b = await bench(vfioContainer);
    expect(await b.write('/sys/bus/pci/drivers/vfio-pci/bind', BDF)).toBe('EINVAL');
    await switchOn(b);
    const nodes = await b.host.run(b.p.listdir('/dev/vfio'));
    expect(nodes).toEqual({ ok: true, value: ['noiommu-0', 'vfio'] });
  });

  it('has a container that answers questions and maps nothing', async () => {
    const b = await bench(vfioContainer);
    await switchOn(b);
    const [container, group] = [await b.open('/dev/vfio/vfio'), await b.open(NODE)] as [number, number];
    const { VFIO_SET_IOMMU, VFIO_CHECK_EXTENSION, VFIO_GROUP_GET_DEVICE_FD } = uapi;
    expect(await b.plain(container, VFIO_SET_IOMMU, uapi.VFIO_NOIOMMU_IOMMU)).toBe('EINVAL');
    expect(await b.plain(group, VFIO_GROUP_GET_DEVICE_FD, BDF)).toBe('EINVAL');
    expect(await b.plain(group, uapi.VFIO_GROUP_SET_CONTAINER, container)).toBe(0);
    for (const type of [uapi.VFIO_TYPE1_IOMMU, uapi.VFIO_TYPE1v2_IOMMU])
      expect(await b.plain(container, VFIO_SET_IOMMU, type)).toBe(otherType);
    const early = await b.plain(group, VFIO_GROUP_GET_DEVICE_FD, BDF);
    expect(typeof early === 'number' ? 'fd' : early).toBe(before);
    expect(await b.plain(container, VFIO_SET_IOMMU, uapi.VFIO_NOIOMMU_IOMMU)).toBe(0);
    const extensions = [uapi.VFIO_TYPE1_IOMMU, uapi.VFIO_TYPE1v2_IOMMU, uapi.VFIO_NOIOMMU_IOMMU];
    const answers: unknown[] = [];
    for (const each of extensions) answers.push(await b.plain(container, VFIO_CHECK_EXTENSION, each));
    expect(answers).toEqual([0, 0, 1]);
    const va = await b.host.run(b.p.mmap(4096));
    const vaddr = BigInt(va.ok ? va.value : 0);
    const mapped = b.p.ioctl(container, uapi.VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr, iova: 0n, size: 4096n });
    expect((await b.host.run(mapped)).errno).toBe(map);

    const device = (await b.plain(group, VFIO_GROUP_GET_DEVICE_FD, BDF)) as number;
    const info = await b.host.run(b.p.ioctl(device, uapi.VFIO_DEVICE_GET_INFO));
    expect([info.errno, info.out.num_irqs]).toEqual([undefined, 5]);
    await b.host.run(b.p.exit());
    expect([
      b.host.broken(),
      b.host.figures('groups')['files'],
      b.host.figures(`device:${BDF.replace('.', '_')}`),
    ]).toEqual([[], 0, { files: 0, madeFiles: 0, bound: 0, heldEventfds: 0 }]);
  });

  it('EPERM without CAP_SYS_RAWIO, whatever the mode of the node (b081)', async () => {
    const b = await bench(vfioContainer);
    await switchOn(b);
    await b.host.run(b.p.chmod(NODE, 0o666));
    expect(await b.open(NODE, await b.host.process('other', NO_CAPS))).toBe('EPERM');
  });
});

it('5: with an iommufd, an IOAS that promises translation is refused, before and after (A4.2)', async () => {
  const b = await bench('iommufd');
  await switchOn(b);
  const SET = uapi.IOMMU_VFIO_IOAS_SET;
  const [container, group] = [await b.open('/dev/vfio/vfio'), await b.open(NODE)] as [number, number];
  const ioas = await b.host.run(b.p.ioctl(container, uapi.IOMMU_IOAS_ALLOC));
  const setIoas = () =>
    b.host.run(b.p.ioctl(container, uapi.IOMMU_VFIO_IOAS, { op: SET, ioas_id: ioas.out.out_ioas_id }));
  await setIoas();
  expect(await b.plain(group, uapi.VFIO_GROUP_SET_CONTAINER, container)).toBe('EINVAL');
  await b.host.run(b.p.ioctl(container, uapi.IOMMU_VFIO_IOAS, { op: uapi.IOMMU_VFIO_IOAS_CLEAR }));
  expect(await b.plain(group, uapi.VFIO_GROUP_SET_CONTAINER, container)).toBe(0);
  await setIoas();
  expect(await b.plain(group, uapi.VFIO_GROUP_GET_DEVICE_FD, BDF)).toBe('EPERM');
});

it('5: the switch changes nothing for a device with an IOMMU, and its container takes no noiommu (b082, b107)', async () => {
  const b = await bench('vfio', 'intel-vtd');
  await switchOn(b);
  const group = await b.host.run(b.p.readlink(`/sys/bus/pci/devices/${BDF}/iommu_group`));
  const node = `/dev/vfio/${group.ok ? group.value.replace(/.*\//, '') : ''}`;
  const [container, fd] = [await b.open('/dev/vfio/vfio'), await b.open(node)] as [number, number];
  expect(await b.plain(fd, uapi.VFIO_GROUP_SET_CONTAINER, container)).toBe(0);
  expect(await b.plain(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_NOIOMMU_IOMMU)).toBe('ENODEV');
  expect(await b.plain(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU)).toBe(0);
});

import { deviceAddress, GROUPS } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import {
  BRIDGED,
  ContainerLab,
  ENGINE,
  IOVA,
  NOTHING,
  PAGE,
  TYPE1,
  TYPE1_V2,
  type VfioProgram,
} from './support/container-lab.js';
import { attach, bind, create, openCdev, openGroup, pathOf, remove, TYPES, UUID } from './support/mdev.js';
import { moveTo, stateOf } from './support/migrating.js';
import { Device } from './support/passthrough.js';

const CONFIG = 7 * 2 ** 40;
const [RUNNING, STOP_COPY, RESUMING, PRE_COPY] = [2, 3, 4, 6];

/** The card as tests of migration see a device. */
const asDevice = (p: VfioProgram, fd: number): Device =>
  new Device(
    {
      host: p.lab.host,
      process: p.process,
      must: <T>(work: Promise<uapi.Result<T>>) => p.must(work),
      attempt: async <T>(work: Promise<uapi.Result<T>>) => ((r) => (r.ok ? r.value : r.errno))(await p.run(work)),
    } as never,
    fd,
  );

async function lab(machine: 'B-type1' | 'B-compat' = 'B-type1') {
  const l = await ContainerLab.boot({ machine });
  const p = await l.program('vmm');
  return { l, p };
}

async function iommufd(p: VfioProgram): Promise<{ fd: number; ioas: number }> {
  const fd = await p.must(p.process.open('/dev/iommu'));
  return { fd, ioas: (await p.ioctl(fd, uapi.IOMMU_IOAS_ALLOC)).out.out_ioas_id };
}

const mapIoas = async (p: VfioProgram, fd: number, ioas_id: number, length: bigint): Promise<string | undefined> => {
  const fields = { ioas_id, flags: 7, user_va: await p.memory(Number(length)), length, iova: IOVA };
  return (await p.ioctl(fd, uapi.IOMMU_IOAS_MAP, fields)).errno;
};

const pinnedKb = async (p: VfioProgram): Promise<number> => (await p.must(p.process.status())).vmPinnedKb;

it('47: made by UUID, in limited numbers; gone when nobody has it open', async () => {
  const { l, p } = await lab();
  expect([await create(p), await create(p), await create(p, 'mtty-2')]).toEqual([36, 'EEXIST', 'EEXIST']);
  expect(await p.must(p.process.sysfsRead(`${TYPES}/mtty-2/available_instances`))).toBe('11\n');
  const fd = await openCdev(p);
  const other = await l.program('other');
  let answer: number | string | undefined;
  const removing = other.process.sysfsWrite(`${pathOf()}/remove`, '1').then((r) => (answer = r.ok ? r.value : r.errno));
  await p.run(p.process.status());
  expect([answer, await create(p)]).toEqual([undefined, 'EEXIST']);
  expect((await p.run(p.process.readlink(`${pathOf()}/driver`))).ok).toBe(false);
  await p.close(fd);
  await p.run(removing);
  expect([answer, await create(p), await remove(p)]).toEqual([1, 36, 1]);
  expect(await l.afterwards(p, other)).toEqual(NOTHING);
});

it('47: to an iommufd it is an access: the IOAS itself, no HWPT, nothing pinned', async () => {
  const { l, p } = await lab();
  await create(p);
  const { fd: ifd, ioas } = await iommufd(p);
  expect(await mapIoas(p, ifd, ioas, 16384n)).toBeUndefined();
  const { fd, id } = await bind(p, ifd);
  expect([await attach(p, fd, 99), await attach(p, fd, ioas), await attach(p, fd, ioas)]).toEqual([
    'ENOENT',
    ioas,
    ioas,
  ]);
  expect(await pinnedKb(p)).toBe(0);
  const destroy = async (object: number) => (await p.ioctl(ifd, uapi.IOMMU_DESTROY, { id: object })).errno;
  expect([await destroy(ioas), await destroy(id)]).toEqual(['EBUSY', 'EBUSY']);
  const hwpt = await p.ioctl(ifd, uapi.IOMMU_HWPT_ALLOC, { dev_id: id, pt_id: ioas });
  const info = await p.ioctl(ifd, uapi.IOMMU_GET_HW_INFO, { dev_id: id });
  expect([hwpt.errno, info.errno]).toEqual(['ENOENT', 'ENOENT']);
  const second = (await p.ioctl(ifd, uapi.IOMMU_IOAS_ALLOC)).out.out_ioas_id;
  expect([await attach(p, fd, second), await destroy(ioas)]).toEqual([second, undefined]);
  const pasid = { argsz: 16, flags: 1, pt_id: second, pasid: 1 };
  expect((await p.ioctl(fd, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, pasid)).errno).toBe('EOPNOTSUPP');
  expect((await p.ioctl(fd, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, { argsz: 12 })).errno).toBeUndefined();
  expect(await destroy(second)).toBeUndefined();
  // The context lives as long as the card is bound to it.
  await p.close(ifd);
  expect(l.broken()).toEqual([]);
  await p.close(fd);
  expect([await remove(p), await l.afterwards(p)]).toEqual([1, NOTHING]);
});

it('30: a card and a PCI device on one IOAS: the same page, one pin', async () => {
  const { l, p } = await lab();
  await create(p);
  const { fd: ifd, ioas } = await iommufd(p);
  const card = await bind(p, ifd);
  expect(await attach(p, card.fd, ioas)).toBe(ioas);
  expect([await mapIoas(p, ifd, ioas, 8192n), await pinnedKb(p)]).toEqual([undefined, 0]);
  const engine = await bind(p, ifd, `/sys/bus/pci/devices/${ENGINE}`);
  expect(await attach(p, engine.fd, ioas)).not.toBe(ioas);
  expect(await pinnedKb(p)).toBe(8);
  await p.close(engine.fd);
  expect(await pinnedKb(p)).toBe(0);
  await p.close(card.fd);
  expect([await remove(p), await l.afterwards(p)]).toEqual([1, NOTHING]);
});

it('47: alone in a container it has mappings noted; with a PCI device they are pinned, and let go again', async () => {
  const { l, p } = await lab();
  await create(p);
  const [container, group] = [await p.container(), await openGroup(p)];
  expect([await p.setContainer(group, container), await p.setIommu(container, TYPE1_V2)]).toEqual([0, 0]);
  const vaddr = await p.memory(4 * PAGE, 7);
  expect(await p.map(container, { vaddr, iova: IOVA, size: BigInt(4 * PAGE) })).toBeUndefined();
  // Nothing narrows what may be mapped, and nobody looks at the memory.
  const last = (1n << 64n) - BigInt(PAGE);
  expect(await p.map(container, { vaddr: 0x1000n, iova: last, size: BigInt(PAGE) })).toBeUndefined();
  expect([await p.lockedKb(), await p.extension(container, uapi.VFIO_UPDATE_VADDR)]).toEqual([0, 0]);
  expect(await p.unmap(container, { flags: 4, iova: IOVA, size: BigInt(4 * PAGE) })).toBe('EBUSY');
  const card = (await p.device(group, UUID)) as number;
  expect([await p.device(group, `${UUID} `), typeof card]).toEqual(['ENODEV', 'number']);

  const engines = await p.group(ENGINE);
  expect(await p.setContainer(engines, container)).toBe('EINVAL');
  expect(await p.unmap(container, { iova: last, size: BigInt(PAGE) })).toBe(BigInt(PAGE));
  expect([await p.setContainer(engines, container), await p.lockedKb()]).toEqual([0, 16]);
  const engine = await p.engine(engines);
  await p.copy(engine, IOVA, IOVA + BigInt(PAGE) + 8n, 4);
  await p.must(p.process.munmap(engine.bar, 0x100000));
  await p.close(engine.fd);
  expect([await p.unsetContainer(engines), await p.lockedKb()]).toEqual([0, 0]);
  expect(l.broken()).toEqual([]);
  const ranges = (await p.info(container)).ranges;
  expect(ranges).toEqual([[0n, (1n << 64n) - 1n]]);
  expect(await p.unmap(container, { iova: IOVA, size: BigInt(4 * PAGE) })).toBe(BigInt(4 * PAGE));
  await p.close(card);
  expect([await p.unsetContainer(group), await remove(p), await l.afterwards(p)]).toEqual([0, 1, NOTHING]);
});

it('47: memory that cannot be pinned refuses the PCI device, and leaves the container as it was', async () => {
  const { l, p } = await lab();
  await create(p);
  const [container, group] = [await p.container(), await openGroup(p)];
  await p.setContainer(group, container);
  await p.setIommu(container, TYPE1);
  const good = { vaddr: await p.memory(PAGE), iova: IOVA, size: BigInt(PAGE) };
  expect(await p.map(container, good)).toBeUndefined();
  expect(await p.map(container, { vaddr: 0x1000n, iova: 2n * IOVA, size: BigInt(PAGE) })).toBeUndefined();
  const bridged = await p.group(BRIDGED);
  expect([await p.setContainer(bridged, container), await p.lockedKb()]).toEqual(['EFAULT', 0]);
  expect(l.broken()).toEqual([]);
  expect(await p.map(container, good)).toBe('EEXIST');
  // Its groups take the mappings along.
  expect(await p.unsetContainer(group)).toBe(0);
  expect([await remove(p), await l.afterwards(p)]).toEqual([1, NOTHING]);
});

it('47: with iommufd as its container it is bound through the group', async () => {
  const { l, p } = await lab('B-compat');
  await create(p);
  const [container, group] = [await p.container(), await openGroup(p)];
  expect([await p.setContainer(group, container), await p.setIommu(container, TYPE1_V2)]).toEqual([0, 0]);
  const area = { vaddr: await p.memory(PAGE), iova: IOVA, size: 2048n };
  expect(await p.map(container, area)).toBeUndefined();
  expect(await p.device(group, UUID)).toBe('EADDRINUSE');
  expect(await p.unmap(container, { iova: IOVA, size: 2048n })).toBe(2048n);
  const card = (await p.device(group, UUID)) as number;
  expect(await p.map(container, area)).toBe('EINVAL');
  await p.close(card);
  await p.close(group);
  expect([await remove(p), await l.afterwards(p)]).toEqual([1, NOTHING]);
});

it('47: config space, ports and interrupts', async () => {
  const { l, p } = await lab();
  await create(p, 'mtty-2');
  const { fd: ifd } = await iommufd(p);
  const { fd } = await bind(p, ifd);
  const read = async (at: number, n: number) => {
    const r = await p.run(p.process.pread(fd, at, n));
    return r.ok ? Buffer.from(r.value).toString('hex') : r.errno;
  };
  const write = async (at: number, ...bytes: number[]) => {
    const r = await p.run(p.process.pwrite(fd, at, Uint8Array.from(bytes)));
    return r.ok ? r.value : r.errno;
  };
  expect([await read(CONFIG + 0x10, 8), await read(CONFIG + 0x60, 4)]).toEqual(['0100000001000000', '50434920']);
  expect(await write(CONFIG + 0x10, 255, 255, 255, 255, 255, 255, 255, 255)).toBe(8);
  expect([await write(CONFIG + 0x3c, 9, 9), await write(CONFIG + 4, 7, 0)]).toEqual([2, 2]);
  expect([await read(CONFIG + 0x10, 8), await read(CONFIG + 0x3c, 2), await read(CONFIG + 4, 2)]).toEqual([
    'f9fffffff9ffffff',
    '0901',
    '0100',
  ]);
  expect([await read(6 * 2 ** 40, 1), await write(8 * 2 ** 40, 1), await read(9 * 2 ** 40, 0)]).toEqual([
    'EFAULT',
    'EFAULT',
    '',
  ]);
  expect((await p.run(p.process.mapDevice(fd, 0, PAGE))).ok).toBe(false);

  const device = asDevice(p, fd);
  const event = await p.must(p.process.eventfd());
  const irqs = (index: number, fds: readonly number[], flags = 0x24) => {
    const tail = new Uint8Array(Int32Array.from(fds).buffer);
    const fields = { argsz: 20 + tail.length, flags, index, start: 0, count: fds.length };
    return p.ioctl(fd, uapi.VFIO_DEVICE_SET_IRQS, fields, { tail }).then(({ errno }) => errno);
  };
  // The card has no interrupts before it was asked what it has.
  expect(await irqs(0, [event])).toBe('EINVAL');
  expect((await p.ioctl(fd, uapi.VFIO_DEVICE_GET_INFO, { argsz: 16 })).out).toMatchObject({ num_irqs: 5, flags: 2 });
  expect(await irqs(0, [99])).toBe('EBADF');
  expect([await irqs(0, [event]), await irqs(1, [event]), await irqs(2, [event])]).toEqual([
    undefined,
    'EINVAL',
    'ENOTTY',
  ]);
  await device.write(2 ** 40 + 1, 2n, 1);
  expect(await p.must(p.process.eventRead(event))).toBe(1n);
  // INTx masks itself.
  await device.write(2 ** 40 + 1, 2n, 1);
  const single = (flags: number, count = 1) =>
    p.ioctl(fd, uapi.VFIO_DEVICE_SET_IRQS, { argsz: 20, flags, index: 0, start: 0, count }).then(({ errno }) => errno);
  expect(await single(0x11)).toBeUndefined();
  await device.write(2 ** 40 + 1, 2n, 1);
  expect(await p.must(p.process.eventRead(event))).toBe(1n);
  expect([await single(0x21, 0), await irqs(1, [event]), await single(0x09)]).toEqual([undefined, undefined, 'EINVAL']);
  await p.close(fd);
  expect(l.held()).toMatchObject({ 'iommufd contexts': 1 });
  // The card is as it was left.
  const again = await bind(p, ifd);
  expect(Buffer.from(await p.must(p.process.pread(again.fd, CONFIG + 0x3c, 1))).toString('hex')).toBe('09');
  expect(l.host.figures(deviceAddress(UUID))).toMatchObject({ heldEventfds: 0 });
  await p.close(again.fd);
  expect([await remove(p), await l.afterwards(p)]).toEqual([1, NOTHING]);
});

it('47: migration from one card to another; its state outlives the last close', async () => {
  const { l, p } = await lab();
  const other = UUID.replace('1001', '1002');
  expect([await create(p), await create(p, 'mtty-1', other)]).toEqual([36, 36]);
  const { fd: ifd } = await iommufd(p);
  const [from, to] = [await bind(p, ifd), await bind(p, ifd, pathOf(other))].map(({ fd }) => asDevice(p, fd)) as [
    Device,
    Device,
  ];
  await p.must(p.process.pwrite(from.fd, 0, Uint8Array.of(0x41)));
  const saving = (await moveTo(from, PRE_COPY)) as number;
  expect(await moveTo(from, STOP_COPY)).toBe(-1);
  const bytes = await p.must(p.process.readFile(saving, 100));
  const resuming = (await moveTo(to, RESUMING)) as number;
  expect(await moveTo(to, RUNNING)).toBe('EINVAL');
  await p.must(p.process.writeFile(resuming, bytes));
  expect([await moveTo(to, RUNNING), bytes.length]).toEqual([-1, 60]);
  expect([...(await p.must(p.process.pread(to.fd, 0, 1)))]).toEqual([0x41]);

  await p.close(from.fd);
  const again = asDevice(p, (await bind(p, ifd)).fd);
  expect([await stateOf(again), await p.run(p.process.readFile(saving, 1))]).toMatchObject([
    STOP_COPY,
    { errno: 'ENODEV' },
  ]);
  expect((await p.run(p.process.ioctlAt(again.fd, uapi.VFIO_DEVICE_RESET.nr, 0, []))).errno).toBeUndefined();
  expect(await stateOf(again)).toBe(RUNNING);
  await p.close(again.fd);
  await p.close(to.fd);
  // Data fds outlive the cards; whoever holds them may die.
  expect([await remove(p), await remove(p, other)]).toEqual([1, 1]);
  expect(l.host.figures(GROUPS)).toMatchObject({ lingering: 2 });
  expect(await l.afterwards(p)).toEqual(NOTHING);
  expect(l.host.figures(GROUPS)).toMatchObject({ lingering: 0 });
  expect(l.host.figures(deviceAddress(UUID))).toMatchObject({ madeFiles: 0 });
});

it('47: a program that is killed leaves a card that another one can open', async () => {
  const { l, p } = await lab();
  await create(p);
  const { fd: ifd, ioas } = await iommufd(p);
  const { fd } = await bind(p, ifd);
  await attach(p, fd, ioas);
  await p.run(p.process.exit());
  expect(l.held()).toEqual({});
  const next = await l.program('next');
  const opened = await iommufd(next);
  expect((await bind(next, opened.fd)).id).toBe(2);
  expect(await l.afterwards(next)).toEqual(NOTHING);
});

/** Random use of /dev/iommu by those who have devices: address spaces, what is mapped, page tables, cdevs. */
import {
  decode,
  encode,
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_VFIO_IOAS,
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '@vfiolab/uapi';
import { enable } from './dma.js';
import { mapped, noteGoing, noteGone, noteMapped, range } from './memory-moves.js';
import type { IommufdFile, Space } from './model.js';
import { any, isOdd, likely, type Move } from './moves.js';
import type { Program } from './program.js';
import { RICH } from './rich-function.js';

const FIXED_RW = 7;
const FAULT_ID_VALID = 4;
const FAULT_RECORD = iommu_hwpt_pgfault.size;

async function openIommufd(p: Program): Promise<void> {
  const fd = await p.get(p.process.open('/dev/iommu'));
  if (fd === undefined) return;
  const made: IommufdFile = { fd, spaces: [], hwpts: [], devices: [] };
  p.model.iommufds.push(made);
  await newSpace(p, made);
}

async function newSpace(p: Program, of = p.chance.pick(p.model.iommufds)): Promise<void> {
  const { errno, out } = await p.ioctl(p.fdOr(of.fd), IOMMU_IOAS_ALLOC);
  if (!errno) of.spaces.push(p.model.newSpace(out.out_ioas_id));
}

/** An iommufd with a space, and one of its spaces. */
function somewhere(p: Program): [IommufdFile, Space] | undefined {
  const of = any(
    p.chance,
    p.model.iommufds.filter(({ spaces }) => spaces.length > 0),
  );
  return of && [of, p.chance.pick(of.spaces)];
}

async function map(p: Program): Promise<void> {
  const found = somewhere(p);
  if (!found) return;
  const [{ fd }, space] = found;
  const wanted = range(p);
  const flags = p.chance.once(8) ? p.chance.below(8) : FIXED_RW;
  const fields = { ioas_id: space.id, user_va: wanted.va, iova: wanted.iova, length: wanted.bytes, flags };
  const { spoils } = p.model;
  const other = p.fdOr(fd);
  const { errno, out } = await p.ioctl(other, IOMMU_IOAS_MAP, fields);
  if (!errno && p.hit(other, fd))
    noteMapped(space, { ...wanted, iova: out.iova }, flags === FIXED_RW, p.model.spoils === spoils);
}

async function mapFile(p: Program): Promise<void> {
  const found = somewhere(p);
  const file = any(p.chance, p.model.memfds);
  if (!found || file === undefined) return;
  const { iova, bytes: length } = range(p);
  const fields = { ioas_id: found[1].id, fd: file, start: 0n, iova, length, flags: FIXED_RW };
  const { errno } = await p.ioctl(found[0].fd, IOMMU_IOAS_MAP_FILE, fields);
  if (!errno) noteMapped(found[1], { iova, va: 0n, bytes: length }, false, false);
}

async function unmap(p: Program): Promise<void> {
  const found = somewhere(p);
  if (!found) return;
  const [{ fd }, space] = found;
  const all = p.chance.once(12);
  const { iova, bytes: length } = all ? { iova: 0n, bytes: (1n << 64n) - 1n } : mapped(p, space);
  const going = noteGoing(space, iova, length);
  const other = p.fdOr(fd);
  const { errno } = await p.ioctl(other, IOMMU_IOAS_UNMAP, { ioas_id: space.id, iova, length });
  if (!errno && p.hit(other, fd)) noteGone(space, going, iova, length);
}

async function copy(p: Program): Promise<void> {
  const [from, to] = [somewhere(p), somewhere(p)];
  if (!from || !to) return;
  const { va, iova, bytes: length } = mapped(p, from[1]);
  const dst_iova = range(p).iova;
  const ids = { src_ioas_id: from[1].id, dst_ioas_id: to[1].id };
  const fields = { ...ids, src_iova: iova, dst_iova, length, flags: FIXED_RW };
  const { errno } = await p.ioctl(from[0].fd, IOMMU_IOAS_COPY, fields);
  if (!errno && from[0] === to[0]) noteMapped(to[1], { iova: dst_iova, va, bytes: length }, false, false);
}

async function newTable(p: Program): Promise<void> {
  const found = somewhere(p);
  const dev_id = found && any(p.chance, found[0].devices);
  if (!found || dev_id === undefined) return;
  const flags = p.chance.pick([0, 0, 0, 1, 2, 8, 8, 15]);
  const { errno, out } = await p.ioctl(found[0].fd, IOMMU_HWPT_ALLOC, { dev_id, pt_id: found[1].id, flags });
  if (!errno) found[0].hwpts.push({ id: out.out_hwpt_id, space: found[1] });
}

/** A table whose missing pages a user answers for, and a function on it. */
async function newFaultTable(p: Program): Promise<void> {
  const found = somewhere(p);
  const device = found && p.model.devices.find((d) => d.name === RICH && d.iommufd === found[0]);
  if (!found || !device) return;
  const queue = await p.ioctl(found[0].fd, IOMMU_FAULT_QUEUE_ALLOC);
  if (queue.errno) return;
  p.model.queues.push(queue.out.out_fault_fd);
  const fields = { dev_id: device.id, pt_id: found[1].id, flags: FAULT_ID_VALID, fault_id: queue.out.out_fault_id };
  const { errno, out } = await p.ioctl(found[0].fd, IOMMU_HWPT_ALLOC, fields);
  if (errno) return;
  found[0].hwpts.push({ id: out.out_hwpt_id, space: found[1] });
  device.odd = true;
  await p.ioctl(device.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: out.out_hwpt_id });
}

/** Reads some requests and answers most of them. */
async function answerFaults(p: Program): Promise<void> {
  const { chance, process } = p;
  const fd = chance.pick(p.model.queues);
  const records = await p.get(process.readFile(fd, FAULT_RECORD * (1 + chance.below(3))));
  for (let at = 0; records && at + FAULT_RECORD <= records.length; at += FAULT_RECORD) {
    const { cookie } = decode(iommu_hwpt_pgfault, records.subarray(at, at + FAULT_RECORD));
    if (chance.once(5)) continue;
    await p.get(process.writeFile(fd, encode(iommu_hwpt_page_response, { cookie, code: chance.below(2) })));
  }
}

async function destroy(p: Program): Promise<void> {
  const { chance } = p;
  const of = chance.pick(p.model.iommufds);
  const ids = [...of.hwpts.map(({ id }) => id), ...of.spaces.map(({ id }) => id), ...of.devices];
  const id = any(chance, ids) ?? chance.below(6);
  const { errno } = await p.ioctl(of.fd, IOMMU_DESTROY, { id });
  if (errno) return;
  of.hwpts = of.hwpts.filter((each) => each.id !== id);
  of.spaces = of.spaces.filter((each) => each.id !== id);
}

async function ask(p: Program): Promise<void> {
  const { chance } = p;
  const { fd, spaces, devices, hwpts } = chance.pick(p.model.iommufds);
  const [space, hwpt, dev_id] = [any(chance, spaces), any(chance, hwpts), any(chance, devices)];
  switch (chance.below(6)) {
    case 0:
      await p.ioctl(fd, IOMMU_IOAS_IOVA_RANGES, { ioas_id: space?.id ?? 1, num_iovas: 0 });
      break;
    case 1:
      await p.ioctl(fd, IOMMU_GET_HW_INFO, { dev_id: dev_id ?? 1 });
      break;
    case 2:
      await p.ioctl(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id: hwpt?.id ?? 1, flags: chance.below(2) });
      break;
    case 3: {
      const { iova, bytes: length } = space ? mapped(p, space) : range(p);
      const fields = { iova, length, page_size: 4096n, data: new Uint8Array(64), flags: chance.below(2) };
      await p.ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, { hwpt_id: hwpt?.id ?? 1, ...fields });
      break;
    }
    case 4:
      await p.ioctl(fd, IOMMU_VFIO_IOAS, { op: chance.below(3), ioas_id: space?.id ?? 1 });
      break;
    default: {
      const option_id = chance.below(2);
      const object_id = option_id === 0 ? 0 : (space?.id ?? 1);
      await p.ioctl(fd, IOMMU_OPTION, { option_id, op: chance.below(2), object_id, val64: BigInt(chance.below(2)) });
    }
  }
}

/** Opens a cdev, and most of the time binds and attaches it. */
async function openDevice(p: Program): Promise<void> {
  const { chance, yard, process, model } = p;
  const name = chance.once(5) ? RICH : chance.pick(yard.names);
  const directory = `${name.includes('-') ? '/sys/bus/mdev' : '/sys/bus/pci'}/devices/${name}`;
  const [minor] = (await p.get(process.listdir(`${directory}/vfio-dev`))) ?? [];
  const fd = minor && (await p.get(process.open(`/dev/vfio/devices/${minor}`)));
  if (!minor || fd === undefined || fd === '') return;
  const members = (await p.get(process.listdir(`${directory}/iommu_group/devices`))) ?? [];
  const none = { group: undefined, iommufd: undefined, id: 0, space: undefined };
  model.devices.push({ fd, name, cdev: true, ...none, alone: members.length === 1, odd: isOdd(p, name) });
  if (chance.once(6)) return;
  if (model.iommufds.length === 0) await openIommufd(p);
  await bind(p, fd);
  await attach(p, fd);
  if (somewhere(p)) for (let i = 0; i < 2; i++) await map(p);
}

async function bind(p: Program, fd: number): Promise<void> {
  const device = p.model.devices.find((each) => each.fd === fd);
  const to = any(p.chance, p.model.iommufds);
  if (!device || !to) return;
  const fields = { argsz: 16, iommufd: p.fdOr(to.fd) };
  const other = p.fdOr(fd);
  const { errno, out } = await p.ioctl(other, VFIO_DEVICE_BIND_IOMMUFD, fields);
  if (errno || !p.hit(other, fd) || !p.hit(fields.iommufd, to.fd)) return;
  device.iommufd = to;
  device.id = out.out_devid;
  to.devices.push(out.out_devid);
  await enable(p, device);
}

/** Those that programs like; not all of them can be. */
export const PASIDS = [0, 1, 1, 5, 0xfffff, 0x100000];

async function attach(p: Program, fd: number): Promise<void> {
  const { chance } = p;
  const device = p.model.devices.find((each) => each.fd === fd);
  const of = device?.iommufd ?? any(chance, p.model.iommufds);
  if (!device || !of) return;
  const spaces = [...of.hwpts, ...of.spaces.map((space) => ({ id: space.id, space }))];
  const to = any(chance, spaces);
  const pt_id = to && !chance.once(25) ? to.id : chance.below(8);
  if (chance.once(device.name === RICH ? 2 : 8)) {
    const fields = { argsz: 16, flags: 1, pt_id, pasid: chance.pick(PASIDS) };
    return void (await p.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, fields));
  }
  const known = device.space;
  device.space = undefined;
  const other = p.fdOr(fd);
  const { errno } = await p.ioctl(other, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id });
  if (!errno && !p.hit(other, fd)) return;
  device.space = errno ? known : pt_id === to?.id ? to.space : undefined;
}

async function detach(p: Program): Promise<void> {
  const { chance, model } = p;
  const device = likely(chance, model.devices, ({ space }) => space !== undefined);
  if (chance.once(5)) {
    const fields = { argsz: 12, flags: 1, pasid: chance.pick(PASIDS) };
    return void (await p.ioctl(device.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, fields));
  }
  if (device.cdev) device.space = undefined;
  await p.ioctl(p.fdOr(device.fd), VFIO_DEVICE_DETACH_IOMMUFD_PT, { argsz: 8 });
}

const has: Move['has'] = ({ iommufds }) => iommufds.length > 0;
const hasDevice: Move['has'] = ({ devices }) => devices.some(({ cdev }) => cdev);
const hasRich: Move['has'] = ({ devices }) =>
  devices.some(({ name, iommufd }) => name === RICH && iommufd !== undefined);
/** Bound ones, or those that are not. */
const cdev = (p: Program, bound: boolean): number => {
  const cdevs = p.model.devices.filter((d) => d.cdev);
  return likely(p.chance, cdevs, ({ iommufd }) => (iommufd !== undefined) === bound).fd;
};

export const IOMMUFD_MOVES: readonly Move[] = [
  { name: 'open iommufd', weight: 4, has: ({ iommufds }) => iommufds.length < 3, run: openIommufd },
  { name: 'ioas', weight: 3, has, run: (p) => newSpace(p) },
  { name: 'ioas map', weight: 10, has, run: map },
  { name: 'ioas map file', weight: 2, has, run: mapFile },
  { name: 'ioas unmap', weight: 5, has, run: unmap },
  { name: 'ioas copy', weight: 3, has, run: copy },
  { name: 'hwpt', weight: 4, has, run: newTable },
  { name: 'fault table', weight: 3, has: hasRich, run: newFaultTable },
  { name: 'answer faults', weight: 4, has: ({ queues }) => queues.length > 0, run: answerFaults },
  { name: 'destroy', weight: 3, has, run: destroy },
  { name: 'iommufd ask', weight: 4, has, run: ask },
  { name: 'cdev', weight: 9, has: ({ devices }) => devices.length < 6, run: openDevice },
  { name: 'bind', weight: 2, has: hasDevice, run: (p) => bind(p, cdev(p, false)) },
  { name: 'attach', weight: 6, has: hasDevice, run: (p) => attach(p, cdev(p, true)) },
  { name: 'detach', weight: 2, has: hasDevice, run: detach },
];

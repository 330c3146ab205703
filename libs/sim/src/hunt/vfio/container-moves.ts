/** Random use of groups and containers: type1, SPAPR, no IOMMU, or iommufd in their place. */
import {
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  encode,
  vfio_iommu_type1_dirty_bitmap_get,
} from '@vfiolab/uapi';
import { enable } from './dma.js';
import { mapped, noteGoing, noteGone, noteMapped, range } from './memory-moves.js';
import type { ContainerFile, GroupFile } from './model.js';
import { any, hasBackend, isOdd, likely, type Move } from './moves.js';
import type { Program } from './program.js';
import { register } from './spapr-moves.js';

const RW = 3;

async function openContainer(p: Program): Promise<ContainerFile | undefined> {
  const fd = await p.get(p.process.open('/dev/vfio/vfio'));
  return fd === undefined ? undefined : adopt(p, fd);
}

/** Also an open /dev/iommu may be one. */
function adopt(p: Program, fd: number): ContainerFile {
  const made = { fd, space: p.model.newSpace(0), groups: [], type: 0, registered: [], windows: [] };
  p.model.containers.push(made);
  return made;
}

async function openGroup(p: Program, device = p.chance.pick(p.yard.names)): Promise<GroupFile | undefined> {
  const { chance, yard, process } = p;
  const directory = `${device.includes('-') ? '/sys/bus/mdev' : '/sys/bus/pci'}/devices/${device}/iommu_group`;
  const link = await p.get(process.readlink(directory));
  if (link === undefined) return undefined;
  const members = (await p.get(process.listdir(`${directory}/devices`))) ?? [];
  const number = link.split('/').pop()!;
  const name = (yard.exposed && !device.includes('-')) !== chance.once(30) ? `noiommu-${number}` : number;
  const fd = await p.get(process.open(`/dev/vfio/${name}`));
  if (fd === undefined) return undefined;
  const group: GroupFile = { fd, members, container: undefined };
  p.model.groups.push(group);
  return group;
}

async function setContainer(p: Program): Promise<void> {
  const { chance, model } = p;
  const group = likely(chance, model.groups, ({ container }) => !container);
  const iommufd = any(chance, model.iommufds);
  const container =
    iommufd && (model.containers.length === 0 || chance.once(6))
      ? (model.containers.find(({ fd }) => fd === iommufd.fd) ?? adopt(p, iommufd.fd))
      : any(chance, model.containers);
  if (container) await putInto(p, group, container);
}

async function putInto(p: Program, group: GroupFile, container: ContainerFile): Promise<boolean> {
  const fd = p.fdOr(container.fd);
  const { errno } = await p.plain(group.fd, VFIO_GROUP_SET_CONTAINER, fd);
  if (errno || !p.hit(fd, container.fd)) return false;
  group.container = container;
  container.groups.push(group);
  return true;
}

async function unsetContainer(p: Program): Promise<void> {
  const group = p.chance.pick(p.model.groups);
  const { errno } = await p.plain(group.fd, VFIO_GROUP_UNSET_CONTAINER);
  const { container } = group;
  if (errno || !container) return;
  leave(container, group);
  group.container = undefined;
}

/** The last group takes everything along. */
function leave(container: ContainerFile, group: GroupFile): void {
  container.groups = container.groups.filter((each) => each !== group);
  if (container.groups.length > 0) return;
  Object.assign(container, { type: 0, registered: [], windows: [] });
  Object.assign(container.space, { maps: [], gone: [] });
}

function typeFor(p: Program): number {
  const { chance, yard } = p;
  if (chance.once(12)) return chance.below(12);
  if (yard.power) return chance.pick([VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU]);
  if (yard.exposed) return chance.pick([VFIO_NOIOMMU_IOMMU, VFIO_NOIOMMU_IOMMU, VFIO_TYPE1v2_IOMMU]);
  return chance.pick([VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_TYPE1v2_IOMMU]);
}

async function setIommu(p: Program): Promise<void> {
  const { chance, model } = p;
  const container = likely(chance, model.containers, ({ groups, type }) => groups.length > 0 && type === 0);
  await choose(p, container);
}

async function choose(p: Program, container: ContainerFile): Promise<void> {
  const { chance } = p;
  const type = typeFor(p);
  const fd = p.fdOr(container.fd);
  const { errno } = await p.plain(fd, VFIO_SET_IOMMU, type);
  if (errno || !p.hit(fd, container.fd)) return;
  container.type = type;
  if (type === VFIO_SPAPR_TCE_IOMMU && !chance.once(4)) await p.plain(container.fd, VFIO_IOMMU_ENABLE);
}

/** A device through its group, ready for DMA; most of the time one that is in a container with a backend. */
async function openDevice(p: Program): Promise<void> {
  const { chance, model } = p;
  const free = ({ container, members }: GroupFile): boolean =>
    (container?.type ?? 0) !== 0 && !model.devices.some(({ name }) => members.includes(name));
  const group = likely(chance, model.groups, free);
  await openIn(p, group);
}

async function openIn(p: Program, group: GroupFile): Promise<void> {
  const { chance, model, process } = p;
  const name = chance.once(25) ? chance.pick(p.yard.names) : (any(chance, group.members) ?? 'nothing');
  const token = chance.once(20) ? ' vf_token=2ab74924-c335-45f4-9b16-8569e5b08258' : '';
  const { ret: fd, errno } = await p.plain(p.fdOr(group.fd), VFIO_GROUP_GET_DEVICE_FD, name + token);
  if (errno) return;
  const of = { iommufd: undefined, id: 0, space: group.container?.space, alone: group.members.length === 1 };
  const device = { fd, name, cdev: false, group, ...of, odd: isOdd(p, name) };
  model.devices.push(device);
  if (process.kindOf(fd) === 'device') await enable(p, device);
}

async function map(p: Program): Promise<void> {
  const { chance } = p;
  const container = likely(chance, p.model.containers, hasBackend);
  await mapIn(p, container);
}

async function mapIn(p: Program, container: ContainerFile): Promise<void> {
  const { chance } = p;
  const { space, type, registered } = container;
  const wanted = range(p);
  const inside = type === VFIO_SPAPR_TCE_v2_IOMMU && any(chance, registered);
  const made = inside && !chance.once(10) ? { ...wanted, ...inside } : wanted;
  const flags = chance.once(8) ? chance.below(9) : RW;
  const { iova, va: vaddr, bytes: size } = made;
  const { spoils } = p.model;
  const fd = p.fdOr(container.fd);
  const { ret, errno } = await p.ioctl(fd, VFIO_IOMMU_MAP_DMA, { flags, vaddr, iova, size });
  // SPAPR answers 1 for an IOVA that is on no page, and maps nothing.
  if (!errno && ret === 0 && p.hit(fd, container.fd) && (flags & VFIO_DMA_MAP_FLAG_VADDR) === 0)
    noteMapped(space, made, flags === RW, p.model.spoils === spoils);
}

async function unmap(p: Program): Promise<void> {
  const { chance } = p;
  const container = likely(chance, p.model.containers, hasBackend);
  const { space } = container;
  const all = chance.once(12);
  const { iova, bytes: size } = all ? { iova: 0n, bytes: 0n } : mapped(p, space);
  const flags = all ? VFIO_DMA_UNMAP_FLAG_ALL : chance.once(15) ? VFIO_DMA_UNMAP_FLAG_VADDR : 0;
  const [start, bytes] = all ? [0n, 1n << 64n] : [iova, size];
  const going = flags === VFIO_DMA_UNMAP_FLAG_VADDR ? [] : noteGoing(space, start, bytes);
  const fd = p.fdOr(container.fd);
  const { ret, errno } = await p.ioctl(fd, VFIO_IOMMU_UNMAP_DMA, { flags, iova, size });
  if (!errno && ret === 0 && p.hit(fd, container.fd)) noteGone(space, going, start, bytes);
  else for (const m of going) m.stale = true;
}

async function dirtyPages(p: Program): Promise<void> {
  const { chance, model, yard } = p;
  const container = likely(chance, model.containers, hasBackend);
  const flags = chance.pick([1, 1, 2, 4, 4, 3]);
  const { iova, bytes: size } = mapped(p, container.space);
  const bitmap = { pgsize: BigInt(yard.page), size: 8n, data: BigInt(any(chance, model.memory)?.va ?? 0) };
  const tail = flags === 4 ? encode(vfio_iommu_type1_dirty_bitmap_get, { iova, size, bitmap } as never) : undefined;
  await p.ioctl(container.fd, VFIO_IOMMU_DIRTY_PAGES, { flags }, tail && { tail });
}

async function ask(p: Program): Promise<void> {
  const { chance, model, yard } = p;
  const group = any(chance, model.groups);
  if (group && chance.once(3)) return void (await p.ioctl(p.fdOr(group.fd), VFIO_GROUP_GET_STATUS));
  const fd = any(chance, model.containers)?.fd ?? group?.fd;
  if (fd === undefined) return;
  if (chance.once(2)) await p.plain(p.fdOr(fd), VFIO_CHECK_EXTENSION, chance.below(12));
  else if (yard.power) await p.ioctl(fd, VFIO_IOMMU_SPAPR_TCE_GET_INFO);
  else await p.ioctl(p.fdOr(fd), VFIO_IOMMU_GET_INFO, {}, { room: chance.pick([0, 64, 1000]) });
}

/** All that a program needs to let a device do DMA through its group. */
async function bringUp(p: Program): Promise<void> {
  const { chance, model } = p;
  const group = await openGroup(p);
  const container = group && (oneMore(p) ?? (await openContainer(p)));
  if (!container || !(await putInto(p, group, container))) return;
  if (container.type === 0) await choose(p, container);
  if (p.yard.power && container.type === VFIO_SPAPR_TCE_v2_IOMMU) await register(p, container);
  for (let i = 0; i < 2; i++) await mapIn(p, container);
  if (model.groups.includes(group) && !chance.once(8)) await openIn(p, group);
}

/** A container that takes one group more. */
const oneMore = (p: Program): ContainerFile | undefined =>
  p.chance.once(2) ? any(p.chance, p.model.containers) : undefined;

const hasContainer: Move['has'] = ({ containers }) => containers.length > 0;
const hasGroup: Move['has'] = ({ groups }) => groups.length > 0;

export const CONTAINER_MOVES: readonly Move[] = [
  { name: 'container device', weight: 14, has: ({ groups }) => groups.length < 3, run: bringUp },
  { name: 'open container', weight: 5, has: ({ containers }) => containers.length < 3, run: openContainer },
  { name: 'open group', weight: 10, has: ({ groups }) => groups.length < 4, run: openGroup },
  { name: 'set container', weight: 12, has: hasGroup, run: setContainer },
  { name: 'unset container', weight: 2, has: hasGroup, run: unsetContainer },
  { name: 'set iommu', weight: 8, has: hasContainer, run: setIommu },
  { name: 'group device', weight: 10, has: hasGroup, run: openDevice },
  { name: 'container map', weight: 12, has: hasContainer, run: map },
  { name: 'container unmap', weight: 6, has: hasContainer, run: unmap },
  { name: 'container dirty', weight: 3, has: hasContainer, run: dirtyPages },
  { name: 'container ask', weight: 4, run: ask },
];

/**
 * The state of iommufd contexts as bytes.
 *
 * Rule: references are written as ids and put together again in a second step; the view `meaning` leaves out numbers that
 * other services chose (stores, domains).
 */
import { type ByteReader, type ByteWriter, type DomainInfo, type View } from '@vfiolab/core';
import { decodeAccess, encodeAccess } from './access-state.js';
import {
  BoundDevice,
  Context,
  isAccess,
  isDevice,
  isFaultQueue,
  isHwpt,
  isHwQueue,
  isIoas,
  isMockObject,
  isNested,
  isVdevice,
  isVeventQueue,
  isViommu,
} from './context.js';
import { FaultQueue } from './fault-queue.js';
import { decodeFaults, encodeFaults } from './fault-state.js';
import { PagingHwpt } from './hwpt.js';
import { type Area, Ioas, sourceOf } from './ioas.js';
import { type Hwpt, NestedHwpt } from './nested-hwpt.js';
import type { IommufdObject, ObjectType } from './objects.js';
import { MockObject } from './selftest/mock-object.js';
import { encodeStore, type KnownStores } from './store-state.js';
import type { Viommu } from './viommu.js';
import {
  decodeHwQueue,
  decodeVdevice,
  decodeVeventQueue,
  decodeViommu,
  encodeHwQueue,
  encodeVdevice,
  encodeVeventQueue,
  encodeViommu,
} from './viommu-state.js';

type Objects = readonly IommufdObject[];
/** What others refer to comes first. */
const TYPES: readonly ObjectType[] = [
  'ioas',
  'device',
  'fault',
  'hwpt',
  'viommu',
  'nested',
  'vdevice',
  'veventq',
  'access',
  'hwqueue',
  'selftest',
];
const inTypeOrder = (objects: Objects): IommufdObject[] =>
  TYPES.flatMap((type) => objects.filter((o) => o.type === type));

export function encodeContext(w: ByteWriter, c: Context, view: View): void {
  if (view === 'snapshot') w.num(c.id);
  w.u64(c.page);
  w.u8(c.rlimitMode);
  w.bool(c.fileOpen);
  w.u32(c.groups);
  w.bool(c.noiommu);
  w.u32(c.compatIoas?.id ?? 0);
  const groups = [...c.igroups.values()].sort((a, b) => a.id - b.id);
  w.list(groups, (g) => {
    w.u32(g.id);
    w.list(g.members, (bdf) => w.str(bdf));
  });
  w.list(inTypeOrder(c.objects.all()), (o) => encodeObject(w, o, view));
  w.list(groups, (g) => {
    w.u32(g.hwpt?.id ?? 0);
    w.list(g.attached, (d) => encodeAttached(w, d));
    w.list(g.pasids, ({ pasid, device, hwpt }) => (w.u32(pasid), w.u32(device.id), w.u32(hwpt.id)));
  });
  w.list(c.objects.tombstones, (id) => w.u32(id));
  w.list(c.objects.all().filter(isFaultQueue), (queue) => encodeFaults(w, queue));
}

function encodeObject(w: ByteWriter, o: IommufdObject, view: View): void {
  w.str(o.type);
  w.u32(o.id);
  w.u32(o.users);
  if (isIoas(o)) encodeIoas(w, o, view);
  else if (isHwpt(o)) encodeHwpt(w, o, view);
  else if (isNested(o)) encodeNested(w, o, view);
  else if (isDevice(o)) encodeDevice(w, o);
  else if (isFaultQueue(o)) w.bool(o.fileOpen);
  else if (isAccess(o)) encodeAccess(w, o);
  else if (isMockObject(o)) w.u32(o.device.id);
  else if (isViommu(o)) encodeViommu(w, o);
  else if (isVdevice(o)) encodeVdevice(w, o);
  else if (isVeventQueue(o)) encodeVeventQueue(w, o);
  else if (isHwQueue(o)) encodeHwQueue(w, o, view);
}

/** With the way that its events take. */
function encodeAttached(w: ByteWriter, { id, route }: BoundDevice): void {
  w.u32(id);
  w.u32(route?.viommu.id ?? 0);
  w.u64(route?.virtId ?? 0n);
}

function decodeAttached(r: ByteReader, c: Context): BoundDevice {
  const device = c.objects.get(r.u32()) as BoundDevice;
  const [viommu, virtId] = [c.objects.get(r.u32()) as Viommu | undefined, r.u64()];
  device.route = viommu && { viommu, virtId };
  return device;
}

function encodeDevice(w: ByteWriter, { bdf, igroup, mock, noiommu }: BoundDevice): void {
  w.str(bdf);
  w.u32(igroup.id);
  w.bool(mock);
  w.bool(noiommu);
}

function encodeIoas(w: ByteWriter, ioas: Ioas, view: View): void {
  w.u64(ioas.alignment);
  w.bool(ioas.hugePages);
  w.list([...ioas.areas], (a) => encodeArea(w, a, view));
  w.list([...ioas.reserved].sort(byStartThenOwner), (r) => (w.u64(r.start), w.u64(r.last), w.str(r.owner)));
  w.list(ioas.allowed, (a) => (w.u64(a.start), w.u64(a.last)));
}

const byStartThenOwner = (a: { start: bigint; owner: string }, b: { start: bigint; owner: string }): number =>
  a.start < b.start ? -1 : a.start > b.start ? 1 : a.owner < b.owner ? -1 : 1;

function encodeArea(w: ByteWriter, a: Area, view: View): void {
  w.u64(a.start);
  w.u64(a.last);
  w.u64(a.startByte);
  w.u8(a.prot);
  w.bool(a.closedToAccesses);
  if (view === 'meaning') w.str(a.state);
  const { store } = a;
  // An area that is being built has no store yet; a snapshot is never taken then.
  if (!store) return;
  encodeStore(w, store, view);
  if (view === 'snapshot') w.u32(a.covers);
}

function encodeHwpt(w: ByteWriter, { ioas, auto, domain, flags, fault, mock, noiommu }: PagingHwpt, view: View): void {
  w.u32(ioas.id);
  w.bool(auto);
  w.u32(flags);
  w.u32(fault?.id ?? 0);
  w.bool(mock);
  w.bool(noiommu);
  w.u8(domain.granule);
  w.u64(domain.first);
  w.u64(domain.last);
  w.u64(domain.pageSizes);
  w.bool(domain.coherent);
  w.u32(domain.unit);
  if (view === 'snapshot') w.u32(domain.domain);
}

function encodeNested(w: ByteWriter, hwpt: NestedHwpt, view: View): void {
  const { parent, domainId, fault, flags, viommu, needsId } = hwpt;
  w.u32(parent.id);
  w.u32(flags);
  w.bool(needsId);
  w.u32(viommu?.id ?? 0);
  w.u32(fault?.id ?? 0);
  if (view === 'snapshot') w.u32(domainId);
}

export function decodeContext(r: ByteReader, stores: KnownStores): Context {
  const c = new Context(r.num(), r.u64());
  c.rlimitMode = r.u8();
  c.fileOpen = r.bool();
  c.groups = r.u32();
  c.noiommu = r.bool();
  const compatIoas = r.u32();
  const groups = r.list(() =>
    c.igroup(
      r.u32(),
      r.list(() => r.str()),
    ),
  );
  r.list(() => c.objects.restore(decodeObject(r, c, stores)));
  for (const hwpt of c.objects.all().filter(isHwpt)) hwpt.ioas.hwpts.push(hwpt);
  r.u32();
  for (const g of groups) {
    g.hwpt = c.objects.get(r.u32()) as Hwpt | undefined;
    g.attached = r.list(() => decodeAttached(r, c));
    g.pasids = r.list(() => ({
      pasid: r.u32(),
      device: c.objects.get(r.u32()) as BoundDevice,
      hwpt: c.objects.get(r.u32()) as Hwpt,
    }));
  }
  r.list(() => c.objects.restoreTombstone(r.u32()));
  c.compatIoas = c.objects.get(compatIoas) as Ioas | undefined;
  const queues = c.objects.all().filter(isFaultQueue);
  r.u32();
  for (const queue of queues) decodeFaults(r, queue, c);
  return c;
}

function decodeObject(r: ByteReader, c: Context, stores: KnownStores): IommufdObject {
  const type = r.str();
  const id = r.u32();
  const users = r.u32();
  const o = type === 'ioas' ? decodeIoas(r, c, stores) : decoders[type as Exclude<ObjectType, 'ioas'>](r, c);
  o.id = id;
  o.users = users;
  return o;
}

const decoders: Record<Exclude<ObjectType, 'ioas'>, (r: ByteReader, c: Context) => IommufdObject> = {
  hwpt: decodeHwpt,
  nested: decodeNested,
  device: decodeDevice,
  access: decodeAccess,
  viommu: decodeViommu,
  vdevice: decodeVdevice,
  veventq: decodeVeventQueue,
  hwqueue: decodeHwQueue,
  fault: (r) => Object.assign(new FaultQueue(), { fileOpen: r.bool() }),
  selftest: (r, c) => Object.assign(new MockObject(), { device: c.objects.get(r.u32()) as BoundDevice }),
};

function decodeIoas(r: ByteReader, { page }: Context, stores: KnownStores): Ioas {
  const ioas = new Ioas(page);
  ioas.alignment = r.u64();
  ioas.hugePages = r.bool();
  r.list(() => ioas.areas.insert(decodeArea(r, stores)));
  ioas.reserved = r.list(() => ({ start: r.u64(), last: r.u64(), owner: r.str() }));
  ioas.allowed = r.list(() => ({ start: r.u64(), last: r.u64() }));
  return ioas;
}

function decodeArea(r: ByteReader, stores: KnownStores): Area {
  const [start, last, startByte, prot, closedToAccesses] = [r.u64(), r.u64(), r.u64(), r.u8(), r.bool()];
  const store = stores.decode(r);
  const counts = { covers: r.u32(), accesses: 0, locks: 0 };
  return {
    start,
    last,
    source: sourceOf(store, startByte),
    startByte,
    prot,
    store,
    state: 'live',
    ...counts,
    closedToAccesses,
  };
}

function decodeHwpt(r: ByteReader, c: Context): PagingHwpt {
  const ioas = c.objects.get(r.u32()) as Ioas;
  const [auto, flags, fault, mock, noiommu] = [r.bool(), r.u32(), r.u32(), r.bool(), r.bool()];
  const [granule, first, last, pageSizes, coherent] = [r.u8(), r.u64(), r.u64(), r.u64(), r.bool()];
  const unit = r.u32();
  const info: DomainInfo = { domain: r.u32(), granule, first, last, pageSizes, coherent, unit };
  const hwpt = new PagingHwpt(ioas, info, flags, mock, noiommu);
  hwpt.auto = auto;
  hwpt.fault = c.objects.get(fault) as FaultQueue | undefined;
  return hwpt;
}

function decodeNested(r: ByteReader, c: Context): NestedHwpt {
  const parent = c.objects.get(r.u32()) as PagingHwpt;
  const [flags, needsId] = [r.u32(), r.bool()];
  const [viommu, fault] = [c.objects.get(r.u32()) as Viommu | undefined, r.u32()];
  const hwpt = new NestedHwpt(parent, r.u32(), flags, viommu, needsId);
  hwpt.fault = c.objects.get(fault) as FaultQueue | undefined;
  return hwpt;
}

function decodeDevice(r: ByteReader, c: Context): BoundDevice {
  const bdf = r.str();
  const igroup = c.igroups.get(r.u32())!;
  igroup.bound++;
  return new BoundDevice(bdf, igroup, r.bool(), r.bool());
}

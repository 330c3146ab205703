/**
 * The state of iommufd contexts as bytes.
 *
 * Rule: references are written as ids and put together again in a second step; the view `meaning` leaves out numbers that
 * other services chose (stores, domains).
 */
import { type ByteReader, type ByteWriter, type DomainInfo, type View } from '@vfiolab/core';
import { BoundDevice, Context, isDevice, isHwpt, isIoas } from './context.js';
import { PagingHwpt } from './hwpt.js';
import { type Area, Ioas, type Store } from './ioas.js';
import type { IommufdObject } from './objects.js';

type Objects = readonly IommufdObject[];
const inTypeOrder = (objects: Objects): IommufdObject[] => [
  ...objects.filter(isIoas),
  ...objects.filter(isDevice),
  ...objects.filter(isHwpt),
];

export function encodeContext(w: ByteWriter, c: Context, view: View): void {
  if (view === 'snapshot') w.num(c.id);
  w.u8(c.rlimitMode);
  w.bool(c.fileOpen);
  const groups = [...c.igroups.values()].sort((a, b) => a.id - b.id);
  w.list(groups, (g) => {
    w.u32(g.id);
    w.list(g.members, (bdf) => w.str(bdf));
  });
  w.list(inTypeOrder(c.objects.all()), (o) => encodeObject(w, o, view));
  w.list(groups, (g) => {
    w.u32(g.hwpt?.id ?? 0);
    w.list(g.attached, (d) => w.u32(d.id));
  });
}

function encodeObject(w: ByteWriter, o: IommufdObject, view: View): void {
  w.str(o.type);
  w.u32(o.id);
  w.u32(o.users);
  if (isIoas(o)) encodeIoas(w, o, view);
  else if (isHwpt(o)) encodeHwpt(w, o, view);
  else if (isDevice(o)) {
    w.str(o.bdf);
    w.u32(o.igroup.id);
  }
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
  if (view === 'meaning') w.str(a.state);
  const { store } = a;
  // An area that is being built has no store yet; a snapshot is never taken then.
  if (!store) return;
  w.str(store.client);
  w.u64(store.va);
  w.bool(store.writable);
  if (view === 'meaning') return;
  w.num(store.id);
  w.u32(a.covers);
}

function encodeHwpt(w: ByteWriter, { ioas, auto, domain }: PagingHwpt, view: View): void {
  w.u32(ioas.id);
  w.bool(auto);
  w.u8(domain.granule);
  w.u64(domain.first);
  w.u64(domain.last);
  w.u64(domain.pageSizes);
  if (view === 'snapshot') w.u32(domain.domain);
}

export function decodeContext(r: ByteReader, stores: Map<number, Store>): Context {
  const c = new Context(r.num());
  c.rlimitMode = r.u8();
  c.fileOpen = r.bool();
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
    g.hwpt = c.objects.get(r.u32()) as PagingHwpt | undefined;
    g.attached = r.list(() => c.objects.get(r.u32()) as BoundDevice);
  }
  return c;
}

function decodeObject(r: ByteReader, c: Context, stores: Map<number, Store>): IommufdObject {
  const type = r.str();
  const id = r.u32();
  const users = r.u32();
  const o = type === 'ioas' ? decodeIoas(r, stores) : type === 'hwpt' ? decodeHwpt(r, c) : decodeDevice(r, c);
  o.id = id;
  o.users = users;
  return o;
}

function decodeIoas(r: ByteReader, stores: Map<number, Store>): Ioas {
  const ioas = new Ioas();
  ioas.alignment = r.u64();
  ioas.hugePages = r.bool();
  r.list(() => ioas.areas.insert(decodeArea(r, stores)));
  ioas.reserved = r.list(() => ({ start: r.u64(), last: r.u64(), owner: r.str() }));
  ioas.allowed = r.list(() => ({ start: r.u64(), last: r.u64() }));
  return ioas;
}

function decodeArea(r: ByteReader, stores: Map<number, Store>): Area {
  const [start, last, startByte, prot] = [r.u64(), r.u64(), r.u64(), r.u8()];
  const [client, va, writable, id] = [r.str(), r.u64(), r.bool(), r.num()];
  const store = stores.get(id) ?? { id, client, va, writable, areas: 0 };
  stores.set(id, store);
  store.areas++;
  return { start, last, startByte, prot, store, state: 'live', covers: r.u32() };
}

function decodeHwpt(r: ByteReader, c: Context): PagingHwpt {
  const ioas = c.objects.get(r.u32()) as Ioas;
  const auto = r.bool();
  const [granule, first, last, pageSizes, domain] = [r.u8(), r.u64(), r.u64(), r.u64(), r.u32()];
  const info: DomainInfo = { domain, granule, first, last, pageSizes };
  const hwpt = new PagingHwpt(ioas, info);
  hwpt.auto = auto;
  return hwpt;
}

function decodeDevice(r: ByteReader, c: Context): BoundDevice {
  const bdf = r.str();
  const igroup = c.igroups.get(r.u32())!;
  igroup.bound++;
  return new BoundDevice(bdf, igroup);
}

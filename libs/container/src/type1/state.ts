/**
 * The state of a type1 backend as bytes.
 *
 * Rule: the view `meaning` leaves out numbers that other services chose (stores, domains); what can be worked out from the
 * rest is not written.
 */
import type { ByteReader, ByteWriter, DomainInfo, View } from '@vfiolab/core';
import { type Mapping } from './mappings.js';
import type { IovaSpan } from './spans.js';
import type { AttachedGroup, GroupDomain, Type1 } from './type1.js';

export function encodeType1(w: ByteWriter, type1: Type1, view: View): void {
  w.bool(type1.tracking);
  w.list(type1.domains, ({ info, groups }) => {
    if (view === 'snapshot') w.u32(info.domain);
    w.u8(info.granule);
    w.u64(info.first);
    w.u64(info.last);
    w.u64(info.pageSizes);
    w.bool(info.coherent);
    w.u32(info.unit);
    w.list(groups, (g) => encodeGroup(w, g));
  });
  w.list(type1.emulated, (group) => w.u32(group));
  w.list(type1.listeners, (name) => w.str(name));
  w.bool(type1.valid !== undefined);
  w.list(type1.mappings, (mapping) => encodeMapping(w, mapping, view));
}

function encodeGroup(w: ByteWriter, { group, members, reserved }: AttachedGroup): void {
  w.u32(group);
  w.list(members, (bdf) => w.str(bdf));
  w.list(reserved, ({ start, last }) => (w.u64(start), w.u64(last)));
}

const inOrder = (a: number, b: number): number => a - b;

function encodeMapping(w: ByteWriter, mapping: Mapping, view: View): void {
  const { first, count, prot, store, vaddrInvalid, client, pins, dirty } = mapping;
  w.num(first);
  w.num(count);
  w.u8(prot);
  w.bool(vaddrInvalid);
  w.str(client);
  w.list([...pins.keys()].sort(inOrder), (at) => (w.num(at), w.num(pins.get(at)!)));
  w.list([...dirty].sort(inOrder), (at) => w.num(at));
  if (view === 'snapshot') w.num(store);
}

/** Reads into a new backend of the same type and limit. */
export function decodeType1(r: ByteReader, type1: Type1): Type1 {
  type1.tracking = r.bool();
  type1.domains = r.list(() => decodeDomain(r));
  type1.emulated = r.list(() => r.u32());
  type1.listeners = r.list(() => r.str());
  if (r.bool()) type1.refreshValid();
  const pinned = type1.domains.length > 0;
  r.list(() => type1.mappings.insert({ ...decodeMapping(r), pinned }));
  type1.invalid = [...type1.mappings].filter((m) => m.vaddrInvalid).length;
  return type1;
}

function decodeDomain(r: ByteReader): GroupDomain {
  const [domain, granule, first, last] = [r.u32(), r.u8(), r.u64(), r.u64()];
  const info: DomainInfo = { domain, granule, first, last, pageSizes: r.u64(), coherent: r.bool(), unit: r.u32() };
  return { info, groups: r.list(() => decodeGroup(r)) };
}

function decodeGroup(r: ByteReader): AttachedGroup {
  const [group, members] = [r.u32(), r.list(() => r.str())];
  return { group, members, reserved: r.list((): IovaSpan => ({ start: r.u64(), last: r.u64() })) };
}

function decodeMapping(r: ByteReader): Omit<Mapping, 'pinned'> {
  const [first, count, prot, vaddrInvalid, client] = [r.num(), r.num(), r.u8(), r.bool(), r.str()];
  const pins = new Map(r.list((): [number, number] => [r.num(), r.num()]));
  const dirty = new Set(r.list(() => r.num()));
  return { first, count, prot, vaddrInvalid, client, pins, dirty, store: r.num() };
}

/**
 * Guest tables as bytes: the driver's data, and what the IOMMU remembers: in the order in which it would be forgotten,
 * and, where the order of devices must not tell, in that of the addresses.
 *
 * Rule: what is remembered belongs to the meaning of a state too, because a DMA can tell it from what memory holds.
 */
import { type ByteReader, type ByteWriter, type View, WireError } from '@vfiolab/core';
import { GuestTable, MAX_IOTLB } from './guest-table.js';

const FORMATS = ['vtd', 'smmu'] as const;

export function encodeGuest(w: ByteWriter, guest: GuestTable | undefined, view: View): void {
  w.u8(guest ? FORMATS.indexOf(guest.format) + 1 : 0);
  if (!guest) return;
  w.list([...guest.words], (word) => w.u64(word));
  const inOrder = <K, V>(map: ReadonlyMap<K, V>): [K, V][] =>
    view === 'snapshot' ? [...map] : [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  w.list(inOrder(guest.iotlb), ([key, { page, span, writable, dirty, asid }]) => {
    w.str(key);
    w.num(page);
    w.num(span);
    w.bool(writable);
    w.bool(dirty);
    w.u32(asid);
  });
  w.list(inOrder(guest.contexts), ([pasid, words]) => {
    w.u32(pasid);
    w.list([...words], (word) => w.u64(word));
  });
  w.list(inOrder(guest.roots), ([at, descriptor]) => {
    w.u64(at);
    w.u64(descriptor);
  });
}

export function decodeGuest(r: ByteReader): GuestTable | undefined {
  const code = r.u8();
  if (code === 0) return undefined;
  const format = FORMATS[code - 1];
  if (!format) throw new WireError(`guest table of format ${code}`);
  const guest = new GuestTable(
    format,
    r.list(() => r.u64()),
  );
  const entries = r.list(
    () => [r.str(), { page: r.num(), span: r.num(), writable: r.bool(), dirty: r.bool(), asid: r.u32() }] as const,
  );
  if (entries.length > MAX_IOTLB) throw new WireError(`${entries.length} entries of an IOTLB`);
  for (const [key, entry] of entries) guest.iotlb.set(key, entry);
  r.list(() =>
    guest.contexts.set(
      r.u32(),
      r.list(() => r.u64()),
    ),
  );
  r.list(() => guest.roots.set(r.u64(), r.u64()));
  return guest;
}

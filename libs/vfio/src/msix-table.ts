/**
 * The MSI-X table as the function has it: what a process sees that has mapped the BAR (semantics D2.3, traces b053, c003).
 *
 * Rule: the host's driver owns the table. A vector that was allocated holds its message; it is masked while nobody is to be
 * signalled. All others are as after a reset: masked and empty.
 */
import { write32 } from './little-endian.js';
import * as pci from './pci-registers.js';
import type { VfioDevice } from './vfio-device.js';

const MASKED = 1;
const DATA_AT = 8;
const CONTROL_AT = 12;

function table(device: VfioDevice, vectors: number): Uint8Array {
  const bytes = new Uint8Array(vectors * pci.MSIX_ENTRY_SIZE);
  const { kind, allocated, triggers } = device.irqs;
  for (let vector = 0; vector < vectors; vector++) {
    const at = vector * pci.MSIX_ENTRY_SIZE;
    const used = kind === 'msix' && vector < allocated;
    if (used) write32(bytes, at, Number(device.facts.msiAddress));
    if (used) write32(bytes, at + DATA_AT, vector);
    write32(bytes, at + CONTROL_AT, used && triggers.has(vector) ? 0 : MASKED);
  }
  return bytes;
}

/** Puts what is in the table into bytes [offset, ...) that were read of a BAR. */
export function readTable(device: VfioDevice, bar: number, offset: number, out: Uint8Array): void {
  const place = device.layout.places.msix;
  if (place?.bar !== bar) return;
  const entries = table(device, place.vectors);
  const first = Math.max(offset, place.table);
  const end = Math.min(offset + out.length, place.table + entries.length);
  if (first < end) out.set(entries.subarray(first - place.table, end - place.table), first - offset);
}

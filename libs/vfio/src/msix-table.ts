/**
 * The MSI-X table as the function has it: what a process sees that has mapped the BAR (semantics D2.3, traces b053, c003).
 *
 * Words: a *handle* is the number of an entry of the interrupt remapping table.
 * Rule: the host's driver owns the table. A vector that was allocated holds its message; it is masked while nobody is to be
 * signalled. All others are as after a reset: masked and empty. Handles and processors' vectors are counted from the first
 * for every function: in a real host functions share them, and which are free depends on the whole of its past.
 */
import type { FunctionFacts } from '@vfiolab/core';
import { write32 } from './little-endian.js';
import * as pci from './pci-registers.js';
import type { VfioDevice } from './vfio-device.js';

const MASKED = 1;
const HIGH_AT = 4;
const DATA_AT = 8;
const CONTROL_AT = 12;

/** VT-d: bit 4 says that a handle follows, in bits 5 to 19 and 2; bit 3 that the data adds to it: 0. */
const REMAPPED = 0x18;
const inAddress = (handle: number): number => REMAPPED | ((handle & 0x7fff) << 5) | ((handle >> 15) << 2);

/** The kernel's vectors: the first that it gives to devices, and the one of interrupts that nobody has requested. */
const FIRST_VECTOR = 0x21;
const SHUT_VECTOR = 0xef;

/** `signals`: the message has somebody to signal. */
function writeMessage(bytes: Uint8Array, at: number, facts: FunctionFacts, number: number, signals: boolean): void {
  const { msiAddress, messages } = facts;
  const data = {
    number,
    handle: 0,
    vector: signals ? FIRST_VECTOR + (number % (SHUT_VECTOR - FIRST_VECTOR)) : SHUT_VECTOR,
  }[messages];
  write32(bytes, at, Number(msiAddress & 0xffff_ffffn) | (messages === 'handle' ? inAddress(number) : 0));
  write32(bytes, at + HIGH_AT, Number(msiAddress >> 32n));
  write32(bytes, at + DATA_AT, data);
}

function table(device: VfioDevice, vectors: number): Uint8Array {
  const bytes = new Uint8Array(vectors * pci.MSIX_ENTRY_SIZE);
  const { kind, allocated, triggers } = device.irqs;
  for (let vector = 0; vector < vectors; vector++) {
    const at = vector * pci.MSIX_ENTRY_SIZE;
    const used = kind === 'msix' && vector < allocated;
    const signals = used && triggers.has(vector);
    if (used) writeMessage(bytes, at, device.facts, vector, signals);
    write32(bytes, at + CONTROL_AT, signals ? 0 : MASKED);
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

/**
 * The config space of a function as its hardware has it when a driver enables it.
 *
 * Words: the *image* is 256 bytes, or 4096 for a PCI Express function. A machine's description may hold all of it, the
 * first 256 bytes, the first 64, or nothing; what is missing is made here from the function's facts.
 * Rule: what the machine had is kept. A function whose capabilities are unknown gets PCI Express with function level
 * reset (when it is one) and MSI-X, or MSI when no BAR can hold a table; one that is known to have no interrupt of any
 * kind gets the same, because the models need one. Nothing is added to a function that has INTx, MSI or MSI-X.
 */
import type { FunctionFacts } from '@vfiolab/core';
import { read16, read32, write16, write32, writeWord } from './little-endian.js';
import * as pci from './pci-registers.js';

export type Bar = FunctionFacts['bars'][number];

/** Vectors of a made MSI-X capability. */
export const MADE_VECTORS = 8;
const PAGE = 4096;
/** The six registers of BARs: a VF's read 0, its PF places the windows (SR-IOV 1.1, 3.4.1.11). */
const BAR_BYTES = 24;
const MADE_MSI_SIZE = 14;
const MADE_MSIX_SIZE = 12;
const MADE_EXPRESS_AT = 0x40;
const MADE_INTERRUPTS_AT = 0x80;
/** Where windows go that the description gives no address for: below and above 4 GiB, and ports. */
const LOW_WINDOW = 0xe0000000n;
const HIGH_WINDOW = 0x38_0000_0000n;
const PORT_WINDOW = 0xc000n;

export function functionImage(facts: FunctionFacts): Uint8Array {
  const size = facts.pcie || facts.config.length > pci.CONFIG_SIZE ? pci.EXTENDED_CONFIG_SIZE : pci.CONFIG_SIZE;
  const image = new Uint8Array(size);
  image.set(facts.config);
  if (facts.config.length < pci.HEADER_SIZE) makeHeader(image, facts);
  write16(image, pci.VENDOR_ID, facts.vendor);
  write16(image, pci.DEVICE_ID, facts.device);
  if (facts.config.length < pci.CONFIG_SIZE) makeCapabilities(image, facts);
  else if (!hasInterrupts(image)) addInterrupts(image, facts.bars, freeSpace(image));
  if (facts.vf) image.fill(0, pci.BAR0, pci.BAR0 + BAR_BYTES);
  else placeBars(image, facts.bars);
  enable(image, facts.bars);
  return image;
}

function makeHeader(image: Uint8Array, facts: FunctionFacts): void {
  image.fill(0, 0, pci.HEADER_SIZE);
  for (let i = 0; i < 3; i++) image[pci.CLASS_CODE + i] = facts.classCode >>> (8 * i);
  image[pci.INTERRUPT_PIN] = facts.vf ? 0 : 1;
}

function makeCapabilities(image: Uint8Array, facts: FunctionFacts): void {
  image[pci.CAPABILITY_POINTER] = 0;
  if (facts.pcie) {
    link(image, MADE_EXPRESS_AT, pci.CAP_EXPRESS);
    write16(image, MADE_EXPRESS_AT + pci.EXPRESS_FLAGS, 2);
    write32(image, MADE_EXPRESS_AT + pci.EXPRESS_DEVICE_CAP, pci.EXPRESS_CAP_FLR);
  }
  addInterrupts(image, facts.bars, MADE_INTERRUPTS_AT);
}

/** Puts a capability in front of the list. */
function link(image: Uint8Array, at: number, id: number): void {
  image[at] = id;
  image[at + 1] = image[pci.CAPABILITY_POINTER]!;
  image[pci.CAPABILITY_POINTER] = at;
  write16(image, pci.STATUS, read16(image, pci.STATUS) | pci.STATUS_CAPABILITY_LIST);
}

/** Each capability's offset by its place in the list; a list that bites its tail ends there. */
export function capabilityOffsets(image: Uint8Array): number[] {
  const found: number[] = [];
  if (!(read16(image, pci.STATUS) & pci.STATUS_CAPABILITY_LIST)) return found;
  let at = image[pci.CAPABILITY_POINTER]! & ~3;
  while (at >= pci.HEADER_SIZE && !found.includes(at)) {
    found.push(at);
    at = image[at + 1]! & ~3;
  }
  return found;
}

function hasInterrupts(image: Uint8Array): boolean {
  const ids = capabilityOffsets(image).map((at) => image[at]!);
  return image[pci.INTERRUPT_PIN] !== 0 || ids.includes(pci.CAP_MSI) || ids.includes(pci.CAP_MSIX);
}

/** The highest 16 unused bytes; undefined when there are none. */
function freeSpace(image: Uint8Array): number | undefined {
  for (let at = pci.CONFIG_SIZE - 16; at >= pci.HEADER_SIZE; at -= 16)
    if (image.subarray(at, at + 16).every((byte) => byte === 0)) return at;
  return undefined;
}

function addInterrupts(image: Uint8Array, bars: readonly Bar[], at: number | undefined): void {
  if (at === undefined) return;
  const home = tableBar(bars);
  image.fill(0, at, at + Math.max(MADE_MSI_SIZE, MADE_MSIX_SIZE));
  if (!home) {
    link(image, at, pci.CAP_MSI);
    return write16(image, at + pci.MSI_CONTROL, pci.MSI_64);
  }
  link(image, at, pci.CAP_MSIX);
  write16(image, at + pci.MSIX_CONTROL, MADE_VECTORS - 1);
  write32(image, at + pci.MSIX_TABLE, home.size - 2 * PAGE + home.index);
  write32(image, at + pci.MSIX_PBA, home.size - PAGE + home.index);
}

/** Where table and PBA find two pages at the end: rather not the BAR with the model's registers, which is the first. */
function tableBar(bars: readonly Bar[]): Bar | undefined {
  return bars.filter((b) => b.index < 6 && !b.io && b.size >= 4 * PAGE && b.size < 2 ** 31).at(-1);
}

/** The type bits of a BAR register. */
export const barFlags = (b: Bar): number =>
  b.io ? pci.BAR_IO : (b.wide ? pci.BAR_64 : 0) | (b.prefetchable ? pci.BAR_PREFETCHABLE : 0);

function placeBars(image: Uint8Array, bars: readonly Bar[]): void {
  const next = { low: LOW_WINDOW, high: HIGH_WINDOW, port: PORT_WINDOW };
  for (const bar of bars) {
    if (bar.index > 5) continue;
    const at = pci.BAR0 + 4 * bar.index;
    const size = BigInt(bar.size);
    const kind = bar.io ? 'port' : bar.wide ? 'high' : 'low';
    const made = ((next[kind] + size - 1n) / size) * size;
    const had = addressOf(image, bar);
    if (had === 0n) next[kind] = made + size;
    writeWord(image, at, bar.wide ? 8 : 4, (had || made) | BigInt(barFlags(bar)));
  }
}

/** Address in a BAR register, 0 when it was never set. */
export function addressOf(image: Uint8Array, bar: Bar): bigint {
  const at = pci.BAR0 + 4 * bar.index;
  const low = BigInt((read32(image, at) & (bar.io ? ~0x3 : ~0xf)) >>> 0);
  return bar.wide ? (BigInt(read32(image, at + 4)) << 32n) | low : low;
}

/** The command register after enabling: decodes on, bus master off, INTx not disabled (semantics D1.1). */
function enable(image: Uint8Array, bars: readonly Bar[]): void {
  let command = read16(image, pci.COMMAND) & ~(pci.COMMAND_MASTER | pci.COMMAND_INTX_DISABLE);
  if (bars.some((b) => !b.io)) command |= pci.COMMAND_MEMORY;
  if (bars.some((b) => b.io)) command |= pci.COMMAND_IO;
  write16(image, pci.COMMAND, command);
}

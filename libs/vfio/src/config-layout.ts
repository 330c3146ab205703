/**
 * What is where in a function's config space, worked out once when its driver is bound.
 *
 * Words: an *area* is the header, a capability, or a gap between them; *masks* are the table's fields spread over bytes.
 * Rule: a layout never changes; everything that does is in ConfigSpace.
 */
import type { FunctionFacts } from '@vfiolab/core';
import { CAPABILITIES, type ConfigField, EXTENDED_SHOWN, HEADER_FIELDS } from './capability-table.js';
import { type Bar, barFlags, capabilityOffsets, functionImage } from './function-image.js';
import { read16, read32, write32 } from './little-endian.js';
import * as pci from './pci-registers.js';

export interface MsixPlace {
  readonly at: number;
  readonly vectors: number;
  readonly bar: number;
  /** Byte ranges inside the BAR. */
  readonly table: number;
  readonly pba: number;
}

/** Offsets of the capabilities that the service acts on, undefined where the function has none. */
export interface Places {
  pm?: number;
  msi?: number;
  msix?: MsixPlace;
  express?: number;
  af?: number;
  ats?: number;
}

export interface ConfigLayout {
  /** Bytes: 256 or 4096. */
  readonly size: number;
  /** The function's registers after enabling. */
  readonly hardware: Uint8Array;
  /** The virtual registers after enabling. */
  readonly shadow: Uint8Array;
  readonly virtual: Uint8Array;
  readonly writable: Uint8Array;
  readonly kept: Uint8Array;
  /** Number of the area that each byte belongs to; 0 = gap. */
  readonly area: Uint8Array;
  readonly places: Places;
  readonly bars: readonly Bar[];
  /** Writes to the power control register are lost. */
  readonly powerFixed: boolean;
  /** Memory decoding is no bit of the function's own: a VF's is its PF's. */
  readonly alwaysDecodes: boolean;
}

export function configLayout(facts: FunctionFacts): ConfigLayout {
  const hardware = functionImage(facts);
  const size = hardware.length;
  const masks = { virtual: new Uint8Array(size), writable: new Uint8Array(size), kept: new Uint8Array(size) };
  const layout = { size, hardware, shadow: hardware.slice(), ...masks, area: new Uint8Array(size) };
  layout.area.fill(1, 0, pci.HEADER_SIZE);
  spread(layout, 0, HEADER_FIELDS);
  const places = layCapabilities(layout);
  if (facts.igd) layOpregion(layout, facts.igd.address);
  layGaps(layout);
  if (size > pci.CONFIG_SIZE) layExtended(layout, places);
  const { bars, powerFixed, vf } = facts;
  if (powerFixed && places.pm !== undefined)
    layout.kept.fill(0, places.pm + pci.PM_CONTROL, places.pm + pci.PM_CONTROL + 2);
  return { ...layout, places, bars, powerFixed, alwaysDecodes: vf };
}

/** Behind the numbers of the capabilities, of which 48 fit. */
const OPREGION_AREA = 0xff;

type Draft = Omit<ConfigLayout, 'places' | 'bars' | 'powerFixed' | 'alwaysDecodes'>;

function spread(d: Draft, start: number, fields: readonly ConfigField[]): void {
  for (const f of fields)
    for (let i = 0; i < f.bytes; i++) {
      const at = start + f.at + i;
      d.virtual[at] = f.virtual >>> (8 * i);
      d.writable[at] = f.writable >>> (8 * i);
      d.kept[at] = f.kept >>> (8 * i);
    }
}

/** Marks each shown capability and takes the others out of the list that clients see. */
function layCapabilities(d: Draft): Places {
  const places: Places = {};
  let previous = pci.CAPABILITY_POINTER;
  let number = 1;
  for (const at of capabilityOffsets(d.hardware)) {
    const id = d.hardware[at]!;
    const row = CAPABILITIES.get(id);
    const length = Math.min(row?.length(d.hardware, at) ?? 0, pci.CONFIG_SIZE - at);
    if (!row || length < 2) continue;
    d.shadow[previous] = at;
    previous = at + 1;
    d.area.fill(++number, at, at + length);
    d.virtual.fill(0xff, at, at + 2);
    spread(d, at, row.fields(d.hardware, at));
    remember(d, places, id, at);
  }
  d.shadow[previous] = 0;
  if (number === 1) d.shadow[pci.STATUS]! &= ~pci.STATUS_CAPABILITY_LIST;
  return places;
}

/** The address of the OpRegion is the host's: a client may write over it, and only itself sees that. [vfio_pci_igd.c] */
function layOpregion(d: Draft, address: number): void {
  const at = pci.IGD_OPREGION;
  write32(d.shadow, at, address);
  d.virtual.fill(0xff, at, at + 4);
  d.writable.fill(0xff, at, at + 4);
  d.area.fill(OPREGION_AREA, at, at + 4);
}

/** Accesses to gaps go to the function as they are, and an emulated one holds what is written (random traces r4). */
function layGaps(d: Draft): void {
  for (let at = pci.HEADER_SIZE; at < pci.CONFIG_SIZE; at++)
    if (d.area[at] === 0 && d.hardware[at] === 0) d.writable[at] = d.kept[at] = 0xff;
}

function remember(d: Draft, places: Places, id: number, at: number): void {
  if (id === pci.CAP_PM) {
    places.pm = at;
    // The host may have put an idle function to sleep; opening it wakes it up.
    d.hardware[at + pci.PM_CONTROL]! &= ~pci.PM_STATE;
    // Wake-up events stay with the host: neither their support nor their enabling is shown.
    d.shadow[at + pci.PM_CAPABILITIES + 1]! &= ~(pci.PM_CAP_PME >>> 8);
    d.shadow[at + pci.PM_CONTROL + 1]! &= ~((pci.PM_PME_ENABLE | pci.PM_PME_STATUS) >>> 8);
  } else if (id === pci.CAP_MSI) places.msi = at;
  else if (id === pci.CAP_EXPRESS) places.express = at;
  else if (id === pci.CAP_AF) places.af = at;
  else if (id === pci.CAP_MSIX) places.msix = msixPlace(d.hardware, at);
  // The host's driver may have had message interrupts on when the description was taken.
  if (id === pci.CAP_MSI) d.shadow[at + pci.MSI_CONTROL] = d.hardware[at + pci.MSI_CONTROL]! &= ~pci.MSI_ENABLE;
  if (id === pci.CAP_MSIX) d.hardware[at + pci.MSIX_CONTROL + 1]! &= ~(pci.MSIX_ENABLE >>> 8);
}

function msixPlace(b: Uint8Array, at: number): MsixPlace {
  const table = read32(b, at + pci.MSIX_TABLE);
  const pba = read32(b, at + pci.MSIX_PBA);
  const vectors = (read16(b, at + pci.MSIX_CONTROL) & pci.MSIX_LAST) + 1;
  return {
    at,
    vectors,
    bar: table & pci.MSIX_BAR,
    table: table - (table & pci.MSIX_BAR),
    pba: pba - (pba & pci.MSIX_BAR),
  };
}

const NEXT_SHIFT = 20;

/** Extended capabilities: a hidden one is skipped, or shown with id 0 when it is the first (semantics D3). */
function layExtended(d: Draft, places: Places): void {
  const seen = new Set<number>();
  let previous: number | undefined;
  let shown = 0;
  for (let at = pci.CONFIG_SIZE; at >= pci.CONFIG_SIZE && at <= d.size - 4 && !seen.has(at);) {
    seen.add(at);
    const header = read32(d.hardware, at);
    const next = (header >>> NEXT_SHIFT) & ~3;
    if (header === 0) break;
    if ((header & 0xffff) === pci.EXTENDED_ATS) places.ats ??= at;
    const visible = EXTENDED_SHOWN.has(header & 0xffff);
    if (visible || previous === undefined) {
      d.virtual.fill(0xff, at, at + 4);
      if (!visible) write32(d.shadow, at, (next << NEXT_SHIFT) >>> 0);
      previous = at;
      shown++;
    } else {
      const kept = read32(d.shadow, previous) & 0xfffff;
      write32(d.shadow, previous, (kept | (next << NEXT_SHIFT)) >>> 0);
    }
    at = next;
  }
  if (shown === 0) write32(d.shadow, pci.CONFIG_SIZE, 0);
}

export { barFlags };

/**
 * The regions of a device file: which there are, how large, and how an offset names one.
 *
 * Words: region i starts at file offset i * 2^40 (semantics D2.1).
 * Rule: what GET_REGION_INFO says and what reads and writes accept come from the same functions here.
 */
import {
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from '@vfiolab/uapi';
import type { FunctionFacts } from '@vfiolab/core';
import { addressOf } from './function-image.js';
import { VGA_REGION_SIZE } from './vga.js';
import type { VfioDevice } from './vfio-device.js';

const REGION_STEP = 2 ** 40;
const PAGE = 4096;

export interface RegionPlace {
  readonly index: number;
  readonly offset: number;
}

export const placeOf = (fileOffset: number): RegionPlace => ({
  index: Math.floor(fileOffset / REGION_STEP),
  offset: fileOffset % REGION_STEP,
});

export const regionOffset = (index: number): bigint => BigInt(index) * BigInt(REGION_STEP);

export interface RegionSize {
  readonly size: number;
  /** VFIO_REGION_INFO_FLAG_* without CAPS. */
  readonly flags: number;
  readonly holdsMsixTable: boolean;
}

const ABSENT: RegionSize = { size: 0, flags: 0, holdsMsixTable: false };
const READ_WRITE = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;

/** A region behind those that every function has: what the host shows for this one (semantics D2.1). */
export type OwnRegion = NonNullable<FunctionFacts['igd']>['regions'][number];

export const ownRegion = ({ facts }: VfioDevice, index: number): OwnRegion | undefined =>
  facts.igd?.regions[index - VFIO_PCI_NUM_REGIONS];

export const regionCount = ({ facts }: VfioDevice): number => VFIO_PCI_NUM_REGIONS + (facts.igd?.regions.length ?? 0);

/** Undefined: no such region. A BAR without a window, and the ROM, are there with size 0. */
export function regionSize(device: VfioDevice, index: number): RegionSize | undefined {
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) return { ...ABSENT, size: device.layout.size, flags: READ_WRITE };
  if (index === VFIO_PCI_ROM_REGION_INDEX)
    return device.rom ? { ...ABSENT, size: device.rom.size, flags: VFIO_REGION_INFO_FLAG_READ } : ABSENT;
  if (index === VFIO_PCI_VGA_REGION_INDEX)
    return device.facts.vga ? { ...ABSENT, size: VGA_REGION_SIZE, flags: READ_WRITE } : undefined;
  const own = ownRegion(device, index);
  if (own) return { ...ABSENT, size: own.data.length, flags: VFIO_REGION_INFO_FLAG_READ };
  if (index > VFIO_PCI_BAR5_REGION_INDEX) return undefined;
  const bar = device.bar(index);
  if (!bar) return ABSENT;
  const mappable = !bar.io && (bar.size >= PAGE || addressOf(device.layout.hardware, bar) % BigInt(PAGE) === 0n);
  const holdsMsixTable = mappable && device.layout.places.msix?.bar === index;
  return { size: bar.size, flags: READ_WRITE | (mappable ? VFIO_REGION_INFO_FLAG_MMAP : 0), holdsMsixTable };
}

/**
 * Devices that do DMA under another requester id than their own [pci/quirks.c, pci_add_dma_alias users], bridges that
 * need special care on the way up, and Intel VMD, whose children do DMA as the VMD endpoint.
 *
 * Rule: ids are facts of Linux 6.12.117, the same for every profile. Not covered, because the aliases are in registers
 * that no dump shows: Microsemi Switchtec NTBs (MMIO) and the aliases of an AMD IVRS table (ACPI).
 */
import { devfnOf } from './bdf.js';
import type { PciFunction } from './pci-function.js';

const RICOH = 0x1180;
const GLENFLY = 0x6766;
const MARVELL = 0x1b4b;
const HIGHPOINT = 0x1103;
const JMICRON = 0x197b;
const LITE_ON = 0x1c28;
const ADAPTEC = 0x9005;
const INTEL = 0x8086;
const PLX = 0x10b5;

const idOf = (vendor: number, device: number): number => vendor * 0x10000 + device;
const ids = (vendor: number, ...devices: number[]): number[] => devices.map((device) => idOf(vendor, device));

const DMA_AS_FUNCTION_0 = new Set([...ids(RICOH, 0xe832, 0xe476), ...ids(GLENFLY, 0x3d40, 0x3d41)]);

const MARVELL_SATA = [
  0x9120, 0x9123, 0x9125, 0x9128, 0x9130, 0x9170, 0x9172, 0x917a, 0x9182, 0x9183, 0x91a0, 0x9215, 0x9220, 0x9230,
  0x9235,
];

const DMA_AS_FUNCTION_1 = new Set([
  ...ids(MARVELL, ...MARVELL_SATA),
  ...ids(HIGHPOINT, 0x0642, 0x0645),
  ...ids(JMICRON, 0x2392),
  ...ids(LITE_ON, 0x0122),
]);

/** Intel MIC x200: the requester ids of its NTB's look-up table. */
const MIC_X200 = new Set(ids(INTEL, 0x2260, 0x2264));
/** Intel Visual Compute Accelerator: functions 0-4 of every device number. */
const VCA = new Set(ids(INTEL, 0x2954, 0x2955, 0x2956, 0x2958, 0x2959, 0x295a));
/** PLX NTB: any of the 256 devfns of the bus. */
const PLX_NTB = new Set(ids(PLX, 0x87b0, 0x87b1));
/** Adaptec 3405 and 3805 by subsystem: a hidden DMA engine at 01.0. */
const ADAPTEC_RAID = { device: 0x0285, subsystems: [0x02bb, 0x02bc], devfn: 8 } as const;

const slotDevfn = (f: PciFunction, fn: number): number => f.dev * 8 + fn;

/** Devfns (0-255) on its own bus under which `f` also does DMA; empty for a well-behaved device. */
export function dmaAliasDevfns(f: PciFunction): readonly number[] {
  if (f.vendor === null || f.device === null) return [];
  const id = idOf(f.vendor, f.device);
  if (DMA_AS_FUNCTION_0.has(id)) return f.fn === 0 ? [] : [slotDevfn(f, 0)];
  if (DMA_AS_FUNCTION_1.has(id)) return f.fn === 1 ? [] : [slotDevfn(f, 1)];
  if (MIC_X200.has(id)) return [0x80, 0x88, 0x93];
  if (VCA.has(id)) return Array.from({ length: 256 }, (_, devfn) => devfn).filter((devfn) => devfn % 8 < 5);
  if (PLX_NTB.has(id)) return Array.from({ length: 256 }, (_, devfn) => devfn);
  if (id === idOf(ADAPTEC, ADAPTEC_RAID.device)) return adaptecAlias(f);
  return [];
}

function adaptecAlias(f: PciFunction): readonly number[] {
  const known = ADAPTEC_RAID.subsystems.some((id) => id === f.subsystemDevice);
  return f.subsystemVendor === ADAPTEC && known ? [ADAPTEC_RAID.devfn] : [];
}

/** Whether either of two functions on one bus does DMA as the other [pci.c pci_devs_are_dma_aliases]. */
export const areDmaAliases = (a: PciFunction, b: PciFunction): boolean =>
  dmaAliasDevfns(a).includes(devfnOf(b)) || dmaAliasDevfns(b).includes(devfnOf(a));

const XLATE_ROOT = new Set(ids(0x14e4, 0x9000, 0x9084));

/** Broadcom Vulcan / Cavium ThunderX2 bridge that the IOMMU sits at: aliases do not go past it. */
export const isTranslationRoot = (f: PciFunction): boolean =>
  f.vendor !== null && f.device !== null && XLATE_ROOT.has(idOf(f.vendor, f.device));

const VMD = new Set(
  ids(INTEL, 0x201d, 0x28c0, 0x467f, 0x4c3d, 0xa77f, 0x7d0b, 0xad0b, 0x9a0b, 0xb60b, 0xb06f), // Volume Management Device
);

export const isVmdEndpoint = (f: PciFunction): boolean =>
  f.vendor !== null && f.device !== null && VMD.has(idOf(f.vendor, f.device));

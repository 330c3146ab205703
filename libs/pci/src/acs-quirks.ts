/**
 * Devices whose isolation the kernel does not take from ACS registers [pci/quirks.c pci_dev_acs_enabled].
 *
 * Words: a *rule* answers "isolated", "not isolated" or "no opinion"; the first rule with an opinion decides.
 * Rule: a row holds ids and the name of a rule; what a rule means is in acs.ts. Rows of one vendor stay in the
 * kernel's order. Ids are facts of Linux 6.12.117; the profiles 7.2 and 7.3 use the same table.
 */
import type { KernelProfile } from './profile.js';

export type AcsRule =
  /** AMD southbridge function on the root bus: isolated when multifunction and the machine has an AMD IOMMU. */
  | 'amd-southbridge'
  /** Vendor confirmed that the functions or ports never talk to each other. */
  | 'no-peer-to-peer'
  /** The same, for its root ports only. */
  | 'root-port-no-peer-to-peer'
  /** Integrated endpoints of Intel: peer-to-peer only with translated addresses. */
  | 'intel-rciep'
  /** Intel PCH root ports with a chipset-private isolation switch in place of ACS. */
  | 'intel-pch'
  /** Intel 100/200 series root ports: ACS control register at +8. */
  | 'intel-dword-acs'
  | 'cavium-root-port'
  | 'zhaoxin-port'
  | 'wangxun-nic';

export interface AcsQuirk {
  readonly vendor: number;
  /** Device ids, or `any`: the rule itself looks at the device. */
  readonly devices: readonly number[] | 'any';
  readonly rule: AcsRule;
}

const INTEL_MULTIFUNCTION_NICS = [
  0x10c6,
  0x10db,
  0x10dd,
  0x10e1,
  0x10f1,
  0x10f7,
  0x10f8,
  0x10f9,
  0x10fa,
  0x10fb,
  0x10fc,
  0x1507,
  0x1514,
  0x151c,
  0x1529,
  0x152a,
  0x154d,
  0x154f,
  0x1551,
  0x1558, // 82598, 82599, X540
  0x1509,
  0x150e,
  0x150f,
  0x1510,
  0x1511,
  0x1516,
  0x1527, // 82580
  0x10c9,
  0x10e6,
  0x10e7,
  0x10e8,
  0x150a,
  0x150d,
  0x1518,
  0x1526, // 82576
  0x10a7,
  0x10a9,
  0x10d6, // 82575
  0x1521,
  0x1522,
  0x1523,
  0x1524, // I350
  0x105e,
  0x105f,
  0x1060,
  0x10d9, // 82571
  0x15b7,
  0x15b8, // I219
];

const NXP_LX2_ROOT_PORTS = [
  0x8d80, 0x8d81, 0x8d82, 0x8d83, 0x8d88, 0x8d89, 0x8d8a, 0x8d8b, 0x8d90, 0x8d91, 0x8d92, 0x8d93, 0x8d98, 0x8d99,
  0x8d9a, 0x8d9b, 0x8da0, 0x8da1, 0x8da8, 0x8da9, 0x8db0, 0x8db1, 0x8db8, 0x8db9,
];

const LINUX_6_12: readonly AcsQuirk[] = [
  { vendor: 0x1002, devices: [0x4385, 0x439c, 0x4383, 0x439d, 0x4384, 0x4399], rule: 'amd-southbridge' },
  { vendor: 0x1022, devices: [0x780f, 0x7809], rule: 'amd-southbridge' },
  { vendor: 0x1924, devices: [0x0903, 0x0923, 0x0a03], rule: 'no-peer-to-peer' }, // Solarflare
  { vendor: 0x8086, devices: INTEL_MULTIFUNCTION_NICS, rule: 'no-peer-to-peer' },
  { vendor: 0x8086, devices: 'any', rule: 'intel-rciep' },
  { vendor: 0x17cb, devices: [0x0400, 0x0401, 0x0115, 0x0111, 0x0120], rule: 'no-peer-to-peer' }, // Qualcomm root ports
  { vendor: 0x1dbf, devices: [0x0401], rule: 'no-peer-to-peer' }, // HXT SD4800 root ports
  { vendor: 0x8086, devices: 'any', rule: 'intel-pch' },
  { vendor: 0x8086, devices: 'any', rule: 'intel-dword-acs' },
  { vendor: 0x19a2, devices: [0x0710], rule: 'no-peer-to-peer' }, // Emulex BE3-R
  { vendor: 0x10df, devices: [0x0720], rule: 'no-peer-to-peer' }, // Emulex Skyhawk-R
  { vendor: 0x177d, devices: 'any', rule: 'cavium-root-port' },
  { vendor: 0x177d, devices: [0xa026, 0xa059, 0xa060], rule: 'no-peer-to-peer' },
  { vendor: 0x10e8, devices: [0xe004], rule: 'no-peer-to-peer' }, // APM X-Gene
  {
    vendor: 0x1def, // Ampere
    devices: [0xe005, 0xe006, 0xe007, 0xe008, 0xe009, 0xe00a, 0xe00b, 0xe00c],
    rule: 'no-peer-to-peer',
  },
  {
    vendor: 0x14e4, // Broadcom NICs, and the iProc PAXB root port 0xd714
    devices: [0x16d7, 0x1750, 0x1751, 0x1752, 0x1760, 0x1761, 0x1762, 0x1763, 0xd714],
    rule: 'no-peer-to-peer',
  },
  {
    vendor: 0x0014, // Loongson root ports
    devices: [0x3c09, 0x3c19, 0x3c29, 0x7a09, 0x7a19, 0x7a29, 0x7a39, 0x7a49, 0x7a59, 0x7a69],
    rule: 'no-peer-to-peer',
  },
  { vendor: 0x1c36, devices: [0x0031], rule: 'root-port-no-peer-to-peer' }, // Amazon Annapurna Labs
  { vendor: 0x1d17, devices: [0x3038, 0x3104, 0x9083], rule: 'no-peer-to-peer' }, // Zhaoxin
  { vendor: 0x1957, devices: NXP_LX2_ROOT_PORTS, rule: 'no-peer-to-peer' },
  { vendor: 0x1d17, devices: 'any', rule: 'zhaoxin-port' },
  { vendor: 0x8088, devices: 'any', rule: 'wangxun-nic' },
];

export const ACS_QUIRKS: Readonly<Record<KernelProfile, readonly AcsQuirk[]>> = {
  '6.12': LINUX_6_12,
  '7.2': LINUX_6_12,
  '7.3': LINUX_6_12,
};

/** An inclusive range of device ids. */
type IdRange = readonly [first: number, last: number];

export const inRanges = (id: number, ranges: readonly IdRange[]): boolean =>
  ranges.some(([first, last]) => first <= id && id <= last);

/** Root ports of the `intel-pch` rule, chipset by chipset (X79 and the second 9-series block use even ids only). */
export function isIntelPchRootPort(device: number): boolean {
  if (
    inRanges(device, [
      [0x1d10, 0x1d1e],
      [0x8c90, 0x8c9e],
    ])
  )
    return device % 2 === 0;
  return inRanges(device, INTEL_PCH);
}

const INTEL_PCH: readonly IdRange[] = [
  [0x3b42, 0x3b51], // Ibex Peak
  [0x1c10, 0x1c1f], // Cougar Point
  [0x1e10, 0x1e1f], // Panther Point
  [0x8c10, 0x8c1f], // Lynx Point-H
  [0x9c10, 0x9c1b], // Lynx Point-LP
  [0x9c90, 0x9c9b], // Wildcat Point
  [0x8d10, 0x8d1e], // Wellsburg (X99)
];

/** Root ports of the `intel-dword-acs` rule: Sunrise Point, Union Point, 7th and 8th generation mobile. */
export const INTEL_DWORD_ACS: readonly IdRange[] = [
  [0xa110, 0xa11f],
  [0xa167, 0xa16a],
  [0xa290, 0xa29f],
  [0xa2e7, 0xa2ee],
  [0x9d10, 0x9d1b],
];

/** ThunderX1 (a whole range, eight SoCs), ThunderX2 and ThunderX3 root ports. */
export const CAVIUM_ROOT_PORTS: readonly IdRange[] = [
  [0xa000, 0xa7ff],
  [0xaf84, 0xaf84],
  [0xb884, 0xb884],
];

export const ZHAOXIN_PORTS: readonly IdRange[] = [
  [0x0710, 0x071e],
  [0x0721, 0x0721],
  [0x0723, 0x0752],
];

export const WANGXUN_NICS: readonly IdRange[] = [
  [0x0100, 0x010f],
  [0x1001, 0x1001],
  [0x2001, 0x2001],
  [0x5010, 0x5010],
  [0x5025, 0x5025],
  [0x5040, 0x5040],
  [0x5110, 0x5110],
  [0x5125, 0x5125],
  [0x5140, 0x5140],
];

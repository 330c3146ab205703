/**
 * Printed names that carry facts when lspci ran without -n or -nn. Only names that matter to grouping are here: devices
 * with a quirk, classes
 * that make a bridge, an IOMMU or a display, and vendors whose functions the kernel judges as a whole. Rule: an unknown name is unknown, no guess.
 */

/** Class code (16 bits) by the name pciutils prints. */
const CLASS_NAMES: Readonly<Record<string, number>> = {
  'SATA controller': 0x0106,
  'Non-Volatile memory controller': 0x0108,
  'Ethernet controller': 0x0200,
  'Network controller': 0x0280,
  'VGA compatible controller': 0x0300,
  '3D controller': 0x0302,
  'Display controller': 0x0380,
  'Audio device': 0x0403,
  'Host bridge': 0x0600,
  'ISA bridge': 0x0601,
  'PCI bridge': 0x0604,
  'CardBus bridge': 0x0607,
  Bridge: 0x0680,
  IOMMU: 0x0806,
  'System peripheral': 0x0880,
  'USB controller': 0x0c03,
  'USB Controller': 0x0c03,
  SMBus: 0x0c05,
  'Non-Essential Instrumentation': 0x1300,
};

/** Vendor id by the beginning of the printed device name. */
const VENDOR_NAMES: readonly (readonly [prefix: string, vendor: number])[] = [
  ['Intel Corporation', 0x8086],
  ['Advanced Micro Devices, Inc. [AMD/ATI]', 0x1002],
  ['Advanced Micro Devices [AMD] nee ATI', 0x1002],
  ['Advanced Micro Devices [AMD/ATI]', 0x1002],
  ['ATI Technologies', 0x1002],
  ['Advanced Micro Devices', 0x1022],
  ['Broadcom Inc. and subsidiaries', 0x14e4],
  ['NVIDIA Corporation', 0x10de],
  ['nVidia Corporation', 0x10de],
];

/** Numbered Intel root ports whose isolation does not show in ACS registers: id of port 1, distance to the next, ports. */
const INTEL_PORT_NAMES: readonly (readonly [family: string, first: number, step: number, count: number])[] = [
  ['5 Series/3400 Series Chipset', 0x3b42, 2, 8],
  ['6 Series/C200 Series Chipset Family', 0x1c10, 2, 8],
  ['7 Series/C216 Chipset Family', 0x1e10, 2, 8],
  ['7 Series/C210 Series Chipset Family', 0x1e10, 2, 8],
  ['8 Series/C220 Series Chipset Family', 0x8c10, 2, 8],
  ['8 Series', 0x9c10, 2, 6],
  ['9 Series Chipset Family', 0x8c90, 2, 8],
  ['Wildcat Point-LP', 0x9c90, 2, 6],
  ['C600/X79 series chipset', 0x1d10, 2, 8],
  ['C610/X99 series chipset', 0x8d10, 2, 8],
  ['100 Series/C230 Series Chipset Family', 0xa110, 1, 16],
  ['Sunrise Point-LP', 0x9d10, 1, 12],
  ['200 Series PCH', 0xa290, 1, 16],
];

/** Other devices with a quirk whose name is theirs alone, or shared only by ids that the kernel treats alike. */
const DEVICE_NAMES: readonly (readonly [name: string, device: number])[] = [
  ['I350 Gigabit Network Connection', 0x1521],
  ['82576 Gigabit Network Connection', 0x10c9],
  ['82580 Gigabit Network Connection', 0x150e],
  ['82599ES 10-Gigabit SFI/SFP+ Network Connection', 0x10fb],
  ['Volume Management Device NVMe RAID Controller', 0x201d],
  ['BCM57414 NetXtreme-E', 0x16d7],
  ['SBx00 Azalia', 0x4383],
  ['SBx00 PCI to PCI Bridge', 0x4384],
  ['SBx00 SMBus Controller', 0x4385],
  ['SB7x0/SB8x0/SB9x0 USB OHCI2 Controller', 0x4399],
  ['SB7x0/SB8x0/SB9x0 IDE Controller', 0x439c],
  ['SB7x0/SB8x0/SB9x0 LPC host controller', 0x439d],
  ['FCH PCI Bridge', 0x780f],
];

/** Device id of a printed name such as `Intel Corporation C610/X99 series chipset PCI Express Root Port #1`. */
export function deviceByName(name: string): number | null {
  const port = /^Intel Corporation (.+) PCI Express Root Port #?(\d{1,2})(?: |$)/.exec(name);
  const family = INTEL_PORT_NAMES.find(([each]) => each === port?.[1]);
  const number = Number(port?.[2]);
  if (family && number >= 1 && number <= family[3]) return family[1] + (number - 1) * family[2];
  return DEVICE_NAMES.find(([each]) => name.includes(each))?.[1] ?? null;
}

export const classByName = (name: string): number | null => CLASS_NAMES[name] ?? null;

export const vendorByName = (device: string): number | null =>
  VENDOR_NAMES.find(([prefix]) => device.startsWith(prefix))?.[1] ?? null;

/**
 * Speed and width of a function's link, as PCI Express has them. [pci-sysfs.c, pci.c pcie_get_speed_cap]
 *
 * Rule: read from the description's config space; one that nobody dumped says Unknown.
 */
import { decodeConfig, type PciFunction } from '@vfiolab/pci';
import { type Node, text } from './nodes.js';

const CAP_EXPRESS = 0x10;
/** Registers of the capability. */
const [LINK_CAP, LINK_STATUS, LINK_CAP_2] = [0x0c, 0x12, 0x2c];
const SPEED = 0xf;
const WIDTH = { shift: 4, bits: 0x3f } as const;
const SPEEDS_BEFORE_2 = 2;

/** By the number that the link has for it, from 1. */
const SPEEDS = ['2.5', '5.0', '8.0', '16.0', '32.0', '64.0'];

const speedText = (number: number): string => {
  const speed = SPEEDS[number - 1];
  return speed === undefined ? 'Unknown' : `${speed} GT/s PCIe`;
};

export function linkFiles(f: PciFunction): Record<string, () => Node> {
  if (f.pcieType === null) return {};
  const register = (at: number): number => registerOf(f, at);
  const width = (value: number): string => String((value >>> WIDTH.shift) & WIDTH.bits);
  return {
    current_link_speed: () => text(() => speedText(register(LINK_STATUS) & SPEED)),
    current_link_width: () => text(() => width(register(LINK_STATUS))),
    max_link_speed: () => text(() => speedText(fastest(register(LINK_CAP), register(LINK_CAP_2)))),
    max_link_width: () => text(() => width(register(LINK_CAP))),
  };
}

/** The second register names all speeds, from bit 1 on; functions without it know two. */
function fastest(cap: number, cap2: number): number {
  const speeds = (cap2 >>> 1) & 0x7f;
  if (speeds !== 0) return 32 - Math.clz32(speeds);
  const one = cap & SPEED;
  return one <= SPEEDS_BEFORE_2 ? one : 0;
}

/** 16 bits of the PCI Express capability; 0 where there is nothing. */
function registerOf({ config }: PciFunction, at: number): number {
  const caps = config && decodeConfig(config)?.caps;
  const offset = caps && caps.find(({ id, extended }) => id === CAP_EXPRESS && !extended)?.offset;
  if (!config || typeof offset !== 'number') return 0;
  return (config[offset + at] ?? 0) | ((config[offset + at + 1] ?? 0) << 8);
}

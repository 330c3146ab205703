/**
 * What the device tree of POWER's firmware says of functions: `devspec` and `of_node` of their directories.
 *
 * Words: a function's *node* has the name of its class (Open Firmware's PCI bus binding) and its address on the bus; its
 * *path* goes from the host bridge down.
 * Rule: only machines whose description names their host bridges in the tree have one. Every name not in the tables here is that of its class.
 */
import type { PciFunction, Topology } from '@vfiolab/pci';
import { type BinaryNode, fixedDir, link, type Node, text } from './nodes.js';

/** By base class: what its subclasses are called, and the others. */
const NAMES: Readonly<Record<number, readonly [string, ...(string | undefined)[]]>> = {
  0x01: ['mass-storage', 'scsi', 'ide', 'fdc', 'ipi', 'raid', 'ata', 'sata', 'sas'],
  0x02: ['network', 'ethernet', 'token-ring', 'fddi', 'atm', 'isdn', 'worldfip', 'picmg'],
  0x03: ['display', 'vga', 'xga', '3d-controller'],
  0x04: ['multimedia-device', 'video', 'sound', 'telephony'],
  0x05: ['memory-controller', 'memory', 'flash'],
  0x06: ['unknown-bridge', 'host', 'isa', 'eisa', 'mca', 'pci', 'pcmcia', 'nubus', 'cardbus', 'raceway'],
  0x07: ['communication-controller', 'serial', 'parallel', 'multiport-serial', 'modem', 'gpib', 'smart-card'],
  0x08: ['system-peripheral', 'interrupt-controller', 'dma-controller', 'timer', 'rtc', 'hotplug-controller'],
  0x09: ['input-controller', 'keyboard', 'pen', 'mouse', 'scanner', 'gameport'],
  0x0a: ['docking-station', 'dock'],
  0x0b: ['cpu', '386', '486', 'pentium'],
  0x0c: ['serial-bus', 'firewire', 'access-bus', 'ssa', 'usb', 'fibre-channel', 'smbus', 'infiniband'],
};
const VGA_OF_OLD = 0x0001;

/** `unclassified`: what this firmware calls functions that were made before there were classes. */
function nameOf({ classCode }: PciFunction, unclassified: string): string {
  const code = (classCode ?? 0) >>> 8;
  const names = NAMES[code >>> 8];
  if (!names) return code === VGA_OF_OLD ? 'vga' : unclassified;
  return names[1 + (code & 0xff)] ?? names[0];
}

const nodeName = (f: PciFunction, unclassified: string): string =>
  `${nameOf(f, unclassified)}@${f.dev.toString(16)}${f.fn > 0 ? `,${f.fn}` : ''}`;

/** Undefined: nobody knows what the firmware calls the host bridge; VFs are none of the firmware's. */
function pathOf(topology: Topology, f: PciFunction, unclassified: string): string | undefined {
  const bridge = topology.firmwareNames.get(f.domain);
  if (bridge === undefined || f.isVf) return undefined;
  const below = [...topology.bridgesAbove(f).reverse(), f].map((each) => nodeName(each, unclassified));
  return `/${[bridge, ...below].join('/')}`;
}

/** `unclassified`: see above; undefined: the kernel knows no device tree. `up`: from the function's directory to /sys. */
export function deviceTreeFiles(
  topology: Topology,
  f: PciFunction,
  unclassified: string | undefined,
  up: string,
): Record<string, () => Node> {
  if (unclassified === undefined) return {};
  const path = pathOf(topology, f, unclassified);
  if (path === undefined) return { devspec: () => ({ kind: 'attribute', show: () => '' }) };
  return {
    devspec: () => text(() => path),
    of_node: () => link(`${up}firmware/devicetree/base${path}`, () => nodeDir(f, nameOf(f, unclassified))),
  };
}

/** Properties of its node that PCI tells. */
const nodeDir = (f: PciFunction, name: string) =>
  fixedDir({
    'class-code': () => cell(f.classCode),
    'device-id': () => cell(f.device),
    name: () => ({ kind: 'binary', show: () => new TextEncoder().encode(`${name}\0`) }),
    'revision-id': () => cell(f.revision ?? 0),
    'vendor-id': () => cell(f.vendor),
  });

function cell(value: number | null): BinaryNode | undefined {
  if (value === null) return undefined;
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return { kind: 'binary', show: () => bytes };
}

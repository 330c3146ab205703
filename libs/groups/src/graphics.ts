/**
 * What a host gives its graphics devices besides their BARs: legacy VGA addresses, and what Intel's drivers look for: the
 * firmware's OpRegion, and the config space of the host and LPC bridges. [vfio_pci_core.c, vfio_pci_igd.c]
 *
 * Words: the *OpRegion* is 8 KiB of the firmware's, found by a register of the device; its *extended VBT* lies elsewhere
 * and is shown right behind it.
 * Rule: only kernels of x86 do this. A description holds the OpRegion with the extended VBT behind it.
 */
import type { FunctionFacts } from '@vfiolab/core';
import { classOf, type PciFunction } from '@vfiolab/pci';
import type { Host } from './host.js';
import { KERNEL_BUILDS } from './kernel-build.js';

const VGA_CLASS = 0x0300;
const DISPLAY = 0x03;
const INTEL = 0x8086;
const [HOST_BRIDGE_CLASS, ISA_BRIDGE_CLASS] = [0x060000, 0x060100];
const [HOST_BRIDGE, LPC_BRIDGE] = ['0000:00:00.0', '0000:00:1f.0'];
/** Numbers of the regions; see the kernel's header. */
const [OPREGION, HOST_CONFIG, LPC_CONFIG] = [1, 2, 3];

/** The register that says where the OpRegion is. */
const ADDRESS_AT = 0xfc;
const SIGNATURE = 'IntelGraphicsMem';
const [SIZE_AT, VERSION_AT, VBT_ADDRESS_AT, VBT_SIZE_AT] = [0x10, 0x16, 0x3ba, 0x3c2];
const OPREGION_BYTES = 8192;
/** The last version whose extended VBT is named by its physical address; the next one's is relative. */
const [ABSOLUTE, RELATIVE] = [0x0200, 0x0201];

type Igd = NonNullable<FunctionFacts['igd']>;

/** Does the function answer at the legacy VGA addresses? */
export const isVga = ({ iommu }: Host, f: PciFunction): boolean =>
  iommu.processors === 'x86' && classOf(f) === VGA_CLASS;

/**
 * The regions of an Intel graphics device. Undefined: it is none, or the firmware left it no OpRegion. `refused`: the kernel
 * does not open it, because what it finds is not what it looks for.
 */
export function igdOf(host: Host, f: PciFunction): Igd | undefined {
  const anyDisplay = KERNEL_BUILDS[host.profile].igdIsAnyDisplay;
  const graphics = anyDisplay ? (classOf(f) ?? 0) >> 8 === DISPLAY : classOf(f) === VGA_CLASS;
  if (host.iommu.processors !== 'x86' || !graphics || f.vendor !== INTEL || f.isVf) return undefined;
  const address = f.config && f.config.length > ADDRESS_AT ? viewOf(f.config).getUint32(ADDRESS_AT, true) : 0;
  if (address === 0 || address === 0xffffffff || !f.opregion) return undefined;
  const shown = showOpregion(f.opregion, address);
  const bridges = bridgeRegions(host);
  if (!shown || !bridges) return { regions: [], address, refused: true };
  return { regions: [{ subtype: OPREGION, data: shown.data }, ...bridges], address: shown.address, refused: false };
}

const viewOf = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.length);

interface Shown {
  readonly data: Uint8Array;
  /** What the register reads as from then on. */
  readonly address: number;
}

/** As version 2.1 with the VBT right behind, whatever the firmware made. Undefined: it is no OpRegion. */
function showOpregion(memory: Uint8Array, address: number): Shown | undefined {
  const view = viewOf(memory);
  const signature = String.fromCharCode(...memory.subarray(0, SIGNATURE.length));
  if (signature !== SIGNATURE || view.getUint32(SIZE_AT, true) * 1024 !== OPREGION_BYTES) return undefined;
  const version = view.getUint16(VERSION_AT, true);
  const vbtAddress = view.getBigUint64(VBT_ADDRESS_AT, true);
  const vbtBytes = view.getUint32(VBT_SIZE_AT, true);
  const extended = version >= ABSOLUTE && vbtAddress !== 0n && vbtBytes !== 0;
  const data = memory.slice(0, OPREGION_BYTES + (extended ? vbtBytes : 0));
  if (extended && data.length < OPREGION_BYTES + vbtBytes) return undefined;
  const out = viewOf(data);
  if (extended && version === ABSOLUTE) out.setUint16(VERSION_AT, RELATIVE, true);
  out.setBigUint64(VBT_ADDRESS_AT, extended ? BigInt(OPREGION_BYTES) : 0n, true);
  // The register is left with the place of the VBT, where there is one.
  const low = Number(vbtAddress & 0xffffffffn);
  if (extended) address = version === ABSOLUTE ? low : (address + low) >>> 0;
  return { data, address };
}

/** Those that are there, the host bridge first. Undefined: one of the two is not Intel's. */
function bridgeRegions({ topology }: Host): Igd['regions'] | undefined {
  const regions: Igd['regions'] = [];
  for (const [bdf, classCode, subtype] of [
    [HOST_BRIDGE, HOST_BRIDGE_CLASS, HOST_CONFIG],
    [LPC_BRIDGE, ISA_BRIDGE_CLASS, LPC_CONFIG],
  ] as const) {
    const bridge = topology.get(bdf);
    if (!bridge) return regions;
    if (bridge.vendor !== INTEL || bridge.classCode !== classCode) return undefined;
    regions.push({ subtype, data: configOf(bridge) });
  }
  return regions;
}

const [CONFIG_BYTES, EXTENDED_BYTES] = [256, 4096];

/** Config space as dumped; a bridge of which nobody dumped any has its ids. */
function configOf({ config, vendor, device, classCode, revision }: PciFunction): Uint8Array {
  const bytes = new Uint8Array(config?.length === EXTENDED_BYTES ? EXTENDED_BYTES : CONFIG_BYTES);
  const view = viewOf(bytes);
  view.setUint16(0, vendor ?? 0xffff, true);
  view.setUint16(2, device ?? 0xffff, true);
  view.setUint32(8, (((classCode ?? 0) << 8) | (revision ?? 0)) >>> 0, true);
  if (config) bytes.set(config);
  return bytes;
}

/**
 * What is known about one PCI function. `null` always means "the source did not say".
 *
 * Rule: these are facts read from a machine, never conclusions; conclusions (isolation, groups) live in grouping.ts.
 */
import { formatBdf, parseBdf, type PciAddress } from './bdf.js';
import { TopologyError, quote, type Origin } from './topology-error.js';

/** Device/port type of the PCI Express capability. A function without that capability is conventional PCI: null. */
export type PcieType =
  | 'endpoint'
  | 'legacy_endpoint'
  | 'root_port'
  | 'upstream'
  | 'downstream'
  | 'pcie_to_pci_bridge'
  | 'pci_to_pcie_bridge'
  | 'rciep'
  | 'rcec';

/** Bus numbers of a bridge, each 0-255. */
export interface BridgeBuses {
  readonly primary: number | null;
  readonly secondary: number;
  readonly subordinate: number;
}

/** Access Control Services registers. `cap`/`ctrl` null: the capability is there, its registers were not shown. */
export interface Acs {
  readonly offset: number | null;
  readonly cap: number | null;
  readonly ctrl: number | null;
  /** The 32-bit word at +8, where Intel 100/200 series root ports keep their control register (erratum). */
  readonly dwordCtrl: number | null;
  /** True when the bits were derived from recorded groups and not read from the device. */
  readonly inferred: boolean;
}

export interface Sriov {
  readonly initialVfs: number;
  readonly totalVfs: number;
  readonly numVfs: number;
  /** Requester-id distance from the PF to its first VF, and between VFs. */
  readonly offset: number;
  readonly stride: number;
  readonly vfDevice: number | null;
}

/** What a PF's description says of its VFs beyond the SR-IOV capability. */
export interface VfTemplate {
  /** Configuration space that every VF has. */
  readonly config: Uint8Array | null;
  /** The driver made for them, when it is another than the PF's. */
  readonly driver: string | null;
}

export interface Bar {
  readonly index: number;
  readonly kind: 'mem' | 'io';
  readonly bits: 32 | 64 | null;
  readonly prefetchable: boolean | null;
  /** Bytes; a power of two. */
  readonly size: number | null;
  /** True for a BAR of the function's VFs (in its SR-IOV capability). */
  readonly vf: boolean;
  /** Where the kernel placed it, when its register does not say: that of a ROM is written only when the ROM is on. */
  readonly address?: bigint;
}

export interface Capability {
  readonly offset: number | null;
  /** Capability id; null when only the printed name is known. */
  readonly id: number | null;
  /** True for the PCI Express extended list (from 0x100 on). */
  readonly extended: boolean;
  readonly name: string | null;
}

export interface PciFunction extends PciAddress {
  readonly bdf: string;
  readonly vendor: number | null;
  /** Device id. */
  readonly device: number | null;
  /** 24 bits: base class, sub-class, programming interface. */
  readonly classCode: number | null;
  readonly revision: number | null;
  readonly subsystemVendor: number | null;
  readonly subsystemDevice: number | null;
  /** 0 endpoint, 1 PCI bridge, 2 CardBus bridge. */
  readonly headerType: 0 | 1 | 2;
  /** As the kernel holds it: header bit 7 for function 0, always true for functions 1-7, never for a VF. */
  readonly multifunction: boolean;
  readonly buses: BridgeBuses | null;
  readonly pcieType: PcieType | null;
  readonly acs: Acs | null;
  readonly sriov: Sriov | null;
  readonly vfTemplate: VfTemplate | null;
  readonly isVf: boolean;
  /** BDF of the PF, when this is a VF and its PF is known. */
  readonly vfOf: string | null;
  readonly numaNode: number | null;
  readonly physicalSlot: string | null;
  readonly driver: string | null;
  /** Group number the machine's own kernel gave. Used for scope only, never to answer the partition. */
  readonly iommuGroup: number | null;
  readonly bars: readonly Bar[];
  readonly caps: readonly Capability[];
  /** Configuration space as dumped: 64, 128, 256 or 4,096 bytes. */
  readonly config: Uint8Array | null;
  /** What answers behind its registers, by name; null: what the lab has for every function. */
  readonly model: string | null;
  /** Name of the network that its port is on; VFs are behind their PF's. */
  readonly network: string | null;
  /** Of Intel graphics: the firmware's OpRegion, and its extended VBT right behind it. */
  readonly opregion: Uint8Array | null;
  /** Of a port: its link does not come up again after a reset of the bus below. */
  readonly losesLink: boolean;
  /** The machine's IOMMU does not know it, whatever kind that is. */
  readonly unknownToIommu: boolean;
}

export type PciFunctionInit = Partial<Omit<PciFunction, keyof PciAddress | 'bdf'>> & {
  readonly bdf: string;
  readonly origin?: Origin;
};

const UNKNOWN = {
  vendor: null,
  device: null,
  classCode: null,
  revision: null,
  subsystemVendor: null,
  subsystemDevice: null,
  headerType: 0,
  multifunction: false,
  buses: null,
  pcieType: null,
  acs: null,
  sriov: null,
  vfTemplate: null,
  isVf: false,
  vfOf: null,
  numaNode: null,
  physicalSlot: null,
  driver: null,
  iommuGroup: null,
  bars: [],
  caps: [],
  config: null,
  model: null,
  network: null,
  opregion: null,
  losesLink: false,
  unknownToIommu: false,
} as const;

/**
 * Completes the facts of one function. Whatever its header says, functions 1-7 count as multifunction and VFs do not
 * [probe.c pci_scan_slot, iov.c]. Throws TopologyError when the address is not a BDF.
 */
export function pciFunction(init: PciFunctionInit): PciFunction {
  const { origin = {}, ...facts } = init;
  const address = parseBdf(init.bdf);
  if (!address) throw new TopologyError(`${quote(init.bdf)} is not a PCI address`, origin, 'Expected dddd:bb:dd.f.');
  const f = { ...UNKNOWN, ...facts, ...address, bdf: formatBdf(address) };
  const bars = f.isVf || !f.config ? f.bars : f.bars.map((bar) => withRegister(bar, f.config!));
  return { ...f, bars, multifunction: !f.isVf && (f.multifunction || f.fn > 0) };
}

/** What the source did not print of a memory BAR, its register says in its lowest bits. */
function withRegister(bar: Bar, config: Uint8Array): Bar {
  const register = config[0x10 + 4 * bar.index];
  if (bar.kind !== 'mem' || bar.vf || bar.index > 5 || register === undefined) return bar;
  const { bits, prefetchable } = bar;
  return { ...bar, bits: bits ?? ((register & 6) === 4 ? 64 : 32), prefetchable: prefetchable ?? (register & 8) !== 0 };
}

/** Base class and sub-class, e.g. 0x0604 for a PCI bridge; null when unknown. */
export const classOf = (f: PciFunction): number | null => (f.classCode === null ? null : f.classCode >> 8);

/**
 * Files of a function's directory in sysfs that tell about its windows and resets.
 *
 * Rule: addresses are those of the recorded config space, or what the description says instead; a window whose address nobody knows is shown as the kernel shows
 * one that it could not place.
 */
import { type Bar, type BridgeWindow, type PciFunction, resetMethods } from '@vfiolab/pci';
import type { Host } from './host.js';

/** Lines of `resource`: six BARs, the ROM, and what only bridges and PFs have. */
const WINDOWS = 13;
const BRIDGE_WINDOWS = 17;
const ROM_INDEX = 6;
const DEFAULT_PAGE_SHIFT = 12;

/** Linux resource flags. */
const IO = 0x100;
const MEM = 0x200;
const PREFETCH = 0x2000;
const READONLY = 0x4000;
const SIZE_ALIGN = 0x40000;
const MEM_64 = 0x100000;
const UNSET = 0x20000000;

const hex16 = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;

/** How the machine places the windows of its functions. */
export interface Placement {
  /** Of the host bridge, where the processor has other addresses than functions. */
  readonly window?: BridgeWindow | undefined;
  /** The bridges at the top forward these windows of the host bridge, and not what their registers say (OPAL). */
  readonly top?: { readonly memory?: BridgeWindow | undefined; readonly wide?: BridgeWindow | undefined };
  /** Every BAR has pages of its own, of so many bytes (OPAL). */
  readonly page?: number;
  /** The device tree says of no ROM that it is prefetchable. */
  readonly plainRoms?: boolean;
}

export function placementOf({ iommu, topology, setup }: Host, f: PciFunction): Placement {
  const window = topology.bridgeWindows.get(f.domain);
  if (iommu.endpoints !== 'bus') return { window, plainRoms: iommu.windowsFromTree === true };
  const page = 2 ** (setup.pageShift ?? DEFAULT_PAGE_SHIFT);
  if (topology.bridgesAbove(f).length > 1) return { window, page };
  return { window, page, top: { memory: window, wide: topology.wideWindows.get(f.domain) } };
}

/** A BAR is aligned to its size; one that is smaller than its page, to the page. */
const alignment = ({ size }: Bar, { page = 0 }: Placement): number => ((size ?? 0) < page ? 0 : SIZE_ALIGN);

/** The lowest bits of the register, which the kernel keeps in the flags. */
function flagsOf(bar: Bar, placement: Placement): number {
  const { index, kind, bits, prefetchable } = bar;
  if (kind === 'io') return SIZE_ALIGN | IO | 1;
  const align = alignment(bar, placement);
  if (index === ROM_INDEX) return align | READONLY | (placement.plainRoms ? 0 : PREFETCH) | MEM;
  return align | MEM | (bits === 64 ? MEM_64 | 4 : 0) | (prefetchable ? PREFETCH | 8 : 0);
}

function addressOf({ index, kind, bits, address }: Bar, config: Uint8Array | null): bigint {
  if (address !== undefined) return address;
  if (!config) return 0n;
  const word = (at: number): bigint =>
    BigInt(new DataView(config.buffer, config.byteOffset + at, 4).getUint32(0, true));
  const at = index === ROM_INDEX ? 0x30 : 0x10 + 4 * index;
  if (kind === 'io') return word(at) & ~0x3n;
  if (index === ROM_INDEX) return word(at) & ~0x7ffn;
  return (word(at) & ~0xfn) | (bits === 64 ? word(at + 4) << 32n : 0n);
}

/** As the processor has it. */
const throughWindow = (address: bigint, window: BridgeWindow | undefined): bigint =>
  window && address >= window.bus && address < window.bus + window.size ? address - window.bus + window.cpu : address;

function line(bar: Bar | undefined, config: Uint8Array | null, placement: Placement): string {
  if (!bar?.size) return [0n, 0n, 0n].map(hex16).join(' ');
  const start = bar.kind === 'io' ? addressOf(bar, config) : throughWindow(addressOf(bar, config), placement.window);
  const flags = flagsOf(bar, placement) | (start === 0n ? UNSET : 0);
  return [start, start + BigInt(bar.size) - 1n, BigInt(flags)].map(hex16).join(' ');
}

/** `resource`: start, last and flags of each window (traces b044, d044, p001). */
export function resourceText({ bars, config, headerType }: PciFunction, placement: Placement = {}): string {
  const own = bars.filter(({ vf }) => !vf);
  const count = headerType === 0 ? WINDOWS : BRIDGE_WINDOWS;
  const lines = Array.from({ length: count }, (_, i) =>
    line(
      own.find(({ index }) => index === i),
      config,
      placement,
    ),
  );
  if (headerType === 1 && config) lines.splice(WINDOWS, 3, ...bridgeWindows(config, placement).map(windowLine));
  return lines.join('\n');
}

interface Range {
  readonly start: bigint;
  readonly last: bigint;
}

interface Window extends Range {
  readonly flags: number;
}

/** Ports, memory and prefetchable memory that a PCI bridge forwards (PCI-to-PCI Bridge 1.2, 3.2.5). */
function bridgeWindows(config: Uint8Array, { window, top }: Placement): Window[] {
  const view = new DataView(config.buffer, config.byteOffset, config.length);
  const u16 = (at: number): bigint => BigInt(view.getUint16(at, true));
  const u32 = (at: number): bigint => BigInt(view.getUint32(at, true));
  const memory = (at: number) => ({
    start: (u16(at) & 0xfff0n) << 16n,
    last: ((u16(at + 2) & 0xfff0n) << 16n) | 0xfffffn,
  });
  const [io, wide] = [config[0x1c]!, (config[0x24]! & 0xf) === 1];
  const ports = {
    start: (BigInt(io & 0xf0) << 8n) | (io & 1 ? u16(0x30) << 16n : 0n),
    last: (BigInt(config[0x1d]! & 0xf0) << 8n) | 0xfffn | (io & 1 ? u16(0x32) << 16n : 0n),
  };
  const prefetchable = memory(0x24);
  const upper = { start: wide ? u32(0x28) << 32n : 0n, last: wide ? u32(0x2c) << 32n : 0n };
  const narrow = memory(0x20);
  const forwarded = { start: prefetchable.start | upper.start, last: prefetchable.last | upper.last };
  // The kernel leaves out the top of the window, where messages go, and of the wide window too when it has done so before.
  const clipped = top && isOpen(narrow) ? WITHOUT_MESSAGES : 0n;
  const placed = (range: Range, whole: BridgeWindow | undefined): Range => {
    if (!isOpen(range)) return range;
    if (whole) return { start: whole.cpu, last: whole.cpu + whole.size - 1n - clipped };
    return { start: throughWindow(range.start, window), last: throughWindow(range.last, window) };
  };
  return [
    { ...ports, flags: IO | (io & 0xf) },
    { ...placed(narrow, top?.memory), flags: MEM },
    { ...placed(forwarded, top?.wide), flags: MEM | PREFETCH | (wide ? MEM_64 | 1 : 0) },
  ];
}

/** The megabyte that a bridge's window must do without for 64 KiB of messages, and those 64 KiB (pnv_pci_fixup_bridge_resources). */
const WITHOUT_MESSAGES = 0x100000n - 0x10000n;

/** A window that begins at 0, or ends before it begins, forwards nothing. */
const isOpen = ({ start, last }: Range): boolean => start !== 0n && last >= start;

const windowLine = (window: Window): string =>
  (isOpen(window) ? [window.start, window.last, BigInt(window.flags)] : [0n, 0n, 0n]).map(hex16).join(' ');

/** How the function can be reset (trace b060). One of unknown config space is made with FLR. */
export function defaultResetMethods({ config, pcieType }: PciFunction, alone: boolean): string[] {
  if (config && config.length >= 256) return resetMethods(config, alone);
  return [...(pcieType === null ? [] : ['flr']), ...(alone ? ['bus'] : [])];
}

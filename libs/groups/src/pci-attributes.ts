/**
 * Files of a function's directory in sysfs that tell about its windows and resets.
 *
 * Rule: addresses are those of the recorded config space; a window whose address nobody knows is shown as the kernel shows
 * one that it could not place.
 */
import { type Bar, type BridgeWindow, type PciFunction, resetMethods } from '@vfiolab/pci';

/** Lines of `resource`: six BARs, the ROM, and what only bridges and PFs have. */
const WINDOWS = 13;
const BRIDGE_WINDOWS = 17;
const ROM_INDEX = 6;

/** Linux resource flags. */
const IO = 0x100;
const MEM = 0x200;
const PREFETCH = 0x2000;
const READONLY = 0x4000;
const SIZE_ALIGN = 0x40000;
const MEM_64 = 0x100000;
const UNSET = 0x20000000;

const hex16 = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;

/** The lowest bits of the register, which the kernel keeps in the flags. */
function flagsOf({ index, kind, bits, prefetchable }: Bar): number {
  if (kind === 'io') return SIZE_ALIGN | IO | 1;
  if (index === ROM_INDEX) return SIZE_ALIGN | READONLY | PREFETCH | MEM;
  return SIZE_ALIGN | MEM | (bits === 64 ? MEM_64 | 4 : 0) | (prefetchable ? PREFETCH | 8 : 0);
}

function addressOf({ index, kind, bits }: Bar, config: Uint8Array | null): bigint {
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

function line(bar: Bar | undefined, config: Uint8Array | null, window: BridgeWindow | undefined): string {
  if (!bar?.size) return [0n, 0n, 0n].map(hex16).join(' ');
  const start = bar.kind === 'io' ? addressOf(bar, config) : throughWindow(addressOf(bar, config), window);
  const flags = flagsOf(bar) | (start === 0n ? UNSET : 0);
  return [start, start + BigInt(bar.size) - 1n, BigInt(flags)].map(hex16).join(' ');
}

/** `resource`: start, last and flags of each window (traces b044, d044); `window`: of the host bridge. */
export function resourceText({ bars, config, headerType }: PciFunction, window?: BridgeWindow): string {
  const own = bars.filter(({ vf }) => !vf);
  const count = headerType === 0 ? WINDOWS : BRIDGE_WINDOWS;
  const lines = Array.from({ length: count }, (_, i) =>
    line(
      own.find(({ index }) => index === i),
      config,
      window,
    ),
  );
  if (headerType === 1 && config) lines.splice(WINDOWS, 3, ...bridgeWindows(config).map(windowLine));
  return lines.join('\n');
}

interface Window {
  readonly start: bigint;
  readonly last: bigint;
  readonly flags: number;
}

/** Ports, memory and prefetchable memory that a PCI bridge forwards (PCI-to-PCI Bridge 1.2, 3.2.5). */
function bridgeWindows(config: Uint8Array): Window[] {
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
  return [
    { ...ports, flags: IO | (io & 0xf) },
    { ...memory(0x20), flags: MEM },
    {
      start: prefetchable.start | upper.start,
      last: prefetchable.last | upper.last,
      flags: MEM | PREFETCH | (wide ? MEM_64 | 1 : 0),
    },
  ];
}

/** A window that begins at 0, or ends before it begins, forwards nothing. */
const windowLine = ({ start, last, flags }: Window): string =>
  (start === 0n || last < start ? [0n, 0n, 0n] : [start, last, BigInt(flags)]).map(hex16).join(' ');

/** How the function can be reset (trace b060). One of unknown config space is made with FLR. */
export function defaultResetMethods({ config, pcieType }: PciFunction, alone: boolean): string[] {
  if (config && config.length >= 256) return resetMethods(config, alone);
  return [...(pcieType === null ? [] : ['flr']), ...(alone ? ['bus'] : [])];
}

/**
 * Files of a function's directory in sysfs that tell about its windows and resets.
 *
 * Rule: addresses are those of the recorded config space; a window whose address nobody knows is shown as the kernel shows
 * one that it could not place.
 */
import { type Bar, type PciFunction, resetMethods } from '@vfiolab/pci';

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

function line(bar: Bar | undefined, config: Uint8Array | null): string {
  if (!bar?.size) return [0n, 0n, 0n].map(hex16).join(' ');
  const start = addressOf(bar, config);
  const flags = flagsOf(bar) | (start === 0n ? UNSET : 0);
  return [start, start + BigInt(bar.size) - 1n, BigInt(flags)].map(hex16).join(' ');
}

/** `resource`: start, last and flags of each window (trace b044). */
export function resourceText({ bars, config, headerType }: PciFunction): string {
  const own = bars.filter(({ vf }) => !vf);
  const count = headerType === 0 ? WINDOWS : BRIDGE_WINDOWS;
  return Array.from({ length: count }, (_, i) =>
    line(
      own.find(({ index }) => index === i),
      config,
    ),
  ).join('\n');
}

/** `reset_method`; undefined: there is none, and no file (trace b060). A function of unknown config space is made with FLR. */
export function resetMethodText({ config, pcieType }: PciFunction, alone: boolean): string | undefined {
  const known = config && config.length >= 256;
  const made = [...(pcieType === null ? [] : ['flr']), ...(alone ? ['bus'] : [])];
  const methods = known ? resetMethods(config, alone) : made;
  return methods.length > 0 ? methods.join(' ') : undefined;
}

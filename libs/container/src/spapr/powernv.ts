/**
 * DMA windows on bare metal (PHB4): the default one at 0, another one at 2^59. [pci-ioda.c, pci-ioda-tce.c]
 *
 * Rule: a table is rounded up to a page of the kernel, and so is the window, without telling (SURPRISES 61); each table has
 * a copy with the caller's addresses, which is charged too.
 */
import { fail, ok } from '@vfiolab/uapi';
import { bit, isPowerOfTwo, log2, type TcePlatform, u32, type WindowRequest } from './platform.js';

const MAX_LEVELS = 5;
const SECOND_WINDOW = 1n << 59n;
/** log2 of the largest piece of memory that the kernel gives out at once. */
const LARGEST_ALLOCATION = 24;
const ENTRY_SHIFT = 3;
const ADDRESS_BITS = 55;

const alignUp = (n: bigint, to: bigint): bigint => BigInt.asUintN(64, (n + to - 1n) & ~(to - 1n));
const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** log2 of the TCEs of one level. */
const levelEntries = ({ size, pageShift, levels }: WindowRequest): number =>
  Math.floor(u32(u32(log2(size) - pageShift) + levels - 1) / levels);

export const POWERNV: TcePlatform = {
  start: 0,
  size: 0x8000_0000,
  pageSizes: 0x40211000n,
  windows: 2,
  levels: MAX_LEVELS,
  eeh: true,
  writeImpliesRead: true,
  sharesWindows: true,

  tableBytes(request, kernelPageShift) {
    const { size, pageShift, levels } = request;
    if (levels === 0 || levels > MAX_LEVELS || !isPowerOfTwo(size)) return 0n;
    let table = larger(0x1000n, bit(u32(log2(size) - pageShift + ENTRY_SHIFT)));
    const direct = bit(Math.max(u32(levelEntries(request) + ENTRY_SHIFT), kernelPageShift));
    // The window is smaller than its pages: the kernel's division by 0 gives 0.
    if (direct === 0n) return 0n;
    let bytes = 0n;
    for (let level = 0; level < levels; level++) {
      bytes += alignUp(table, direct);
      table = larger((table / direct) << BigInt(ENTRY_SHIFT), direct);
    }
    return bytes * 2n;
  },

  place(request, { slot, pageShift: kernelPageShift }) {
    const { size, pageShift, levels } = request;
    if (levels === 0 || levels > MAX_LEVELS || !isPowerOfTwo(size)) return fail('EINVAL');
    const levelShift = Math.max(u32(levelEntries(request) + ENTRY_SHIFT), kernelPageShift);
    if ((levelShift - ENTRY_SHIFT) * levels + pageShift >= ADDRESS_BITS) return fail('EINVAL');
    if (levelShift > LARGEST_ALLOCATION) return fail('ENOMEM');
    const tableShift = Math.max(u32(log2(size) - pageShift + ENTRY_SHIFT), kernelPageShift);
    const start = slot === 0 ? 0n : SECOND_WINDOW;
    return ok({
      pageShift,
      first: Number(start >> BigInt(pageShift)),
      entries: Number(bit(tableShift) >> BigInt(ENTRY_SHIFT)),
    });
  },
};

/**
 * DMA windows under a hypervisor: the default one at 0, and one dynamic window at 2^59. [platforms/pseries/iommu.c]
 *
 * Rule: the hypervisor makes one dynamic window for a group; asked for a second it refuses, and the kernel never asks again
 * for that group (traces p035, p037). A window belongs to one group.
 */
import { fail, ok } from '@vfiolab/uapi';
import {
  isPowerOfTwo,
  log2,
  shiftRight,
  type TcePlatform,
  u32,
  type WindowPlace,
  type WindowRequest,
} from './platform.js';

const DYNAMIC_WINDOW = 1n << 59n;
const DEFAULT_PAGE_SHIFT = 12;
const DEFAULT_SIZE = 0x4000_0000;
/** Bytes that are charged for a table of more levels than there are. */
const TOO_MANY_LEVELS = 0xffff_ffffn;
/** TCEs that the hypervisor offers for one window. */
const LARGEST_BLOCK = 0xffff_ffffn;

/** Does such a request restore the default window? */
const asksForDefault = ({ pageShift, size }: WindowRequest): boolean =>
  size <= BigInt(DEFAULT_SIZE) && pageShift === DEFAULT_PAGE_SHIFT;

const isDynamic = ({ first }: WindowPlace): boolean => first !== 0;

export const PSERIES: TcePlatform = {
  start: 0,
  size: DEFAULT_SIZE,
  pageSizes: 0x1211000n,
  windows: 2,
  levels: 1,
  eeh: false,
  writeImpliesRead: false,
  sharesWindows: false,

  tableBytes: ({ pageShift, size, levels }) => (levels > 1 ? TOO_MANY_LEVELS : shiftRight(size, u32(pageShift - 3))),

  place(request, { slot, others, failed }) {
    const { pageShift, size, levels } = request;
    if (!isPowerOfTwo(size) || levels > 1) return fail('EINVAL');
    if (failed) return fail('ENODEV');
    const entries = shiftRight(size, pageShift);
    const dynamic = others.some(isDynamic);
    if (slot === 0 && dynamic) return fail('EPERM');
    if (slot === 0 && asksForDefault(request)) return ok({ pageShift, first: 0, entries: Number(entries) });
    if (entries > LARGEST_BLOCK) return fail('EINVAL');
    if (dynamic || log2(size) < pageShift) return fail('ENODEV');
    return ok({ pageShift, first: Number(DYNAMIC_WINDOW >> BigInt(pageShift)), entries: Number(entries) });
  },
};

/**
 * VT-d's first stage: the table of an x86 processor, of 4 or 5 levels.
 *
 * Rule: requests are a user's, so every entry on the way must allow users; writing must be allowed by all of them. The
 * hardware marks the entries it uses as accessed, and the leaf of a write as dirty, in the guest's memory.
 */
import type { Op } from '@vfiolab/core';
import type { GuestTable, IotlbEntry } from './guest-table.js';
import type { Access, Memory, WalkFault } from './guest-walk.js';

const [PRESENT, WRITABLE, USER, ACCESSED, DIRTY, LARGE] = [1n, 2n, 4n, 0x20n, 0x40n, 0x80n];
const ADDRESS = 0xffffffffff000n;
const PAGE_BITS = 12;
const LEVEL_BITS = 9;
/** The largest leaf is 1 GiB. */
const TOP_LEAF = 2;
const TRANSLATION = 0x10;
const PERMISSION = 0x13;

const refused = (reason: string, event = TRANSLATION, ipa?: bigint): WalkFault => ({
  reason,
  event,
  access: ipa === undefined ? 2 : 1,
  ...(ipa !== undefined && { ipa }),
});

export function* vtdWalk({ words }: GuestTable, { page, write }: Access, memory: Memory): Op<IotlbEntry | WalkFault> {
  const [, root, width] = words;
  const levels = width === 57n ? 5 : 4;
  if (!isCanonical(page, levels)) return refused('not a canonical address');
  let table = root! & ADDRESS;
  let writable = true;
  for (let level = levels - 1; ; level--) {
    const index = Math.floor(page / 2 ** (LEVEL_BITS * level)) % 512;
    const at = table + BigInt(index * 8);
    const entry = yield* memory.fetch(at);
    if (entry === undefined) return refused('guest table not readable', TRANSLATION, at);
    if ((entry & PRESENT) === 0n) return refused('not mapped by the guest');
    if ((entry & USER) === 0n) return refused('not for users in the guest table', PERMISSION);
    writable &&= (entry & WRITABLE) !== 0n;
    const leaf = level === 0 || (level <= TOP_LEAF && (entry & LARGE) !== 0n);
    if (leaf && write && !writable) return refused('not writable in the guest table', PERMISSION);
    const used = entry | ACCESSED | (leaf && write ? DIRTY : 0n);
    if (used !== entry && !(yield* memory.store(at, used))) return refused('guest table not writable', TRANSLATION, at);
    if (leaf) {
      const span = 2 ** (LEVEL_BITS * level);
      return { page: pageIn(entry, page, span), span, writable, dirty: (used & DIRTY) !== 0n, asid: 0 };
    }
    table = entry & ADDRESS;
  }
}

/** The bits above the table's width repeat its highest. */
function isCanonical(page: number, levels: number): boolean {
  const half = 2 ** (LEVEL_BITS * levels - 1);
  return page < half || page >= 2 ** (64 - PAGE_BITS) - half;
}

function pageIn(entry: bigint, page: number, span: number): number {
  const first = Number((entry & ADDRESS) >> BigInt(PAGE_BITS));
  return first - (first % span) + (page % span);
}

/**
 * An SMMU's first stage: stream table entry, context descriptor, then a VMSAv8-64 table with granules of 4, 16 or 64 KiB.
 *
 * Words: a *context* is chosen by the PASID (substream) and names one table for low addresses and one for high ones.
 * Rule: fields and faults are those of the architecture; which of them are recorded is seen in traces n007 and n011.
 */
import type { Op } from '@vfiolab/core';
import type { ContextWords, GuestTable, IotlbEntry } from './guest-table.js';
import type { Access, Memory, WalkFault } from './guest-walk.js';

/** Events. */
const [BAD_SUBSTREAM, BAD_CD, TRANSLATION, ACCESS_FLAG, PERMISSION] = [0x08, 0x0a, 0x10, 0x12, 0x13];
/** What was accessed. */
const [CONTEXT, TABLE, INPUT] = [0, 1, 2];

const ADDRESS = 0xfffffffff000n;
const CONTEXT_ADDRESS = 0xfffffffffffc0n;
const CONTEXT_BYTES = 64n;
const PAGE_BITS = 12;
const [VALID, BIT_TABLE] = [1n, 2n];
const READ_ONLY = 1n << 7n;
const ACCESSED = 1n << 10n;
/** Restrictions in a table descriptor for everything below it. */
const TABLE_READ_ONLY = 1n << 62n;

const bits = (word: bigint, low: number, count: number): number =>
  Number((word >> BigInt(low)) & ((1n << BigInt(count)) - 1n));

const refused = (reason: string, event: number, access: number, ipa?: bigint): WalkFault => ({
  reason,
  event,
  access,
  ...(ipa !== undefined && { ipa }),
});

interface Plan {
  readonly root: bigint;
  readonly granule: number;
  /** Bits of address that the table translates. */
  readonly width: number;
  readonly setsAccessed: boolean;
  readonly obeysTables: boolean;
  readonly asid: number;
}

export function* smmuWalk(table: GuestTable, access: Access, memory: Memory): Op<IotlbEntry | WalkFault> {
  const context = yield* contextOf(table, access.pasid, memory);
  if (!isWords(context)) return context;
  const plan = planOf(context, access.page);
  return 'reason' in plan ? plan : yield* descend(table, plan, access, memory);
}

const isWords = (c: ContextWords | WalkFault): c is ContextWords => Array.isArray(c);

/** Reads the context descriptor, or what is remembered of it. Only linear tables of them are read. */
function* contextOf(table: GuestTable, pasid: number, memory: Memory): Op<ContextWords | WalkFault> {
  const known = table.contexts.get(pasid);
  if (known) return known;
  const [low] = table.words;
  const linear = bits(low!, 4, 2) === 0 || bits(low!, 59, 5) === 0;
  if (!linear || pasid >= 2 ** bits(low!, 59, 5)) return refused('no such context', BAD_SUBSTREAM, CONTEXT);
  const at = (low! & CONTEXT_ADDRESS) + BigInt(pasid) * CONTEXT_BYTES;
  const words: bigint[] = [];
  for (let i = 0n; i < 4n; i++) {
    const word = yield* memory.fetch(at + 8n * i);
    if (word === undefined) return refused('context not readable', TRANSLATION, CONTEXT, at + 8n * i);
    words.push(word);
  }
  if (bits(words[0]!, 31, 1) === 0 || bits(words[0]!, 41, 1) === 0) return refused('bad context', BAD_CD, CONTEXT);
  table.contexts.set(pasid, words);
  return words;
}

/** Granules by their code: of the low table, and of the high one. */
const GRANULES = [12, 16, 14, 0];
const HIGH_GRANULES = [0, 14, 12, 16];

function planOf(words: ContextWords, page: number): Plan | WalkFault {
  const [word] = words;
  const high = page >= 2 ** (63 - PAGE_BITS);
  const from = high ? 16 : 0;
  const width = 64 - bits(word!, from, 6);
  const granule = (high ? HIGH_GRANULES : GRANULES)[bits(word!, from + 6, 2)]!;
  const inside = high ? page >= 2 ** (64 - PAGE_BITS) - 2 ** (width - PAGE_BITS) : page < 2 ** (width - PAGE_BITS);
  const disabled = bits(word!, high ? 30 : 14, 1) === 1;
  if (disabled || granule === 0 || !inside) return refused('outside the guest table', TRANSLATION, INPUT);
  return {
    root: words[high ? 2 : 1]! & ADDRESS,
    granule,
    width,
    setsAccessed: bits(word!, 43, 1) === 1,
    obeysTables: bits(words[high ? 2 : 1]!, 60, 1) === 0,
    asid: bits(word!, 48, 16),
  };
}

function* descend(guest: GuestTable, plan: Plan, access: Access, memory: Memory): Op<IotlbEntry | WalkFault> {
  const stride = plan.granule - 3;
  const first = 4 - Math.ceil((plan.width - plan.granule) / stride);
  const address = (BigInt(access.page) << BigInt(PAGE_BITS)) & ((1n << BigInt(plan.width)) - 1n);
  let table = plan.root;
  let readOnly = false;
  for (let level = first; ; level++) {
    const shift = plan.granule + stride * (3 - level);
    const at = table + (((address >> BigInt(shift)) & ((1n << BigInt(stride)) - 1n)) << 3n);
    const remembered = level === first ? guest.roots.get(at) : undefined;
    const entry = remembered ?? (yield* memory.fetch(at));
    if (entry === undefined) return refused('guest table not readable', TRANSLATION, TABLE, at);
    if (level === first && level < 3) guest.rememberRoot(at, entry);
    const isTable = (entry & BIT_TABLE) !== 0n;
    const block = level >= (plan.granule === 12 ? 1 : 2);
    if ((entry & VALID) === 0n || (level === 3 ? !isTable : !isTable && !block))
      return refused('not mapped by the guest', TRANSLATION, INPUT);
    if (level < 3 && isTable) {
      readOnly ||= plan.obeysTables && (entry & TABLE_READ_ONLY) !== 0n;
      table = entry & ADDRESS & ~((1n << BigInt(plan.granule)) - 1n);
      continue;
    }
    const writable = !readOnly && (entry & READ_ONLY) === 0n;
    if (access.write && !writable) return refused('not writable in the guest table', PERMISSION, INPUT);
    const unused = (entry & ACCESSED) === 0n;
    if (unused && !plan.setsAccessed) return refused('access flag is clear in the guest table', ACCESS_FLAG, INPUT);
    if (unused && !(yield* memory.store(at, entry | ACCESSED)))
      return refused('guest table not writable', TRANSLATION, TABLE, at);
    const below = (1n << BigInt(shift)) - 1n;
    const out = (entry & ADDRESS & ~below) | (address & below);
    return {
      page: Number(out >> BigInt(PAGE_BITS)),
      span: 2 ** (shift - PAGE_BITS),
      writable,
      dirty: true,
      asid: plan.asid,
    };
  }
}

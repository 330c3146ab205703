import { GuestTable } from './guest-table.js';
import { type Access, isFault, type Memory, walk } from './guest-walk.js';

/** Guest memory of single words; what is not in it the parent refuses. */
class Words implements Memory {
  readonly words = new Map<bigint, bigint>();
  fetched = 0;

  set(at: bigint, value: bigint): this {
    this.words.set(at, value);
    return this;
  }
  *fetch(ipa: bigint) {
    this.fetched++;
    return this.words.get(ipa);
  }
  *store(ipa: bigint, value: bigint) {
    this.words.set(ipa, value);
    return true;
  }
}

function walked(table: GuestTable, memory: Words, access: Partial<Access>) {
  const step = walk(table, { page: 0, pasid: 0, write: false, ...access }, memory).next();
  if (!step.done) throw new Error('the walk waits');
  const { value } = step;
  return isFault(value) ? value : { page: value.page, span: value.span, writable: value.writable };
}

const CD = 0x1000n;
const STE = 1n | (5n << 1n) | CD;
const [VALID, AARCH64, HIGH_OFF, LOW_OFF, SETS_ACCESSED] = [1n << 31n, 1n << 41n, 1n << 30n, 1n << 14n, 1n << 43n];
const smmu = (ste = STE): GuestTable => new GuestTable('smmu', [ste, 0n]);

/** A context whose low or high table begins at 0x10000. `size`: T0SZ; `code`: its granule. */
function context(
  memory: Words,
  { size = 25n, code = 0n, high = false, more = 0n, at = CD, ttb = 0x10000n } = {},
): Words {
  const half = high ? LOW_OFF | (size << 16n) | (code << 22n) : HIGH_OFF | size | (code << 6n);
  memory.set(at, VALID | AARCH64 | half | more);
  return memory
    .set(at + 8n, high ? 0n : ttb)
    .set(at + 16n, high ? ttb : 0n)
    .set(at + 24n, 0n);
}

const [TABLE, PAGE, BLOCK, ACCESSED, READ_ONLY] = [3n, 3n, 1n, 1n << 10n, 1n << 7n];

describe('an SMMU’s table', () => {
  test.each([
    [
      '4 KiB granules, a page',
      25n,
      0n,
      [
        [0x10000n, 0x20000n | TABLE],
        [0x20000n, 0x30000n | TABLE],
        [0x30018n, 0x77000n | PAGE | ACCESSED],
      ],
      3,
      0x77,
      1,
    ],
    [
      '4 KiB granules, 2 MiB',
      25n,
      0n,
      [
        [0x10000n, 0x20000n | TABLE],
        [0x20008n, 0x600000n | BLOCK | ACCESSED],
      ],
      515,
      0x603,
      512,
    ],
    ['4 KiB granules, 1 GiB', 25n, 0n, [[0x10008n, 0x40000000n | BLOCK | ACCESSED]], 262144 + 5, 0x40005, 262144],
    [
      '16 KiB granules, a page',
      28n,
      2n,
      [
        [0x10000n, 0x20000n | TABLE],
        [0x20008n, 0x24000n | PAGE | ACCESSED],
      ],
      6,
      0x26,
      4,
    ],
    [
      '64 KiB granules, a page',
      22n,
      1n,
      [
        [0x10000n, 0x20000n | TABLE],
        [0x20008n, 0x70000n | PAGE | ACCESSED],
      ],
      17,
      0x71,
      16,
    ],
    ['64 KiB granules, 512 MiB', 22n, 1n, [[0x10000n, 0x40000000n | BLOCK | ACCESSED]], 9, 0x40009, 131072],
  ] as const)('%s', (_what, size, code, entries, page, ipa, span) => {
    const memory = context(new Words(), { size, code });
    for (const [at, value] of entries) memory.set(at, value);
    expect(walked(smmu(), memory, { page })).toEqual({ page: ipa, span, writable: true });
  });

  test('the high half has a table of its own', () => {
    const memory = context(new Words(), { high: true, code: 2n }).set(0x10ff8n, 0x40000000n | BLOCK | ACCESSED);
    expect(walked(smmu(), memory, { page: 2 ** 52 - 1 })).toMatchObject({ page: 0x40000 + 262143 });
    expect(walked(smmu(), memory, { page: 1 })).toMatchObject({ event: 0x10, reason: 'outside the guest table' });
  });

  const leafOf = (leaf: bigint, more = 0n, table = TABLE): Words =>
    context(new Words(), { more })
      .set(0x10000n, 0x20000n | table)
      .set(0x20000n, 0x600000n | leaf);

  test.each([
    ['an address beyond its size', leafOf(BLOCK | ACCESSED), { page: 2 ** 27 }, 0x10, 2],
    ['an entry that is not there', leafOf(0n), {}, 0x10, 2],
    ['a write to what is only readable', leafOf(BLOCK | ACCESSED | READ_ONLY), { write: true }, 0x13, 2],
    [
      'a write below a table for reading only',
      leafOf(BLOCK | ACCESSED, 0n, TABLE | (1n << 62n)),
      { write: true },
      0x13,
      2,
    ],
    ['a leaf that was never accessed', leafOf(BLOCK), {}, 0x12, 2],
    ['a context that is not valid', leafOf(BLOCK).set(CD, 0n), {}, 0x0a, 0],
    ['a PASID without contexts', leafOf(BLOCK | ACCESSED), { pasid: 1 }, 0x08, 0],
    ['a table that the parent has not got', leafOf(0x900000n | TABLE), {}, 0x10, 1],
  ])('%s', (_what, memory, access, event, kind) => {
    expect(walked(smmu(), memory, access)).toMatchObject({ event, access: kind });
  });

  test('the parent’s refusal names the address of the walk that it refused', () => {
    expect(walked(smmu(), leafOf(0x900000n | TABLE), { page: 3 })).toMatchObject({ ipa: 0xf00018n });
  });

  test('hardware that sets the access flag does, in memory', () => {
    const memory = leafOf(BLOCK, SETS_ACCESSED);
    expect(walked(smmu(), memory, {})).toMatchObject({ page: 0x600 });
    expect(memory.words.get(0x20000n)).toBe(0x600000n | BLOCK | ACCESSED);
  });

  test('each PASID has a context, read once', () => {
    const memory = leafOf(BLOCK | ACCESSED);
    context(memory, { at: CD + 128n, ttb: 0x50000n }).set(0x50000n, 0x40000000n | BLOCK | ACCESSED);
    const table = smmu(STE | (2n << 59n));
    expect([walked(table, memory, {}), walked(table, memory, { pasid: 2 })]).toMatchObject([
      { page: 0x600 },
      { page: 0x40000 },
    ]);
    memory.fetched = 0;
    walked(table, memory, { pasid: 2 });
    expect(memory.fetched).toBe(0);
    expect(walked(table, memory, { pasid: 4 })).toMatchObject({ event: 0x08 });
  });
});

describe('VT-d’s first stage', () => {
  const RW = 7n;
  const table = new GuestTable('vtd', [0n, 0x10000n, 48n]);
  const memory = (leaf = 0x77000n | RW, top = RW): Words =>
    new Words()
      .set(0x10000n, 0x20000n | top)
      .set(0x20000n, 0x30000n | RW)
      .set(0x30000n, 0x40000n | RW)
      .set(0x40018n, leaf);

  test('four levels', () => {
    expect(walked(table, memory(), { page: 3 })).toEqual({ page: 0x77, span: 1, writable: true });
  });

  test('the upper half of the addresses', () => {
    const upper = memory()
      .set(0x10ff8n, 0x20000n | RW)
      .set(0x20ff8n, 0x40000000n | RW | 0x80n);
    expect(walked(table, upper, { page: 2 ** 52 - 1 })).toMatchObject({ page: 0x40000 + 262143, span: 262144 });
  });

  test.each([
    ['an entry that no user may use', memory(0x77000n | 3n), {}, 'not for users in the guest table'],
    [
      'a write that a table above forbids',
      memory(0x77000n | RW, 5n),
      { write: true },
      'not writable in the guest table',
    ],
    ['an entry that is not present', memory(0n), {}, 'not mapped by the guest'],
    ['an address between the halves', memory(), { page: 2 ** 35 }, 'not a canonical address'],
  ])('%s', (_what, words, access, reason) => {
    expect(walked(table, words, { page: 3, ...access })).toMatchObject({ reason });
  });

  test('a read marks accessed, a write dirty too', () => {
    const words = memory();
    walked(table, words, { page: 3 });
    expect(words.words.get(0x40018n)).toBe(0x77000n | RW | 0x20n);
    walked(table, words, { page: 3, write: true });
    expect([words.words.get(0x40018n), words.words.get(0x30000n)]).toEqual([
      0x77000n | RW | 0x60n,
      0x40000n | RW | 0x20n,
    ]);
  });
});

import { GuestTable, type IotlbEntry, MAX_IOTLB } from './guest-table.js';

const entry = (page: number, more: Partial<IotlbEntry> = {}): IotlbEntry => ({
  page,
  span: 1,
  writable: true,
  dirty: true,
  asid: 1,
  ...more,
});
const smmu = (low = 0n, high = 0n): GuestTable => new GuestTable('smmu', [low, high]);

test(`the IOTLB holds ${MAX_IOTLB} pages; one more takes the place of the oldest`, () => {
  const table = smmu();
  for (let page = 0; page <= MAX_IOTLB; page++) table.remember(0, page, entry(page));
  expect(table.iotlb.size).toBe(MAX_IOTLB);
  expect([table.lookup(0, 0), table.lookup(0, 1)?.page, table.lookup(0, MAX_IOTLB)?.page]).toEqual([
    undefined,
    1,
    MAX_IOTLB,
  ]);
});

test('a page belongs to its PASID', () => {
  const table = smmu();
  table.remember(1, 7, entry(70));
  expect([table.lookup(1, 7)?.page, table.lookup(0, 7), table.lookup(2, 7)]).toEqual([70, undefined, undefined]);
});

describe('invalidation', () => {
  const filled = (): GuestTable => {
    const table = smmu();
    table.remember(0, 100, entry(1));
    table.remember(3, 100, entry(2, { asid: 2 }));
    // A page in the middle of a leaf of 2 MiB, which begins at page 512.
    table.remember(0, 700, entry(3, { span: 512 }));
    return table;
  };
  const left = (table: GuestTable): number[] => [...table.iotlb.values()].map(({ page }) => page);

  test.each([
    ['a page, in every address space', [100, 1], [3]],
    ['a page of one address space', [100, 1, 2], [1, 3]],
    ['any page of a large leaf takes all of it', [512, 1], [1, 2]],
    ['the page behind a large leaf is another', [1024, 1], [1, 2, 3]],
    ['a range that ends before it', [0, 100], [1, 2, 3]],
    ['a range that ends with it', [0, 101], [3]],
  ] as const)('%s', (_what, range, pages) => {
    const table = filled();
    table.invalidate(range[0], range[1], range[2]);
    expect(left(table)).toEqual(pages);
  });

  test('everything, or everything of one address space', () => {
    const [all, one] = [filled(), filled()];
    all.invalidateAll();
    one.invalidateAll(1);
    expect([left(all), left(one)]).toEqual([[], [2]]);
  });

  test('a change of the parent keeps the configuration, the guest’s own keeps no descriptor', () => {
    const table = filled();
    table.contexts.set(0, [1n]);
    table.rememberRoot(8n, 9n);
    const { generation } = table;
    table.parentChanged();
    expect([table.iotlb.size, table.contexts.size, table.roots.size]).toEqual([0, 1, 1]);
    table.invalidateAll();
    expect([table.contexts.size, table.roots.size]).toEqual([1, 0]);
    table.forgetContexts();
    expect(table.contexts.size).toBe(0);
    expect(table.generation).toBe(generation + 3);
  });
});

describe('what an SMMU’s entry does with a DMA', () => {
  const TRANSLATE = 1n | (5n << 1n);
  const MANY = TRANSLATE | (4n << 59n);
  test.each([
    ['not valid', 5n << 1n, 0n, 0, 'abort'],
    ['abort', 1n, 0n, 0, 'abort'],
    ['bypass', 1n | (4n << 1n), 0n, 0, 'bypass'],
    ['translate; the rest of the entry does not matter with one context', TRANSLATE, 0n, 0, 'translate'],
    ['several contexts: without a PASID it is refused', MANY, 0n, 0, 'abort'],
    ['several contexts: without a PASID it bypasses', MANY, 1n, 0, 'bypass'],
    ['several contexts: without a PASID it takes the first', MANY, 2n, 0, 'translate'],
    ['several contexts: with a PASID', MANY, 0n, 5, 'translate'],
  ] as const)('%s', (_what, low, high, pasid, config) => {
    expect(smmu(low, high).configFor(pasid)).toBe(config);
  });
});

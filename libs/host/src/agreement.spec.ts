import { type Address, IOMMU, IOMMUFD, PAGES } from '@vfiolab/core';
import { IommuCore } from '@vfiolab/iommu';
import { IommufdCore } from '@vfiolab/iommufd';
import { PagesCore } from '@vfiolab/pages';
import { disagreements } from './agreement.js';
import { makeCore } from './index.js';
import { MockBench } from '../../iommufd/src/testing/mock-bench.js';

const APERTURE = 0x1000000n;

/** A program with two domains, an area that begins in the middle of a page, and one of whole pages. */
async function host() {
  const b = await MockBench.boot('7.2');
  const ioas = await b.ioas();
  const { device } = await b.mock(ioas);
  await b.hwpt(device, ioas);
  const va = await b.memory(65536);
  expect(await b.map(ioas, APERTURE + 2048n, 8192n, va + 2048n)).toBeUndefined();
  expect(await b.map(ioas, APERTURE + 0x10000n, 16384n, va)).toBeUndefined();
  const core = (address: Address) => b.host.host.actor(address)!.machine.core;
  const pages = core(PAGES) as PagesCore;
  const iommu = core(IOMMU) as IommuCore;
  return { b, core, pages, iommu, iommufd: core(IOMMUFD) as IommufdCore };
}
type Host = Awaited<ReturnType<typeof host>>;

/** A private part, to break it. */
const part = (of: object, name: string) => (of as Record<string, any>)[name];
const table = (h: Host, domain: number) => part(h.iommu, 'domains').get(domain).table;

it('services that agree have nothing to say', async () => {
  const h = await host();
  expect(h.iommufd.claims().domains.map(({ areas }) => areas.length)).toEqual([2, 2]);
  expect(h.iommufd.claims().covers.map(({ first, count, times }) => [first, count, times])).toEqual([
    [0, 3, 1],
    [0, 4, 1],
  ]);
  expect(disagreements(h.core)).toEqual([]);
  expect(h.b.host.broken()).toEqual([]);
  expect(disagreements(makeCore)).toEqual([]);
  expect(disagreements(() => undefined)).toEqual([]);
});

it.each<[string, (h: Host) => unknown, RegExp]>([
  [
    'a cover that no area has',
    (h) => h.pages.stores.get(1)!.cover.add(1, 3, 1),
    /^I20: slot 2 of store 1 is covered 2 times, those that show it have it 1 times$/,
  ],
  ['a cover too few', (h) => h.pages.stores.get(2)!.cover.add(0, 1, -1), /^I20: slot 0 of store 2 is covered 0 times/],
  [
    'a store that is gone',
    (h) => part(h.pages.stores, 'stores').delete(2),
    /I20: store 2 is somebody's, and is not there/,
  ],
  ['a PTE that no area has', (h) => table(h, 1).map(5, 7, 1, 3), /^I03: domain 1 maps 13 granules, .* has 12$/],
  [
    'a PTE to another page',
    (h) => {
      const [first] = [Number((APERTURE + 0x10000n) >> 11n)];
      table(h, 2).unmap(first, 1);
      table(h, 2).map(first, 9999, 1, 3);
    },
    /^I03: domain 2 shows 9999 at granule \d+, store 2 holds \d+$/,
  ],
  ['a domain that is gone', (h) => part(part(h.iommu, 'domains'), 'byId').delete(2), /I03: domain 2 is somebody's/],
])('%s is found', async (_what, spoil, sentence) => {
  const h = await host();
  spoil(h);
  expect(disagreements(h.core).join('\n')).toMatch(sentence);
});

/**
 * Do the services of a host agree? Each of them checks its own state; this compares what one says about another (I03, I20).
 *
 * Rule: asked when no operation is in flight anywhere; it looks at states and asks nobody.
 */
import type { Address, Core } from '@vfiolab/core';
import type { IommuCore } from '@vfiolab/iommu';
import type { CoverClaim, DomainClaim } from '@vfiolab/iommufd';
import type { PagesCore } from '@vfiolab/pages';
import { wrongDevices } from './device-agreement.js';
import { saidBy } from './said.js';

/** What services say of each other and is not so, in words. `coreOf`: the running core of an address. */
export function disagreements(coreOf: (address: Address) => Core | undefined): string[] {
  const said = saidBy(coreOf);
  if (!said) return [];
  const { iommufd, containers, pages, iommu } = said;
  return [
    ...wrongCovers([...iommufd.covers, ...containers.covers], pages),
    ...[...iommufd.domains, ...containers.domains].flatMap((claim) => wrongDomain(claim, pages, iommu)),
    ...wrongDevices(coreOf),
  ];
}

/** I20: a slot is covered as often as areas in domains and accesses say. */
function wrongCovers(covers: readonly CoverClaim[], pages: PagesCore): string[] {
  const byStore = new Map<number, CoverClaim[]>();
  for (const claim of covers) byStore.set(claim.store, [...(byStore.get(claim.store) ?? []), claim]);
  return [...byStore].flatMap(([id, claims]) => {
    const store = pages.stores.get(id);
    if (!store) return [`I20: store ${id} is somebody's, and is not there`];
    // Counts change only where a claim begins or ends.
    const edges = new Set(claims.flatMap(({ first, count }) => [first, first + count - 1]));
    return [...edges].flatMap((slot) => {
      const times = claims
        .filter(({ first, count }) => first <= slot && slot < first + count)
        .reduce((sum, claim) => sum + claim.times, 0);
      const covered = store.cover.at(slot);
      if (covered === times) return [];
      return [
        `I20: slot ${slot} of store ${id} is covered ${covered} times, those that show it have it ${times} times`,
      ];
    });
  });
}

/** I03: a domain shows the pages that the areas' stores hold, and nothing else. */
function wrongDomain({ domain, perPage, areas }: DomainClaim, pages: PagesCore, iommu: IommuCore): string[] {
  const shown = iommu.shown(domain);
  if (!shown) return [`I03: domain ${domain} is somebody's, and is not there`];
  const wanted = areas.reduce((sum, { count }) => sum + count, 0);
  const broken: string[] = [];
  if (shown.mapped !== wanted)
    broken.push(`I03: domain ${domain} maps ${shown.mapped} granules, what is mapped has ${wanted}`);
  for (const { store, iova, at, count } of areas) {
    if (store === undefined) continue;
    for (const offset of ends(pages, store, at, count, perPage)) {
      const slot = Math.floor((at + offset) / perPage);
      const held = pages.stores.get(store)?.held.pieces(slot, slot + 1)[0];
      const frame = held && held.frame * perPage + ((at + offset) % perPage);
      const found = shown.frameAt(iova + offset);
      if (found !== frame)
        broken.push(`I03: domain ${domain} shows ${found} at granule ${iova + offset}, store ${store} holds ${frame}`);
    }
  }
  return broken;
}

/** Where runs of frames begin and end in granules [at, at + count) of a store, counted from `at`. */
function ends(pages: PagesCore, id: number, at: number, count: number, perPage: number): number[] {
  const [first, end] = [Math.floor(at / perPage), Math.ceil((at + count) / perPage)];
  const pieces = pages.stores.get(id)?.held.pieces(first, end) ?? [];
  const inside = (granule: number): number => Math.min(Math.max(granule - at, 0), count - 1);
  return [
    ...new Set([
      0,
      count - 1,
      ...pieces.flatMap((p) => [p.page * perPage, (p.page + p.count) * perPage - 1].map(inside)),
    ]),
  ];
}

/**
 * What contexts believe to hold of other services: covers of stores, and pages that domains show.
 *
 * Rule: it only reads, and is asked when no operation is in flight; whoever compares it with what those services have finds
 * what two services disagree about (I03, I14, I20, I56).
 */
import type { Address } from '@vfiolab/core';
import type { FaultQueue } from './fault-queue.js';
import type { PeerStores } from './peer-memory.js';
import { type Context, isDevice, isFaultQueue, isHwpt, isIoas, isNested } from './context.js';
import { slots } from './fill.js';
import { type Area, areaLength, type Ioas, pageOffset } from './ioas.js';
import { PAGE_SIZE } from '@vfiolab/uapi';

/** Slots [first, first + count) of a store of the pages service, covered `times` over. */
export interface CoverClaim {
  readonly store: number;
  readonly first: number;
  readonly count: number;
  readonly times: number;
}

/** A domain and the areas that it shows: `iova` and `count` in granules, from a granule of the store on. */
export interface DomainClaim {
  readonly domain: number;
  /** Granules in a page of memory. */
  readonly perPage: number;
  readonly areas: readonly {
    readonly store: number | undefined;
    readonly iova: number;
    readonly at: number;
    readonly count: number;
  }[];
}

/** An IOMMU group of which a context has bound devices. `domain`: of its HWPT; undefined: it is attached to nothing. */
export interface GroupClaim {
  readonly context: number;
  readonly group: number;
  readonly devices: number;
  readonly domain: number | undefined;
}

export interface Claims {
  readonly covers: readonly CoverClaim[];
  readonly domains: readonly DomainClaim[];
  readonly groups: readonly GroupClaim[];
  /** Every domain that a HWPT stands for. */
  readonly hwpts: readonly number[];
  /** Stores whether or not anything of them is covered. */
  readonly stores: readonly number[];
  /** Page requests that wait for an answer: of which function, and their numbers at iommu. */
  readonly requests: readonly { readonly bdf: string; readonly request: number }[];
  /** Functions whose registers some store shows. */
  readonly lenders: readonly Address[];
}

export function claimsOf(contexts: Iterable<Context>, peers: PeerStores): Claims {
  const all = [...contexts];
  const objects = all.flatMap((c) => c.objects.all());
  const ioases = objects.filter(isIoas);
  const covers = ioases.flatMap(coversOf);
  return {
    covers,
    domains: ioases.flatMap(domainsOf),
    groups: all.flatMap(groupsOf),
    hwpts: objects.flatMap((o) => (isHwpt(o) || isNested(o) ? [o.domainId] : [])),
    stores: covers.map(({ store }) => store),
    requests: objects.filter(isFaultQueue).flatMap(requestsOf),
    lenders: peers.lenders(),
  };
}

/** Self-tests make requests that nobody waits for. */
const requestsOf = ({ waiting, delivered }: FaultQueue): Claims['requests'] =>
  [...waiting, ...delivered.values()]
    .filter(({ request }) => request > 0)
    .map(({ device, request }) => ({ bdf: device.bdf, request }));

function groupsOf(c: Context): GroupClaim[] {
  const devices = c.objects.all().filter(isDevice);
  return [...c.igroups.values()].map((igroup) => ({
    context: c.id,
    group: igroup.id,
    devices: devices.filter((d) => d.igroup === igroup && !d.mock).length,
    domain: igroup.hwpt?.domainId,
  }));
}

function coversOf(ioas: Ioas): CoverClaim[] {
  const byAreas = [...ioas.areas]
    .filter(({ store }) => !store!.dmabuf)
    .map((area) => ({ store: area.store!.id, ...slots(area), times: area.covers }));
  const byAccesses = ioas.accesses
    .flatMap(({ items }) => items.flatMap(({ slices }) => slices))
    .map(({ area, first, count }) => ({ store: area.store!.id, first, count, times: 1 }));
  return [...byAreas, ...byAccesses];
}

const domainsOf = (ioas: Ioas): DomainClaim[] =>
  ioas.hwpts.map(({ domain: { domain, granule } }) => {
    const areas = [...ioas.areas].filter(({ store }) => !store!.revoked).map((area) => shown(area, granule));
    return { domain, perPage: PAGE_SIZE >> granule, areas };
  });

function shown(area: Area, granule: number): DomainClaim['areas'][number] {
  const shift = BigInt(granule);
  const at = slots(area).first * (PAGE_SIZE >> granule) + Number(pageOffset(area) >> shift);
  const store = area.store!.dmabuf ? undefined : area.store!.id;
  return { store, iova: Number(area.start >> shift), at, count: Number(areaLength(area) >> shift) };
}

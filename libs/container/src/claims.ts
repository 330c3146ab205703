/**
 * What containers believe to hold of other services: groups, domains and what they show, covers of stores.
 *
 * Rule: it only reads, and is asked when no operation is in flight; whoever compares it with what those services have finds
 * what two services disagree about (I03, I15, I20, I56).
 */
import type { JoinedGroup } from './backend.js';
import type { Container } from './container.js';
import type { Registrations } from './spapr/registrations.js';
import type { Spapr } from './spapr/spapr.js';
import type { Mapping } from './type1/mappings.js';
import type { Type1 } from './type1/type1.js';

/** Slots [first, first + count) of a store of the pages service, covered `times` over. */
export interface CoverClaim {
  readonly store: number;
  readonly first: number;
  readonly count: number;
  readonly times: number;
}

/** A domain and what it shows: `iova` and `count` in frames of 4 KiB, from a frame of the store on. */
export interface DomainClaim {
  readonly domain: number;
  readonly perPage: 1;
  readonly areas: readonly {
    readonly store: number;
    readonly iova: number;
    readonly at: number;
    readonly count: number;
  }[];
}

/** A group in a container. `domain`: where its DMA goes; undefined: nowhere. */
export interface GroupClaim {
  readonly group: number;
  readonly container: number;
  readonly noiommu: boolean;
  readonly domain: number | undefined;
}

export interface BackendClaims {
  readonly covers: readonly CoverClaim[];
  readonly domains: readonly DomainClaim[];
  domainOf(group: number): number | undefined;
}

export interface ContainerClaims {
  readonly covers: readonly CoverClaim[];
  readonly domains: readonly DomainClaim[];
  readonly groups: readonly GroupClaim[];
  /** Stores whether or not anything of them is covered. */
  readonly stores: readonly number[];
}

const noted = (type1: Type1): DomainClaim['areas'] =>
  [...type1.mappings].map(({ first, count, store }) => ({ store, iova: first, at: 0, count }));

/** The whole of a mapping, where domains show it; and each page that drivers of mediated devices have, once. */
const coversOf = ({ store, count, pinned, pins }: Mapping): CoverClaim[] => [
  { store, first: 0, count, times: pinned ? 1 : 0 },
  ...[...pins.keys()].map((first) => ({ store, first, count: 1, times: 1 })),
];

export function claimsOfType1(type1: Type1): BackendClaims {
  const areas = noted(type1);
  return {
    covers: [...type1.mappings].flatMap(coversOf),
    domains: type1.domainIds.map((domain) => ({ domain, perPage: 1, areas })),
    domainOf: (group) => type1.domains.find(({ groups }) => groups.some((each) => each.group === group))?.info.domain,
  };
}

/** TCEs of v2 show registrations, which belong to processes: see `claimsOf`. */
export function claimsOfSpapr({ windows, v2, host, domain }: Spapr): BackendClaims {
  const pieces = windows.flatMap((window) => {
    const scale = window?.table.scale ?? 1;
    return [...(window?.table ?? [])].map(({ entry, count, source, at }) => {
      const store = v2 ? host.registrations.existing(source).store : source;
      return { store, iova: entry * scale, at, count: count * scale };
    });
  });
  const covers = v2 ? [] : pieces.map(({ store, at, count }) => ({ store, first: at, count, times: 1 }));
  return {
    covers,
    domains: domain === undefined ? [] : [{ domain, perPage: 1, areas: pieces }],
    domainOf: () => domain,
  };
}

const FRAME_SHIFT = 12n;

export function claimsOf(containers: readonly Container[], registrations: Registrations): ContainerClaims {
  const backends = containers.flatMap(({ backend }) => backend?.claims() ?? []);
  const registered = [...registrations].map(({ store, bytes }) => {
    return { store, first: 0, count: Number(bytes >> FRAME_SHIFT), times: 1 };
  });
  const covers = [...backends.flatMap((each) => each.covers), ...registered];
  const groups = containers.flatMap(({ id, backend, groups: joined }) => {
    const claims = backend?.claims();
    return joined.map(({ group, noiommu }: JoinedGroup) => {
      return { group, container: id, noiommu, domain: claims?.domainOf(group) };
    });
  });
  return {
    covers,
    domains: backends.flatMap((each) => each.domains),
    groups,
    stores: covers.map(({ store }) => store),
  };
}

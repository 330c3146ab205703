/**
 * Ranges of IOVA that may be mapped.
 *
 * Words: a *span* is [start, last] in bytes. The *valid* spans are what every domain's aperture has in common, without the
 * reserved regions of every group; in order, and disjoint.
 * Rule: narrowing is judged before anything changes (B5.4): a mapping that would be outside refuses the group.
 */
import type { DomainInfo, ReservedRegion } from '@vfiolab/core';

export interface IovaSpan {
  readonly start: bigint;
  readonly last: bigint;
}

/** What a group brings with it. Regions that the kernel maps for itself only do not matter to a container. */
export const reservedSpans = (regions: readonly ReservedRegion[]): IovaSpan[] =>
  regions.filter(({ type }) => type !== 'direct-relaxable').map(({ start, last }) => ({ start, last }));

const EVERYTHING: IovaSpan = { start: 0n, last: (1n << 64n) - 1n };

export function validSpans(apertures: readonly DomainInfo[], reserved: readonly IovaSpan[]): IovaSpan[] {
  const common = apertures.reduce(
    ({ start, last }, a) => ({ start: a.first > start ? a.first : start, last: a.last < last ? a.last : last }),
    EVERYTHING,
  );
  return reserved.reduce<IovaSpan[]>(without, common.start <= common.last ? [common] : []);
}

const without = (spans: readonly IovaSpan[], hole: IovaSpan): IovaSpan[] =>
  spans.flatMap((span) => {
    if (hole.start > span.last || hole.last < span.start) return [span];
    const left = hole.start > span.start ? [{ start: span.start, last: hole.start - 1n }] : [];
    const right = hole.last < span.last ? [{ start: hole.last + 1n, last: span.last }] : [];
    return [...left, ...right];
  });

/** `spans` undefined: everything is. */
export const inside = (spans: readonly IovaSpan[] | undefined, start: bigint, last: bigint): boolean =>
  !spans || spans.some((span) => start >= span.start && last <= span.last);

/** A type1 backend for people, and what must always hold of it. Each sentence begins with the invariant's number. */
import type { JoinedGroup } from '../backend.js';
import { endOf, PAGE_SHIFT } from './mappings.js';
import { inside } from './spans.js';
import type { Type1 } from './type1.js';

const hex = (n: bigint): string => `0x${n.toString(16)}`;

export function describeType1({ v2, mappings, limit, valid, domains, emulated, tracking }: Type1): string[] {
  const spans = valid?.map(({ start, last }) => `${hex(start)}-${hex(last)}`);
  return [
    `type1 ${v2 ? 'v2' : 'v1'}: ${mappings.size} of ${limit} mappings${tracking ? ', collects dirty pages' : ''}`,
    `IOVA ${spans?.join(', ') ?? 'everything'}`,
    ...domains.map(({ info, groups }) => `domain ${info.domain}: groups ${groups.map((g) => g.group).join(', ')}`),
    ...(emulated.length > 0 ? [`without a domain: groups ${emulated.join(', ')}`] : []),
    ...[...mappings].map(
      ({ first, count, store, vaddrInvalid }) =>
        `map ${hex(BigInt(first) << PAGE_SHIFT)} + ${count} pages, store ${store}${vaddrInvalid ? ', address invalid' : ''}`,
    ),
  ];
}

export function checkType1(
  { mappings, domains, emulated, valid, limit, invalid, listeners }: Type1,
  groups: readonly JoinedGroup[],
): string[] {
  const broken: string[] = [];
  let end = 0;
  for (const mapping of mappings) {
    const start = BigInt(mapping.first) << PAGE_SHIFT;
    if (mapping.first < end) broken.push(`I28: the mapping at ${hex(start)} overlaps the one before it`);
    end = endOf(mapping);
    if (mapping.pinned !== domains.length > 0)
      broken.push(
        `B5.4: the mapping at ${hex(start)} is ${mapping.pinned ? '' : 'not '}pinned, with ${domains.length} domains`,
      );
    if (!inside(valid, start, (BigInt(end) << PAGE_SHIFT) - 1n))
      broken.push(`I32: the mapping at ${hex(start)} is outside of what may be mapped`);
  }
  const attached = [...domains.flatMap((d) => d.groups.map((g) => g.group)), ...emulated].sort((a, b) => a - b);
  const joined = groups.map((g) => g.group).sort((a, b) => a - b);
  if (attached.join() !== joined.join())
    broken.push(`I56: groups ${joined.join()} are in the container, ${attached.join()} in its domains`);
  if (domains.some((d) => d.groups.length === 0)) broken.push('I27: a domain without groups is left');
  if (listeners.length === 0 && [...mappings].some(({ pins }) => pins.size > 0))
    broken.push('I21: memory is pinned for a driver, and none is there to let go of it');
  if (mappings.size > limit) broken.push(`I24: ${mappings.size} mappings, ${limit} are allowed`);
  if (invalid !== [...mappings].filter((m) => m.vaddrInvalid).length)
    broken.push('I24: invalid addresses are not counted right');
  return broken;
}

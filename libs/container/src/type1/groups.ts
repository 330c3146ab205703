/**
 * Groups in and out of a type1 container.
 *
 * Rule: a group that joins shares a domain with those that are there when its devices can be attached to it; else it gets one
 * of its own with everything that is mapped (semantics A3.4). The group of a mediated device needs none: what is mapped
 * is pinned while a domain shows it. DMA stops (blocking) before anything is taken away (E9).
 */
import { BLOCKING, call, type DomainInfo, IOMMU, iommuApi, type Op } from '@vfiolab/core';
import { type Fail, fail, ok, type Result } from '@vfiolab/uapi';
import type { JoinedGroup } from '../backend.js';
import { endOf, PAGE_SHIFT } from './mappings.js';
import { replay, unmapAndUnpin, unpinAll } from './memory.js';
import { inside, reservedSpans, validSpans } from './spans.js';
import type { AttachedGroup, Type1 } from './type1.js';

/**
 * EBUSY: an address is invalid, and attaching may need it; EINVAL: a mapping would lie outside the new aperture or in a
 * reserved region, or nothing would be left to map; EPERM: the devices' MSIs are not isolated; ENODEV, ENOSPC, ENOMEM.
 */
export function* joinGroup(type1: Type1, { group, members, emulated }: JoinedGroup): Op<Result<void>> {
  if (type1.invalid > 0) return fail('EBUSY');
  if (emulated) {
    type1.emulated.push(group);
    return ok(undefined);
  }
  const made = yield* call(IOMMU, iommuApi.domainAlloc, { bdf: members[0]!, flags: 0, data: undefined });
  if (!made.ok) return made;
  const domain = made.value;
  if (type1.nested) return yield* giveUp(domain, [], fail(type1.host.iommu.nestedAttach));
  const attached = yield* call(IOMMU, iommuApi.attach, { bdfs: [...members], domain: domain.domain });
  if (!attached.ok) return yield* giveUp(domain, [], attached);
  const regions = yield* call(IOMMU, iommuApi.reservedRegions, { bdf: members[0]! });
  const joining: AttachedGroup = { group, members, reserved: reservedSpans(regions) };
  const admitted = judge(type1, domain, joining);
  if (!admitted.ok) return yield* giveUp(domain, members, admitted);
  const placed = yield* place(type1, domain, joining);
  if (!placed.ok) return yield* giveUp(domain, members, placed);
  type1.refreshValid();
  return ok(undefined);
}

/** Would everything that is mapped stay valid? And are the devices' interrupts safe? */
export function judge(type1: Type1, domain: DomainInfo, { reserved }: AttachedGroup): Result<void> {
  const { domains, host, mappings } = type1;
  const apertures = [...domains.map(({ info }) => info), domain];
  const all = [...domains.flatMap(({ groups }) => groups.flatMap((g) => g.reserved)), ...reserved];
  const valid = validSpans(apertures, all);
  const fits = [...mappings].every((m) => {
    const [start, end] = [BigInt(m.first) << PAGE_SHIFT, BigInt(endOf(m)) << PAGE_SHIFT];
    return inside(valid, start, end - 1n);
  });
  if (valid.length === 0 || !fits) return fail('EINVAL');
  const safe = host.iommu.isolatesMsi || host.get('allow_unsafe_interrupts') !== 0;
  return safe ? ok(undefined) : fail('EPERM');
}

/** Into a domain that is there, which makes the new one needless; else into the new one, filled. */
function* place(type1: Type1, domain: DomainInfo, joining: AttachedGroup): Op<Result<void>> {
  for (const { info, groups } of type1.domains) {
    if (info.coherent !== domain.coherent) continue;
    const shared = yield* call(IOMMU, iommuApi.attach, { bdfs: [...joining.members], domain: info.domain });
    if (!shared.ok) continue;
    groups.push(joining);
    yield* call(IOMMU, iommuApi.domainFree, { domain: domain.domain });
    return ok(undefined);
  }
  const filled = yield* replay(type1, domain.domain);
  if (filled.ok) type1.domains.unshift({ info: domain, groups: [joining] });
  return filled;
}

/** `attached`: devices that are in the domain already. */
function* giveUp({ domain }: DomainInfo, attached: readonly string[], why: Fail): Op<Result<never>> {
  if (attached.length > 0) yield* call(IOMMU, iommuApi.attach, { bdfs: [...attached], domain: BLOCKING });
  yield* call(IOMMU, iommuApi.domainFree, { domain });
  return why;
}

/** The last group takes every mapping along (semantics A3.4, trace b019). */
export function* leaveGroup(type1: Type1, { group, members, emulated }: JoinedGroup): Op<void> {
  if (emulated) {
    type1.emulated = type1.emulated.filter((each) => each !== group);
    if (type1.emulated.length + type1.domains.length === 0) yield* unmapAndUnpin(type1, [...type1.mappings]);
    return;
  }
  const domain = type1.domains.find(({ groups }) => groups.some((g) => g.group === group));
  if (!domain) throw new Error(`group ${group} is in no domain of its container`);
  yield* call(IOMMU, iommuApi.attach, { bdfs: [...members], domain: BLOCKING });
  domain.groups.splice(
    domain.groups.findIndex((g) => g.group === group),
    1,
  );
  if (domain.groups.length === 0) {
    if (type1.domains.length === 1)
      yield* type1.emulated.length === 0 ? unmapAndUnpin(type1, [...type1.mappings]) : unpinAll(type1);
    type1.domains = type1.domains.filter((d) => d !== domain);
    yield* call(IOMMU, iommuApi.domainFree, { domain: domain.info.domain });
  }
  type1.refreshValid();
}

/**
 * Groups in and out of a domain of 2010, and from one to another.
 *
 * Rule: the attachment to the domain is the last step that can fail, so whoever is refused stays where it was: with DMA
 * blocked, or in the domain that it had.
 */
import { BLOCKING, call, type DomainInfo, IOMMU, iommuApi, lockWrite, type Op } from '@vfiolab/core';
import { type Fail, ok, type Result } from '@vfiolab/uapi';
import type { JoinedGroup } from '../backend.js';
import type { Container } from '../container.js';
import { judge } from '../type1/groups.js';
import { replay, unpinAll } from '../type1/memory.js';
import { reservedSpans } from '../type1/spans.js';
import type { AttachedGroup, GroupDomain } from '../type1/type1.js';
import type { Uiommu } from './uiommu.js';

/**
 * EINVAL: the domain is in use by a device that this one does not go together with, or something is mapped where this one
 * cannot reach; EPERM: its MSIs are not isolated; ENOSPC: out of domains; EFAULT, ENOMEM: what is mapped cannot be pinned.
 */
export function* joinDomain(uiommu: Uiommu, { group, members }: JoinedGroup): Op<Result<void>> {
  const { memory } = uiommu;
  const regions = yield* call(IOMMU, iommuApi.reservedRegions, { bdf: members[0]! });
  const joining: AttachedGroup = { group, members, reserved: reservedSpans(regions) };
  const [shared] = memory.domains;
  const joined = shared ? yield* joinOthers(uiommu, shared, joining) : yield* joinAsFirst(uiommu, joining);
  if (joined.ok) memory.refreshValid();
  return joined;
}

function* joinOthers({ memory }: Uiommu, shared: GroupDomain, joining: AttachedGroup): Op<Result<void>> {
  const admitted = judge(memory, shared.info, joining);
  if (!admitted.ok) return admitted;
  const attached = yield* attach(shared.info, joining.members);
  if (attached.ok) shared.groups.push(joining);
  return attached;
}

/** The domain is made for the first device, since only then is it known which IOMMU it is for. */
function* joinAsFirst({ memory }: Uiommu, joining: AttachedGroup): Op<Result<void>> {
  const { members } = joining;
  const made = yield* call(IOMMU, iommuApi.domainAlloc, { bdf: members[0]!, flags: 0, data: undefined });
  if (!made.ok) return made;
  const info = made.value;
  const admitted = judge(memory, info, joining);
  if (!admitted.ok) return yield* giveUp(info, admitted);
  const filled = yield* replay(memory, info.domain);
  if (!filled.ok) return yield* giveUp(info, filled);
  memory.domains = [{ info, groups: [joining] }];
  const attached = yield* attach(info, members);
  if (attached.ok) return attached;
  yield* unpinAll(memory);
  memory.domains = [];
  return yield* giveUp(info, attached);
}

const attach = ({ domain }: DomainInfo, members: readonly string[]): Op<Result<void>> =>
  call(IOMMU, iommuApi.attach, { bdfs: [...members], domain });

function* giveUp({ domain }: DomainInfo, why: Fail): Op<Result<never>> {
  yield* call(IOMMU, iommuApi.domainFree, { domain });
  return why;
}

export function* leaveDomain(uiommu: Uiommu, { group, members }: JoinedGroup): Op<void> {
  yield* call(IOMMU, iommuApi.attach, { bdfs: [...members], domain: BLOCKING });
  yield* forgetGroup(uiommu, group);
}

/** The group's devices are elsewhere already. The last one to go takes the domain along, and nothing is pinned any more. */
function* forgetGroup({ memory }: Uiommu, group: number): Op<void> {
  const domain = memory.domains[0]!;
  const left = domain.groups.filter((g) => g.group !== group);
  if (left.length > 0) memory.domains = [{ info: domain.info, groups: left }];
  else {
    yield* unpinAll(memory);
    memory.domains = [];
    yield* call(IOMMU, iommuApi.domainFree, { domain: domain.info.domain });
  }
  memory.refreshValid();
}

/** As {@link joinDomain}; the group is then in `to`, and never was between. */
export function* move(from: Container, to: Container, group: JoinedGroup): Op<Result<void>> {
  const [first, second] = from.id < to.id ? [from, to] : [to, from];
  yield* lockWrite(first.lock);
  yield* lockWrite(second.lock);
  const joined = yield* joinDomain(to.backend as Uiommu, group);
  if (!joined.ok) return joined;
  to.groups.push(group);
  from.groups = from.groups.filter((g) => g.group !== group.group);
  yield* forgetGroup(from.backend as Uiommu, group.group);
  return ok(undefined);
}

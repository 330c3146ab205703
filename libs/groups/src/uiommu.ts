/**
 * Devices and the domains of 2010: who is in which. Linux never merged these designs; a host shows them when it was made to.
 *
 * Words: a *domain* is what `container` holds behind an open of /dev/uiommu, or made for one device.
 * Rule: ownership is today's, by the group: the first device of a group takes the whole group along, others of it come to
 * the same domain, and whoever has the group in another way is not disturbed (EBUSY).
 */
import { call, CONTAINER, containerApi, lockWrite, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { type Device, hasIommu, type Host } from './host.js';
import { claimForContainer, releaseFromContainer } from './ownership.js';
import { dropBacking, type VfioGroup } from './vfio-group.js';

export interface WantedDomain {
  readonly client: string;
  readonly token?: string | undefined;
  readonly domain?: number | undefined;
  readonly moves: boolean;
}

/** EPERM: this host does not teach, or there is no IOMMU; EBADF: no such domain; EBUSY; else what the domain answers. */
export function* joinDomain(host: Host, device: Device, wanted: WantedDomain): Op<Result<{ domain: number }>> {
  const { group } = device.vfio!;
  if (host.setup.teaching === undefined || !hasIommu(group.iommuGroup)) return fail('EPERM');
  if (group.file) return fail('EBUSY');
  // From here on the group's node cannot be opened.
  device.cdevClaims++;
  const joined = yield* joinLocked(group, wanted);
  if (!joined.ok || wanted.moves) device.cdevClaims--;
  return joined;
}

function* joinLocked(group: VfioGroup, wanted: WantedDomain): Op<Result<{ domain: number }>> {
  yield* lockWrite(group.lock);
  const held = yield* holdWanted(wanted);
  if (!held.ok) return held;
  const { container: domain } = held.value;
  const placed = yield* place(group, domain, wanted.moves);
  if (!placed.ok || !placed.value) yield* call(CONTAINER, containerApi.drop, { container: domain });
  return placed.ok ? ok({ domain }) : placed;
}

/** The domain that is wanted; it cannot go while it is held. */
function* holdWanted({ token, domain, client }: WantedDomain): Op<Result<{ container: number }>> {
  if (token !== undefined) {
    const noiommu = false;
    return yield* call(CONTAINER, containerApi.hold, { token, client, noiommu, uiommu: true });
  }
  if (domain !== undefined) return yield* call(CONTAINER, containerApi.holdDomain, { container: domain });
  return yield* call(CONTAINER, containerApi.make, undefined);
}

/** Answers whether the group needs a hold of its own on the domain; not when it was there before. */
function* place(group: VfioGroup, domain: number, moves: boolean): Op<Result<boolean>> {
  const { backing } = group;
  if (backing.kind === 'container' && backing.container === domain) {
    if (!moves) backing.users++;
    return ok(false);
  }
  if (backing.kind === 'none') return yield* enter(group, domain);
  // Others of the group would lose their domain without having asked.
  if (backing.kind !== 'container' || !moves || backing.users > 1) return fail('EBUSY');
  return yield* move(group, backing.container, domain);
}

function* enter(group: VfioGroup, container: number): Op<Result<boolean>> {
  const { iommuGroup } = group;
  const claimed = yield* claimForContainer(iommuGroup, container);
  if (!claimed.ok) return claimed.errno === 'EPERM' ? fail('EBUSY') : claimed;
  group.backing = { kind: 'container', container, users: 1 };
  const joined = yield* call(CONTAINER, containerApi.join, { container, ...asJoined(group) });
  if (joined.ok) return ok(true);
  group.backing = { kind: 'none' };
  yield* releaseFromContainer(iommuGroup);
  return joined;
}

function* move(group: VfioGroup, from: number, to: number): Op<Result<boolean>> {
  const moved = yield* call(CONTAINER, containerApi.move, { from, to, ...asJoined(group) });
  if (!moved.ok) return moved;
  group.backing = { kind: 'container', container: to, users: 1 };
  group.iommuGroup.owner = { kind: 'container', container: to };
  yield* call(CONTAINER, containerApi.drop, { container: from });
  return ok(true);
}

const asJoined = ({ iommuGroup: { id, members } }: VfioGroup) => ({
  group: id,
  members: [...members],
  noiommu: false,
  emulated: false,
});

/** The device is closed; the last of its group gives the group back. */
export function* leaveDomain(device: Device): Op<void> {
  const { group } = device.vfio!;
  yield* lockWrite(group.lock);
  if (group.backing.kind === 'container' && --group.backing.users === 0) yield* dropBacking(group);
  device.cdevClaims--;
}

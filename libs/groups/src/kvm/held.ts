/**
 * Taking what KVM is given, and letting it go again.
 *
 * Rule: KVM of today takes a reference to the file (A5.2); KVM from 3.13 to 5.18 is an *external user* of the group instead: it
 * is one user of its container, which the group cannot leave meanwhile, and the file itself it lets go of (A5.1).
 */
import {
  type Address,
  call,
  CONTAINER,
  containerApi,
  deviceApi,
  deviceOf,
  type FdArgument,
  GROUPS,
  IOMMU,
  iommuApi,
  lockWrite,
  type Op,
  unlock,
} from '@vfiolab/core';
import { fail, ok, type Result, VFIO_DMA_CC_IOMMU } from '@vfiolab/uapi';
import type { GroupFiles } from '../group-files.js';
import { hasIommu, type Host, type Passable, passableNamed } from '../host.js';
import { devicesOf, type VfioGroup } from '../vfio-group.js';
import type { Held } from './vm.js';

/** EINVAL: no file of a group, or of a device where KVM takes those; else see {@link getExternalUser}. */
export function* take(host: Host, files: GroupFiles, passed: FdArgument, client: Address): Op<Result<Held>> {
  const { owner, token } = passed;
  if (owner === GROUPS) {
    const file = files.get(token, client);
    if (!file) return fail('EINVAL');
    if (host.setup.kvm === 'groups') return yield* getExternalUser(file.group);
    file.holders++;
    return ok({ kind: 'group', group: file.group });
  }
  if (deviceOf(owner) === undefined || host.setup.kvm === 'groups') return fail('EINVAL');
  const held = yield* call(owner, deviceApi.fileHold, { token, client });
  return held.ok ? ok({ kind: 'device', owner, file: held.value.file }) : held;
}

/** EINVAL: in no container, or one without a backend; EPERM: a group without an IOMMU. [vfio_group_get_external_user] */
function* getExternalUser(group: VfioGroup): Op<Result<Held>> {
  yield* lockWrite(group.lock);
  const counted = yield* addContainerUser(group);
  yield* unlock(group.lock);
  return counted.ok ? ok({ kind: 'group', group }) : counted;
}

function* addContainerUser({ backing, iommuGroup }: VfioGroup): Op<Result<undefined>> {
  if (backing.kind !== 'container') return fail('EINVAL');
  if (iommuGroup.noiommu) return fail('EPERM');
  const ready = yield* call(CONTAINER, containerApi.ready, { container: backing.container });
  if (ready.ok) backing.users++;
  return ready.ok ? ok(undefined) : ready;
}

/** Answers when everything that the last reference kept is gone. Never fails. */
export function* letGo(host: Host, files: GroupFiles, held: Held): Op<void> {
  if (held.kind === 'device') return yield* call(held.owner, deviceApi.fileDrop, { file: held.file });
  const { group } = held;
  if (host.setup.kvm !== 'groups') group.file!.holders--;
  else if (group.backing.kind === 'container') group.backing.users--;
  yield* files.unused(host, group.file);
}

/** The VM that a device will take when it is opened; 0: none. */
export function* setVm(held: Held, vm: number): Op<void> {
  if (held.kind === 'group') held.group.vm = vm;
  else yield* call(held.owner, deviceApi.fileVm, { file: held.file, vm });
}

/**
 * Can it only do DMA that caches see? Today that is what the IOMMU of each device can enforce, in a domain or not; before, it was
 * what the container said.
 */
export function* isCoherent(host: Host, held: Held): Op<boolean> {
  if (held.kind === 'device') return yield* enforcesCoherency(passableNamed(host, deviceOf(held.owner)!));
  const { group } = held;
  if (host.setup.kvm === 'groups') return yield* containerIsCoherent(group);
  for (const device of devicesOf(host, group)) if (!(yield* enforcesCoherency(device))) return false;
  return true;
}

function* enforcesCoherency(device: Passable | undefined): Op<boolean> {
  if (!device?.group || !hasIommu(device.group)) return false;
  return yield* call(IOMMU, iommuApi.enforcesCoherency, { bdf: device.name });
}

function* containerIsCoherent({ backing }: VfioGroup): Op<boolean> {
  if (backing.kind !== 'container') return false;
  const { container } = backing;
  return (yield* call(CONTAINER, containerApi.extension, { container, extension: VFIO_DMA_CC_IOMMU })) > 0;
}

/**
 * Hot reset: a whole slot or bus at once. [vfio_pci_core.c, pci.c]
 *
 * Words: a *device set* holds the functions of vfio-pci that share a reset: those of one slot or bus; a VF, and a function on
 * a root bus, is alone in its own (semantics A3.10).
 * Rule: nothing is reset unless every function that the reset hits is in one device set and belongs to the caller (I43), and
 * nobody is binding or unbinding one of them. The functions then stop one after the other, and only when all have stopped is
 * the first one reset.
 */
import {
  type Address,
  call,
  type Dependent,
  deviceAddress,
  deviceApi,
  IOMMUFD,
  iommufdApi,
  lockRead,
  lockWrite,
  type Op,
} from '@vfiolab/core';
import { resetReach, type PciFunction, type ResetReach } from '@vfiolab/pci';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { PCIEPORT } from './drivers.js';
import type { GroupFiles } from './group-files.js';
import type { Device, Host } from './host.js';
import type { VfioGroup } from './vfio-group.js';

/** By the group files of a client, or by an iommufd context when there is no client. */
export interface WantedReset {
  readonly client: Address;
  readonly files: readonly string[];
  readonly context: number;
}

const reachOf = (host: Host, { facts }: Device): ResetReach | undefined =>
  resetReach(host.topology, facts, ({ bdf }) => host.devices.get(bdf)?.driver === PCIEPORT);

/** What the functions of one device set have in common. */
function setOf(host: Host, device: Device): string {
  const reach = device.facts.isVf ? undefined : reachOf(host, device);
  if (!reach) return device.bdf;
  return `${reach.slot ? 'slot' : 'bus'} of ${reach.bridge.bdf}`;
}

/** ENODEV: neither slot nor bus can be reset. */
export function dependentsOf(host: Host, device: Device): Result<Dependent[]> {
  const reach = reachOf(host, device);
  if (!reach) return fail('ENODEV');
  const set = setOf(host, device);
  return ok(reach.functions.map((f) => dependent(host, set, f)));
}

function dependent(host: Host, set: string, { bdf }: PciFunction): Dependent {
  const each = host.devices.get(bdf)!;
  return { bdf, group: each.group?.id, inSet: each.vfio !== undefined && setOf(host, each) === set };
}

/** ENODEV, EBADF, EINVAL, EAGAIN, EBUSY, in this order; ENOTTY: done, but the link did not come up again (trace d012). */
export function* hotReset(host: Host, files: GroupFiles, device: Device, wanted: WantedReset): Op<Result<void>> {
  const reach = reachOf(host, device);
  if (!reach) return fail('ENODEV');
  const groups: VfioGroup[] = [];
  for (const token of wanted.files) {
    const file = files.get(token, wanted.client);
    if (!file) return fail('EBADF');
    groups.push(file.group);
    yield* lockRead(file.inUse);
  }
  const bridge = host.devices.get(reach.bridge.bdf)!;
  yield* lockWrite(bridge.resetting);
  const set = setOf(host, device);
  if (!reach.functions.every((f) => dependent(host, set, f).inSet)) return fail('EINVAL');
  const hit = reach.functions.map(({ bdf }) => host.devices.get(bdf)!);
  if (!(yield* allOwned(hit, groups, wanted))) return fail('EINVAL');
  if ([bridge, ...hit].some(({ lock }) => !lock.idle)) return fail('EAGAIN');
  for (const { lock } of [bridge, ...hit]) yield* lockWrite(lock);
  const [first, ...rest] = hit.map(({ bdf }) => bdf);
  const reset = yield* call(deviceAddress(first!), deviceApi.hotReset, { rest });
  return reset.ok && reach.bridge.losesLink ? fail('ENOTTY') : reset;
}

function* allOwned(hit: readonly Device[], groups: readonly VfioGroup[], wanted: WantedReset): Op<boolean> {
  const { client, context } = wanted;
  if (client !== '') return hit.every(({ vfio }) => vfio !== undefined && groups.includes(vfio.group));
  const ids = yield* call(IOMMUFD, iommufdApi.deviceIds, { context, bdfs: hit.map(({ bdf }) => bdf) });
  return ids.every((id) => id >= 0);
}

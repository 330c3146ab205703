/** A context for people: one line an object. */
import {
  type Context,
  isAccess,
  isDevice,
  isFaultQueue,
  isHwpt,
  isHwQueue,
  isIoas,
  isMockObject,
  isNested,
  isVdevice,
  isVeventQueue,
  isViommu,
} from './context.js';
import { areaLength } from './ioas.js';
import type { IommufdObject } from './objects.js';

export function describeContext(c: Context): string[] {
  const state = c.fileOpen ? 'open' : 'closed, still in use';
  return [`iommufd context ${c.id} (${state})`, ...c.objects.all().map((o) => `  ${o.id} ${describeObject(o)}`)];
}

function describeObject(o: IommufdObject): string {
  if (isIoas(o)) {
    let bytes = 0n;
    for (const a of o.areas) bytes += areaLength(a);
    return `IOAS: ${o.areas.size} areas, 0x${bytes.toString(16)} bytes, ${o.hwpts.length} domains`;
  }
  if (isNested(o)) return `nested HWPT on HWPT ${o.parent.id}, ${o.users - 1} devices`;
  if (isAccess(o))
    return `${o.mdev === undefined ? 'access' : `mdev ${o.mdev}, access`} of ${o.ioas ? `IOAS ${o.ioas.id}` : 'nothing'}, ${o.items.length} pinned ranges`;
  if (isFaultQueue(o)) return `fault queue: ${o.waiting.length} groups wait, ${o.delivered.size} are delivered`;
  if (isViommu(o)) return `vIOMMU on HWPT ${o.hwpt.id}: ${o.devices.size} devices, ${o.queues.size} event queues`;
  if (isVdevice(o)) return `vDEVICE ${o.virtId} of vIOMMU ${o.viommu.id}: DEVICE ${o.device.id}`;
  if (isVeventQueue(o)) return `event queue of vIOMMU ${o.viommu.id}: ${o.events.length} of ${o.depth} events`;
  if (isHwQueue(o)) return `hardware queue ${o.index} of vIOMMU ${o.viommu.id}`;
  if (isMockObject(o)) return `mock device ${o.device.bdf}, DEVICE ${o.device.id}`;
  if (isHwpt(o)) return `HWPT of IOAS ${o.ioas.id}${o.auto ? ' (auto)' : ''}, ${o.users - 1} devices`;
  return isDevice(o) ? `DEVICE ${o.bdf}, ${o.attached ? `on HWPT ${o.igroup.hwpt!.id}` : 'not attached'}` : o.type;
}

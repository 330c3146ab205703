/**
 * What the IOMMU reports of bound devices: page requests for a user to answer, events for a guest to read.
 *
 * Rule: a request is queued only while its device is attached to the domain that it was made in; whoever asks is told when it
 * is not. Events take no lock: a DMA waits for them, and an attachment may wait for the DMA.
 */
import { lockRead, type Op, type PageRequestArgs, unlock } from '@vfiolab/core';
import { type BoundDevice, type Context, isDevice } from './context.js';
import { RID } from './fault-queue.js';
import type { Hwpt } from './nested-hwpt.js';
import { pasidHwpt } from './pasid.js';

const PASID_VALID = 1;
const LAST_PAGE = 2;
/** A page request group index has 9 bits. */
const GROUP_MASK = 0x1ff;
/** Queue of SMMUv3 events. */
const SMMU_EVENTS = 1;
const STREAM_AT = 4;

type Contexts = Iterable<Context>;

function deviceNamed(contexts: Contexts, bdf: string): BoundDevice | undefined {
  for (const { objects } of contexts) {
    const found = objects.all().find((o) => isDevice(o) && o.bdf === bdf);
    if (found) return found as BoundDevice;
  }
  return undefined;
}

/** Where requests of the device go: a PASID that nobody attached is the guest's, of whom the device is. */
const handlerOf = (device: BoundDevice, pasid: number): { readonly pasid: number; readonly hwpt: Hwpt | undefined } => {
  const own = pasid === RID ? undefined : pasidHwpt(device, pasid);
  return own ? { pasid, hwpt: own } : { pasid: RID, hwpt: device.igroup.hwpt };
};

/** False: nobody answers, or the queue is full. */
export function* takePageRequest(contexts: Contexts, args: PageRequestArgs): Op<boolean> {
  const { pasid, domain, request, perm, addr } = args;
  const device = deviceNamed(contexts, args.bdf);
  if (!device) return false;
  // While the group is moving it is not settled whose request it is.
  yield* lockRead(device.igroup.lock);
  const { pasid: under, hwpt } = handlerOf(device, pasid);
  const flags = LAST_PAGE | (pasid === RID ? 0 : PASID_VALID);
  const requests = [{ flags, pasid, grpid: request & GROUP_MASK, perm, addr }];
  const taken = hwpt?.domainId === domain && hwpt.fault?.report({ pasid: under, device, hwpt, requests, request });
  yield* unlock(device.igroup.lock);
  return taken === true;
}

/** Under the id that the guest gave the device. Nobody may have made a queue. */
export function takeGuestEvents(contexts: Contexts, bdf: string, events: readonly Uint8Array[]): void {
  const route = deviceNamed(contexts, bdf)?.route;
  const queue = route?.viommu.queues.get(SMMU_EVENTS);
  if (!route || !queue) return;
  for (const event of events) {
    const record = event.slice();
    new DataView(record.buffer).setUint32(STREAM_AT, Number(BigInt.asUintN(32, route.virtId)), true);
    queue.report(record);
  }
}

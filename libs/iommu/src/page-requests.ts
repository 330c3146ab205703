/**
 * Page requests: a device asks for a page that is missing, and a user answers (semantics C8).
 *
 * Words: a request *stands* from the moment it is made until it is answered or its attachment goes.
 * Rule: whoever removes a request tells its device, exactly once; the device then tries again or gives up (I49).
 */
import {
  type ArgsOf,
  call,
  deviceAddress,
  deviceApi,
  type iommuApi,
  IOMMUFD,
  iommufdApi,
  type Op,
} from '@vfiolab/core';
import { type IommuFunction, MAX_PAGE_REQUESTS, type PageRequest } from './function.js';

const READ = 1;
const WRITE = 2;

/**
 * Makes a request. `refused`: nobody answers it, or the device has as many as it can have; `again`: it was answered before
 * the device could begin to wait. `idle`: the device asks, and waits for nothing.
 */
export function* requestPage(
  device: IommuFunction,
  { bdf, pasid = 0, write }: ArgsOf<typeof iommuApi.dma>,
  domain: number,
  addr: bigint,
  idle = false,
): Op<'pending' | 'again' | 'refused'> {
  if (device.requests.size >= MAX_PAGE_REQUESTS) return 'refused';
  const number = device.nextRequest++;
  const under = device.pasids.has(pasid) ? pasid : 0;
  const request: PageRequest = { pasid: under, waits: false, idle, answer: undefined };
  device.requests.set(number, request);
  const perm = write ? WRITE : READ;
  const taken = yield* call(IOMMUFD, iommufdApi.pageRequest, { bdf, pasid, domain, request: number, perm, addr });
  if (taken && request.answer === undefined) {
    request.waits = true;
    return 'pending';
  }
  device.requests.delete(number);
  return taken && request.answer === true ? 'again' : 'refused';
}

/** The answer reaches the device; a request that does not stand any more has had its answer. */
export function* answerRequest(device: IommuFunction | undefined, number: number, success: boolean): Op<void> {
  const request = device?.requests.get(number);
  if (!device || !request) return;
  request.answer = success;
  if (!request.waits) return;
  device.requests.delete(number);
  if (!request.idle) yield* tell(device.bdf, success);
}

/** The attachments of these functions go, and with them what waits for a page. */
export function* giveUpRequests(devices: readonly IommuFunction[], pasid: number): Op<void> {
  for (const device of devices)
    for (const [number, request] of [...device.requests])
      if (request.pasid === pasid) yield* answerRequest(device, number, false);
}

function* tell(bdf: string, success: boolean): Op<void> {
  yield* call(deviceAddress(bdf), deviceApi.pageResponse, { success });
}

/**
 * One function behind an IOMMU, with its PASIDs and the page requests it waits for.
 *
 * Words: an *endpoint* is what the function itself brings: ATS, page requests, PASIDs. A page request has a *number*, which is
 * never used again.
 * Rule: a page request belongs to the attachment that it was made under; when that goes the request is over, and its device is
 * told so (I49).
 */
import { type Endpoint, type FaultRecord, type HardwareInfo, Signal } from '@vfiolab/core';
import type { Kind } from './kinds.js';
import { type MockDevice, mockInfo, mockPasidEnd } from './mock.js';
import type { Group } from './unit.js';

export type { Endpoint } from '@vfiolab/core';

/** Page requests that one function may wait for: PRG indexes have 9 bits. */
export const MAX_PAGE_REQUESTS = 512;

/** Of a PASID: the domain, and whether a user answers its page requests. */
export interface PasidAttachment {
  readonly domain: number;
  readonly faults: boolean;
}

export interface PageRequest {
  /** PASID of the attachment; 0: that of the requester id. */
  readonly pasid: number;
  /** The device waits; before, the request is on its way. */
  waits: boolean;
  /** Nobody goes on with the answer. */
  readonly idle: boolean;
  answer: boolean | undefined;
}

export interface IommuFunction {
  readonly bdf: string;
  group: Group;
  readonly endpoint: Endpoint;
  readonly pasids: Map<number, PasidAttachment>;
  /** By number. */
  readonly requests: Map<number, PageRequest>;
  nextRequest: number;
  /** It is being reset: it stays attached, and none of its requests is translated (semantics C1.5). */
  parked: boolean;
  /** It leaves invalidations unanswered until then, ms since the epoch: see ats-timeout.ts. */
  deafUntil: number;
  /** Somebody waits for it to hear again. */
  readonly heard: Signal;
  /** Where its messages go: see doorbell.ts. */
  message: 'raw' | 'mapped' | 'failed';
  /** Oldest first. */
  readonly faults: FaultRecord[];
  /** Undefined for a function of the machine. */
  readonly mock?: MockDevice;
}

/** A function that brings nothing, behind the first unit. */
export const NO_ENDPOINT: Endpoint = { bdf: '', unit: 0, ats: false, pri: false, pasidBits: 0, pasidCaps: 0 };

export const newFunction = (bdf: string, group: Group, endpoint: Endpoint): IommuFunction => ({
  bdf,
  group,
  endpoint,
  pasids: new Map(),
  requests: new Map(),
  nextRequest: 1,
  parked: false,
  deafUntil: 0,
  heard: new Signal(),
  message: 'raw',
  faults: [],
});

/** PASIDs of the function end here; 0: it has none. */
export function pasidEnd({ mock, endpoint }: IommuFunction, driver: Kind | undefined): number {
  if (mock) return mockPasidEnd(mock.flags);
  const bits = Math.min(endpoint.pasidBits, driver?.pasidBits ?? 0);
  return bits === 0 ? 0 : 2 ** bits;
}

/** Can a user answer page requests of the function? */
export const makesRequests = ({ mock, endpoint }: IommuFunction, driver: Kind | undefined): boolean =>
  mock === undefined && (driver?.pageRequests === 'stall' || (endpoint.ats && endpoint.pri));

const DIRTY_TRACKING = 1n;
const ATS_NOT_SUPPORTED = 8n;

/** What IOMMU_GET_HW_INFO tells of the function and its IOMMU; `type`: of which there may be more than one. */
export function infoOf(device: IommuFunction, driver: Kind | undefined, type: number): HardwareInfo {
  if (device.mock) return mockInfo(device.mock.flags);
  const end = pasidEnd(device, driver);
  const capabilities =
    (driver?.dirty ? DIRTY_TRACKING : 0n) |
    (end > 0 ? BigInt(device.endpoint.pasidCaps) : 0n) |
    (device.endpoint.ats ? 0n : ATS_NOT_SUPPORTED);
  const more = driver?.moreInfo?.find((each) => each.type === type);
  const info = more ?? driver?.info ?? { type: 0, data: new Uint8Array(0) };
  return { ...info, capabilities, maxPasidLog2: end > 0 ? Math.log2(end) : 0 };
}

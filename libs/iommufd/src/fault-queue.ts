/**
 * Queues of page requests: IOMMU_FAULT_QUEUE_ALLOC's object, behind a file that is read and written (semantics C8).
 *
 * Words: a *group* is the page requests that are answered together; *delivered* groups wait for a response under a
 * *cookie*, which is the lowest free number from 1.
 * Rule: a group waits in the queue or for its response, never in both; it leaves when it is answered, or when the device
 * leaves the HWPT it faulted through. Groups are never split.
 */
import { encode, fail, iommu_hwpt_pgfault, iommu_hwpt_page_response, decode, ok, type Result } from '@vfiolab/uapi';
import { Lock, type Op, POLLIN, POLLOUT } from '@vfiolab/core';
import type { BoundDevice } from './context.js';
import { tellDevices } from './fault-response.js';
import type { Hwpt } from './nested-hwpt.js';
import type { IommufdObject } from './objects.js';

/** Groups of one queue; one more is answered with failure at once, as when the kernel has no memory for it. */
export const MAX_GROUPS = 4096;

const RECORD = iommu_hwpt_pgfault.size;
const RESPONSE = iommu_hwpt_page_response.size;
const RESPONSE_INVALID = 1;

export interface PageRequest {
  readonly flags: number;
  readonly pasid: number;
  readonly grpid: number;
  readonly perm: number;
  readonly addr: bigint;
}

/** The attachment without a PASID. */
export const RID = 0;

export interface FaultGroup {
  /** The PASID under which the HWPT is attached, or RID. */
  readonly pasid: number;
  readonly device: BoundDevice;
  readonly hwpt: Hwpt;
  readonly requests: readonly PageRequest[];
  /** Number at iommu; 0: nothing waits for the answer. */
  readonly request: number;
}
export interface AnsweredGroup {
  readonly group: FaultGroup;
  readonly code: number;
}

export class FaultQueue implements IommufdObject {
  readonly type = 'fault';
  id = 0;
  /** The table's and the file's reference. */
  users = 2;
  fileOpen = true;
  readonly shortTerm = new Lock();
  waiting: FaultGroup[] = [];
  readonly delivered = new Map<number, FaultGroup>();

  get size(): number {
    return this.waiting.length + this.delivered.size;
  }

  /** False: the queue is full, and the device is told that its request failed. */
  report(group: FaultGroup): boolean {
    if (this.size >= MAX_GROUPS) return false;
    this.waiting.push(group);
    return true;
  }

  /** The device's group leaves the HWPT: what it waits for is answered as invalid. */
  drop(device: BoundDevice, hwpt: Hwpt, pasid = RID): void {
    const gone = (g: FaultGroup): boolean => g.hwpt === hwpt && g.pasid === pasid && g.device.igroup === device.igroup;
    this.waiting = this.waiting.filter((g) => !gone(g));
    for (const [cookie, g] of this.delivered) if (gone(g)) this.delivered.delete(cookie);
  }

  /** ESPIPE: not a multiple of a record. EINVAL: too short for the first group. EAGAIN: nothing waits. */
  read(length: number): Result<Uint8Array> {
    if (length % RECORD !== 0) return fail('ESPIPE');
    if (this.waiting.length === 0) return fail('EAGAIN');
    const records: Uint8Array[] = [];
    while (this.waiting.length > 0 && this.waiting[0]!.requests.length + records.length <= length / RECORD)
      records.push(...this.deliver(this.waiting.shift()!));
    if (records.length === 0) return fail('EINVAL');
    const out = new Uint8Array(records.length * RECORD);
    records.forEach((record, i) => out.set(record, i * RECORD));
    return ok(out);
  }

  private deliver(group: FaultGroup): Uint8Array[] {
    let cookie = 1;
    while (this.delivered.has(cookie)) cookie++;
    this.delivered.set(cookie, group);
    return group.requests.map((r) => encode(iommu_hwpt_pgfault, { ...r, dev_id: group.device.id, cookie }));
  }

  /** Bytes taken. ESPIPE: not a multiple of a response. EINVAL: the first one has an unknown code or cookie. */
  *write(data: Uint8Array): Op<Result<number>> {
    if (data.length % RESPONSE !== 0) return fail('ESPIPE');
    const answered: AnsweredGroup[] = [];
    for (let at = 0; at < data.length; at += RESPONSE) {
      const one = this.respond(data.subarray(at, at + RESPONSE));
      if (!one) break;
      answered.push(one);
    }
    yield* tellDevices(answered);
    return answered.length === 0 && data.length > 0 ? fail('EINVAL') : ok(answered.length * RESPONSE);
  }

  private respond(bytes: Uint8Array): AnsweredGroup | undefined {
    const { cookie, code } = decode(iommu_hwpt_page_response, bytes);
    const group = code <= RESPONSE_INVALID ? this.delivered.get(cookie) : undefined;
    if (!group) return undefined;
    this.delivered.delete(cookie);
    return { group, code };
  }

  poll(): number {
    return POLLOUT | (this.waiting.length > 0 ? POLLIN : 0);
  }
}

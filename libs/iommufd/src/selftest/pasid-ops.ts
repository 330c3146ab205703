/** PASIDs of mock devices, and what only mock devices of a vIOMMU do. */
import {
  fail,
  IOMMU_VEVENTQ_TYPE_SELFTEST,
  type iommu_test_check_dev_cache,
  iommu_test_pasid_attach,
  type iommu_test_pasid_check,
  type iommu_test_pasid_detach,
  iommu_test_pasid_replace,
  type iommu_test_trigger_vevent,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import { BLOCKING, call as ask, IOMMU, iommuApi, type IoctlResult, type Op } from '@vfiolab/core';
import { type BoundDevice, isDevice, isHwpt, isMockObject, isNested } from '../context.js';
import type { Hwpt } from '../nested-hwpt.js';
import { hold, type IommufdObject } from '../objects.js';
import { attachPasid, detachPasid } from '../pasid.js';
import { answer, done, type TestCall } from './call.js';

function* deviceOf(call: TestCall, id: number): Op<Result<BoundDevice>> {
  const object = yield* hold(call.file.context.objects, id, isMockObject);
  return object.ok ? { ok: true, value: object.value.device } : object;
}

/** ENOENT, and what attaching answers. */
export function* pasidAttach(
  call: TestCall,
  id: number,
  arm: StructOf<typeof iommu_test_pasid_attach>,
): Op<IoctlResult> {
  const device = yield* deviceOf(call, id);
  if (!device.ok) return device;
  const pt = yield* attachPasid(call.file.context, device.value, arm.pasid, arm.pt_id, false);
  if (!pt.ok) return pt;
  const told = answer(call, iommu_test_pasid_attach, arm, { pt_id: pt.value });
  if (!told.ok) yield* detachPasid(call.file.context, device.value, arm.pasid);
  return told.ok ? done : told;
}

export function* pasidReplace(
  call: TestCall,
  id: number,
  arm: StructOf<typeof iommu_test_pasid_replace>,
): Op<IoctlResult> {
  const device = yield* deviceOf(call, id);
  if (!device.ok) return device;
  const pt = yield* attachPasid(call.file.context, device.value, arm.pasid, arm.pt_id, true);
  if (!pt.ok) return pt;
  const told = answer(call, iommu_test_pasid_replace, arm, { pt_id: pt.value });
  return told.ok ? done : told;
}

/** Detaching what is not attached is success. ENOENT: no such mock device. */
export function* pasidDetach(
  call: TestCall,
  id: number,
  { pasid }: StructOf<typeof iommu_test_pasid_detach>,
): Op<IoctlResult> {
  const device = yield* deviceOf(call, id);
  if (!device.ok) return device;
  yield* detachPasid(call.file.context, device.value, pasid);
  return done;
}

/** The IOMMU must have the PASID on this HWPT, or nowhere for 0. ENOENT, EINVAL. */
export function* pasidCheck(
  call: TestCall,
  id: number,
  { pasid, hwpt_id }: StructOf<typeof iommu_test_pasid_check>,
): Op<IoctlResult> {
  const device = yield* deviceOf(call, id);
  if (!device.ok) return device;
  let wanted: number = BLOCKING;
  if (hwpt_id !== 0) {
    const hwpt = yield* hold(call.file.context.objects, hwpt_id, isAnyHwpt);
    if (!hwpt.ok) return hwpt;
    wanted = hwpt.value.domainId;
  }
  const found = yield* ask(IOMMU, iommuApi.pasidDomain, { bdf: device.value.bdf, pasid });
  return found === wanted ? done : fail('EINVAL');
}

const isAnyHwpt = (o: IommufdObject): o is Hwpt => isHwpt(o) || isNested(o);

/** One slot of a mock device's cache must hold the value. ENOENT; EINVAL: it does not, or there is no such slot. */
export function* checkCache(
  call: TestCall,
  id: number,
  arm: StructOf<typeof iommu_test_check_dev_cache>,
): Op<IoctlResult> {
  const device = yield* hold(call.file.context.objects, id, isDevice);
  if (!device.ok) return device;
  const slots = yield* ask(IOMMU, iommuApi.mockCache, { bdf: device.value.bdf });
  return slots[arm.id] === arm.cache ? done : fail('EINVAL');
}

/**
 * An event that carries the device's virtual id. ENOENT: no such device, or it is not attached through a vIOMMU in which
 * it has an id; EOPNOTSUPP: nobody made a queue for such events.
 */
export function* triggerVevent(
  call: TestCall,
  _id: number,
  { dev_id }: StructOf<typeof iommu_test_trigger_vevent>,
): Op<IoctlResult> {
  const device = yield* hold(call.file.context.objects, dev_id, isDevice);
  if (!device.ok) return device;
  const { route } = device.value;
  // The driver takes an id of 0 for none.
  if (!route || route.virtId === 0n) return fail('ENOENT');
  const queue = route.viommu.queues.get(IOMMU_VEVENTQ_TYPE_SELFTEST);
  if (!queue) return fail('EOPNOTSUPP');
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, Number(BigInt.asUintN(32, route.virtId)), true);
  queue.report(data);
  return done;
}

/** IOMMU_HWPT_INVALIDATE: cache invalidations of a user-managed table. */
import {
  type Errno,
  fail,
  type iommu_hwpt_invalidate,
  IOMMU_HWPT_INVALIDATE_ENTRY_LEN_MAX,
  IOMMU_HWPT_INVALIDATE_ENTRY_NUM_MAX,
  ok,
  type Result,
  type StructOf,
  type UserMemory,
} from '@vfiolab/uapi';
import { call as ask, IOMMU, iommuApi, type IoctlResult, type Op } from '@vfiolab/core';
import { isNested, isViommu } from '../context.js';
import { hold, isAnyObject } from '../objects.js';
import type { Call } from './call.js';

type InvalidateCall = Call<typeof iommu_hwpt_invalidate>;
type Cmd = StructOf<typeof iommu_hwpt_invalidate>;

/**
 * How many entries were done is told in every case (a027). EOPNOTSUPP: reserved, an entry's flag; EINVAL: lengths, numbers,
 * the type, an entry; ENOENT; E2BIG: an entry with something behind its struct; EIO: the IOMMU; EFAULT.
 */
export function* hwptInvalidate(call: InvalidateCall, cmd: Cmd): Op<IoctlResult> {
  const { done, outcome } = yield* carryOut(call, cmd);
  const told = call.respond({ entry_num: done });
  if (!told.ok) return told;
  return outcome.ok ? ok(0) : outcome;
}

interface Done {
  readonly done: number;
  readonly outcome: Result<void>;
}
const none = (errno: Errno): Done => ({ done: 0, outcome: fail(errno) });

function* carryOut(call: InvalidateCall, cmd: Cmd): Op<Done> {
  const { entry_num: count, entry_len: entryLength, data_uptr, data_type: type } = cmd;
  if (cmd.__reserved) return none('EOPNOTSUPP');
  const tooLong = entryLength > IOMMU_HWPT_INVALIDATE_ENTRY_LEN_MAX || count > IOMMU_HWPT_INVALIDATE_ENTRY_NUM_MAX;
  if (count > 0 && (data_uptr === 0n || entryLength === 0 || tooLong)) return none('EINVAL');
  const object = yield* hold(call.file.context.objects, cmd.hwpt_id, isAnyObject);
  if (!object.ok) return none('ENOENT');
  if (isViommu(object.value)) {
    const entries = readEntries(call.user, data_uptr, entryLength, count);
    const devices = [...object.value.devices].map(([virtId, { device }]) => ({ virtId, bdf: device.bdf }));
    const parent = object.value.hwpt.domainId;
    return yield* ask(IOMMU, iommuApi.invalidateDevices, { parent, type, entryLength, count, entries, devices });
  }
  if (!isNested(object.value)) return none(call.file.flags.invalidateWrongType);
  const entries = readEntries(call.user, data_uptr, entryLength, count);
  const domain = object.value.domainId;
  return yield* ask(IOMMU, iommuApi.invalidate, { domain, type, entryLength, count, entries });
}

/** As many whole entries as the caller's memory holds. */
function readEntries(user: UserMemory, va: bigint, length: number, count: number): Uint8Array {
  const all = user.read(va, length * count);
  if (all) return all;
  const parts: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const entry = user.read(va + BigInt(i * length), length);
    if (!entry) break;
    parts.push(entry);
  }
  const out = new Uint8Array(parts.length * length);
  parts.forEach((part, i) => out.set(part, i * length));
  return out;
}

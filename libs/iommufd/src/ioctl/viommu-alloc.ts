/** IOMMU_VIOMMU_ALLOC: a virtual IOMMU on top of a nest parent. */
import {
  decode,
  encode,
  fail,
  type iommu_viommu_alloc,
  iommu_viommu_selftest,
  iommu_viommu_tegra241_cmdqv,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
  ok,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import { call as ask, IOMMU, iommuApi, type IoctlResult, type Op } from '@vfiolab/core';
import { isDevice, isHwpt } from '../context.js';
import { NEST_PARENT } from '../hwpt-flags.js';
import { hold } from '../objects.js';
import { USER_VINTFS, VINTF_BYTES, vintfsInUse } from '../vintf.js';
import { Viommu } from '../viommu.js';
import { freeWindow } from '../window.js';
import type { Call } from './call.js';

type AllocCall = Call<typeof iommu_viommu_alloc>;
type Cmd = StructOf<typeof iommu_viommu_alloc>;

/** Driver data ends at least behind `out_data`. */
const DATA_MIN = 8;
const WINDOW_BYTES = 8192;

/**
 * The order is the kernel's (c030): EOPNOTSUPP: flags, type 0; ENOENT: device; EOPNOTSUPP: a type that the device's IOMMU
 * does not have, or no IOMMU; ENOENT, EINVAL: the HWPT; then the driver's data: EINVAL, EFAULT; ENOSPC: no VINTF is left.
 */
export function* viommuAlloc(call: AllocCall, cmd: Cmd): Op<IoctlResult> {
  const { context } = call.file;
  if (cmd.flags || cmd.type === 0) return fail('EOPNOTSUPP');
  const device = yield* hold(context.objects, cmd.dev_id, isDevice);
  if (!device.ok) return device;
  if (device.value.noiommu) return fail('EOPNOTSUPP');
  const { unit, viommus } = yield* ask(IOMMU, iommuApi.deviceIommu, { bdf: device.value.bdf });
  if (!viommus.includes(cmd.type)) return fail('EOPNOTSUPP');
  const hwpt = yield* hold(context.objects, cmd.hwpt_id, isHwpt);
  if (!hwpt.ok) return hwpt;
  if ((hwpt.value.flags & NEST_PARENT) === 0) return fail('EINVAL');
  if (hwpt.value.domain.unit !== unit) return fail('EINVAL');
  return publish(call, cmd, new Viommu(hwpt.value, unit, cmd.type));
}

function publish(call: AllocCall, cmd: Cmd, viommu: Viommu): IoctlResult {
  const { objects } = call.file.context;
  const id = objects.reserve(viommu);
  if (!id.ok) return id;
  const answered = answerDriver(call, cmd, viommu);
  const told = answered.ok ? call.respond({ out_viommu_id: id.value }) : answered;
  if (!told.ok) {
    objects.abort(viommu);
    return told;
  }
  viommu.hwpt.users++;
  objects.finalize(viommu);
  return ok(0);
}

function answerDriver(call: AllocCall, cmd: Cmd, viommu: Viommu): Result<void> {
  if (cmd.type === IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV) return takeVintf(call, cmd, viommu);
  return cmd.type === IOMMU_VIOMMU_TYPE_SELFTEST && cmd.data_len > 0 ? answerData(call, cmd, viommu) : ok(undefined);
}

/** The CMDQV's: a VINTF of its own, and where its window is. EINVAL: the length; EFAULT; ENOSPC: all VINTFs are taken. */
function takeVintf({ user, file }: AllocCall, { data_len, data_uptr }: Cmd, viommu: Viommu): Result<void> {
  if (data_len !== iommu_viommu_tegra241_cmdqv.size) return fail('EINVAL');
  if (!user.read(data_uptr, data_len)) return fail('EFAULT');
  if (vintfsInUse(file.contexts.values(), viommu.unit) >= USER_VINTFS) return fail('ENOSPC');
  const window = freeWindow(file.context, VINTF_BYTES);
  viommu.window = window;
  const [out_vintf_mmap_offset, out_vintf_mmap_length] = [BigInt(window.start), BigInt(window.length)];
  const out = encode(iommu_viommu_tegra241_cmdqv, { out_vintf_mmap_offset, out_vintf_mmap_length });
  return user.write(data_uptr, out) ? ok(undefined) : fail('EFAULT');
}

/** The mock's data: a word that comes back, and a window of two pages that begins with that word. */
function answerData({ user, file }: AllocCall, { data_len, data_uptr }: Cmd, viommu: Viommu): Result<void> {
  if (data_len < DATA_MIN || data_len > iommu_viommu_selftest.size) return fail('EINVAL');
  const given = user.read(data_uptr, data_len);
  if (!given) return fail('EFAULT');
  const image = new Uint8Array(iommu_viommu_selftest.size);
  image.set(given);
  const { in_data } = decode(iommu_viommu_selftest, image);
  const window = freeWindow(file.context, WINDOW_BYTES);
  viommu.window = window;
  new DataView(window.bytes.buffer).setUint32(0, in_data, true);
  const [out_mmap_offset, out_mmap_length] = [BigInt(window.start), BigInt(window.length)];
  const out = { in_data, out_data: in_data, out_mmap_offset, out_mmap_length };
  return user.write(data_uptr, encode(iommu_viommu_selftest, out).subarray(0, data_len))
    ? ok(undefined)
    : fail('EFAULT');
}

/** IOMMU_GET_HW_INFO: the IOMMU behind a bound device. */
import { fail, type iommu_hw_info, ok, type StructOf } from '@vfiolab/uapi';
import { call as ask, IOMMU, iommuApi, type IoctlResult, type Op } from '@vfiolab/core';
import { isDevice } from '../context.js';
import { hold } from '../objects.js';
import type { Call } from './call.js';

const INPUT_TYPE = 1;

/**
 * A short buffer gets the beginning, a long one is filled up with zeros; data_len is the full length (a030).
 * EOPNOTSUPP: flags, reserved bytes, a type that the driver does not have, or no IOMMU at all; ENOENT; EFAULT.
 */
export function* getHwInfo(call: Call<typeof iommu_hw_info>, cmd: StructOf<typeof iommu_hw_info>): Op<IoctlResult> {
  const { context, flags } = call.file;
  const known = flags.hwInfoInputType ? INPUT_TYPE : 0;
  if (cmd.flags & ~known || cmd.__reserved.some((byte) => byte !== 0)) return fail('EOPNOTSUPP');
  const device = yield* hold(context.objects, cmd.dev_id, isDevice);
  if (!device.ok) return device;
  if (device.value.noiommu) return fail('EOPNOTSUPP');
  const asked = cmd.flags & INPUT_TYPE ? cmd.in_data_type : 0;
  const info = yield* ask(IOMMU, iommuApi.hardwareInfo, { bdf: device.value.bdf, type: asked });
  if (asked !== 0 && asked !== info.type) return fail('EOPNOTSUPP');
  if (!fillBuffer(call, cmd, info.data)) return fail('EFAULT');
  const told = call.respond({
    data_len: info.data.length,
    out_data_type: info.type,
    out_max_pasid_log2: flags.pasids ? info.maxPasidLog2 : 0,
    out_capabilities: info.capabilities & flags.hardwareCapabilities,
  });
  return told.ok ? ok(0) : told;
}

function fillBuffer(
  call: Call<typeof iommu_hw_info>,
  { data_uptr, data_len }: StructOf<typeof iommu_hw_info>,
  data: Uint8Array,
): boolean {
  if (data_len === 0) return true;
  const room = call.user.read(data_uptr, data_len);
  if (!room) return false;
  const bytes = new Uint8Array(room.length);
  bytes.set(data.subarray(0, room.length));
  return call.user.write(data_uptr, bytes);
}

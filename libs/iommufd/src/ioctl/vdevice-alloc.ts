/** IOMMU_VDEVICE_ALLOC: a bound device gets its id inside a vIOMMU. */
import { fail, type iommu_vdevice_alloc, ok, type StructOf } from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { isDevice, isViommu } from '../context.js';
import { hold } from '../objects.js';
import { roomForStream } from '../vintf.js';
import { linkVdevice, unitOf, Vdevice } from '../viommu.js';
import type { Call } from './call.js';

/** ENOENT: vIOMMU, device; EINVAL: behind another IOMMU; EEXIST: the device has an id already, or the id is taken; EINVAL, ENOSPC: the CMDQV. */
export function* vdeviceAlloc(
  call: Call<typeof iommu_vdevice_alloc>,
  cmd: StructOf<typeof iommu_vdevice_alloc>,
): Op<IoctlResult> {
  const { objects } = call.file.context;
  const viommu = yield* hold(objects, cmd.viommu_id, isViommu);
  if (!viommu.ok) return viommu;
  const device = yield* hold(objects, cmd.dev_id, isDevice);
  if (!device.ok) return device;
  if (device.value.leaving) return fail('ENOENT');
  if ((yield* unitOf(device.value)) !== viommu.value.unit) return fail('EINVAL');
  if (device.value.vdevice || viommu.value.devices.has(cmd.virt_id)) return fail('EEXIST');
  const room = roomForStream(viommu.value, cmd.virt_id);
  if (!room.ok) return room;
  const vdevice = new Vdevice(viommu.value, device.value, cmd.virt_id);
  const id = objects.reserve(vdevice);
  if (!id.ok) return id;
  const told = call.respond({ out_vdevice_id: id.value });
  if (!told.ok) {
    objects.abort(vdevice);
    return told;
  }
  viommu.value.users++;
  linkVdevice(vdevice);
  objects.finalize(vdevice);
  return ok(0);
}

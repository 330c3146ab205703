/**
 * VFIO_DEVICE_DETACH_IOMMUFD_PT: back to blocked DMA.
 *
 * Rule: detaching what is not attached is success (trace b013).
 */
import { call, DONE, IOMMUFD, iommufdApi, type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import { fail, type StructOf, VFIO_DEVICE_DETACH_PASID, type vfio_device_detach_iommufd_pt } from '@vfiolab/uapi';
import type { CommonCall } from '../device-call.js';
import { detachPasid, hasPasidFlag } from './pasid.js';

type Detach = typeof vfio_device_detach_iommufd_pt;

export function* detachIommufdPt(c: CommonCall<Detach>, cmd: StructOf<Detach>): Op<IoctlResult> {
  const { device, file } = c.file;
  const byPasid = hasPasidFlag(device.flags, cmd.flags, VFIO_DEVICE_DETACH_PASID);
  if (cmd.flags !== 0 && !byPasid) return fail('EINVAL');
  if (byPasid && device.emulated) return fail('EOPNOTSUPP');
  yield* lockWrite(device.set);
  if (byPasid) {
    yield* detachPasid(file, cmd.pasid);
    return DONE;
  }
  if (file.attached === undefined) return DONE;
  yield* call(IOMMUFD, iommufdApi.detach, file.binding!);
  file.attached = undefined;
  return DONE;
}

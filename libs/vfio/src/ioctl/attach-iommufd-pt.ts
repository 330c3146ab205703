/**
 * VFIO_DEVICE_ATTACH_IOMMUFD_PT: attaches the bound function to an IOAS or a HWPT, or replaces what it is attached to.
 *
 * Rule: a failed replacement leaves the old attachment; a reply that cannot be written detaches (trace b013, uAPI
 * section 4).
 */
import { call, DONE, IOMMUFD, iommufdApi, type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import { fail, type StructOf, VFIO_DEVICE_ATTACH_PASID, type vfio_device_attach_iommufd_pt } from '@vfiolab/uapi';
import type { CommonCall } from '../device-call.js';
import { attachPasid, detachPasid, hasPasidFlag } from './pasid.js';

type Attach = typeof vfio_device_attach_iommufd_pt;

export function* attachIommufdPt(c: CommonCall<Attach>, cmd: StructOf<Attach>): Op<IoctlResult> {
  const { device, file } = c.file;
  const byPasid = hasPasidFlag(device.flags, cmd.flags, VFIO_DEVICE_ATTACH_PASID);
  if (cmd.flags !== 0 && !byPasid) return fail('EINVAL');
  if (byPasid && device.emulated) return fail('EOPNOTSUPP');
  yield* lockWrite(device.set);
  if (byPasid) return yield* byPasidFlag(c, cmd);
  const binding = file.binding!;
  const replace = file.attached !== undefined;
  const attached = yield* call(IOMMUFD, iommufdApi.attach, { ...binding, pt: cmd.pt_id, replace });
  if (!attached.ok) return attached;
  const written = c.respond({ pt_id: attached.value.pt });
  if (!written.ok) {
    yield* call(IOMMUFD, iommufdApi.detach, binding);
    file.attached = undefined;
    return written;
  }
  file.attached = attached.value.pt;
  return DONE;
}

function* byPasidFlag(c: CommonCall<Attach>, { pasid, pt_id }: StructOf<Attach>): Op<IoctlResult> {
  const { file } = c.file;
  const attached = yield* attachPasid(file, pasid, pt_id);
  if (!attached.ok) return attached;
  const written = c.respond({ pt_id: attached.value.pt });
  if (!written.ok) yield* detachPasid(file, pasid);
  return written.ok ? DONE : written;
}

/**
 * VFIO_DEVICE_BIND_IOMMUFD: claims DMA ownership inside an iommufd, enables the function, unlocks the file.
 *
 * Rule: checks in the kernel's order, and what a failed call did is undone in reverse (semantics A3.2; traces b011, b012):
 * flags and sign of the fd, not a cdev's file, group node open (EBUSY), this file bound already, the VF token (EFAULT,
 * EINVAL, EACCES), the fd itself (EBADF, EBADFD), another file has access, ownership (EPERM), write-back (EFAULT).
 * The claim on the group is taken once a function, under the set lock: while any file is bound the group node cannot be
 * open, so asking again could not be refused.
 */
import {
  call,
  DONE,
  type FdArgument,
  GROUPS,
  groupsApi,
  IOMMUFD,
  iommufdApi,
  type IoctlResult,
  lockWrite,
  type Op,
} from '@vfiolab/core';
import {
  copyIn,
  fail,
  type Result,
  ok,
  type StructOf,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_TOKEN_UUID_LENGTH,
  type vfio_device_bind_iommufd,
} from '@vfiolab/uapi';
import type { CommonCall } from '../device-call.js';

type Bind = typeof vfio_device_bind_iommufd;

export function* bindIommufd(c: CommonCall<Bind>, cmd: StructOf<Bind>): Op<IoctlResult> {
  const { device } = c.file;
  const known = device.flags.bindTakesToken ? VFIO_DEVICE_BIND_FLAG_TOKEN : 0;
  if (cmd.flags & ~known || cmd.iommufd < 0) return fail('EINVAL');
  if (c.file.file.viaGroup) return fail('EINVAL');
  const bdf = device.name;
  yield* lockWrite(device.set);
  if (device.bound) return yield* refuseSecond(c, cmd);
  const claimed = yield* call(GROUPS, groupsApi.cdevClaim, { bdf, vm: c.file.file.vm });
  if (!claimed.ok) return claimed;
  const bound = yield* bindClaimed(c, cmd);
  if (!bound.ok) yield* call(GROUPS, groupsApi.cdevRelease, { bdf });
  return bound;
}

/** The function has access already, through this file or another one. */
function* refuseSecond(c: CommonCall<Bind>, cmd: StructOf<Bind>): Op<IoctlResult> {
  if (c.file.file.binding) return fail('EINVAL');
  const token = yield* matchToken(c, cmd);
  if (!token.ok) return token;
  const iommufd = iommufdOf(c.fds, cmd.iommufd);
  return iommufd.ok ? fail('EINVAL') : iommufd;
}

/**
 * The VF token that comes with the call, or its absence (semantics A3.7): groups knows what PFs and VFs ask for. A device
 * that is neither takes none (EINVAL). Before 7.2 nobody asks here.
 */
function* matchToken(c: CommonCall<Bind>, { flags, token_uuid_ptr }: StructOf<Bind>): Op<Result<void>> {
  const { name, takesToken, flags: kernel } = c.file.device;
  if (!kernel.bindTakesToken) return ok(undefined);
  const given = (flags & VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0;
  const token = given ? copyIn(c.user, token_uuid_ptr, VFIO_TOKEN_UUID_LENGTH) : ok(undefined);
  if (!token.ok) return token;
  if (!takesToken) return given ? fail('EINVAL') : ok(undefined);
  return yield* call(GROUPS, groupsApi.vfTokenMatch, { bdf: name, token: token.value });
}

function iommufdOf(fds: readonly FdArgument[], fd: number): Result<FdArgument> {
  const passed = fds.find((f) => f.fd === fd);
  if (!passed) return fail('EBADF');
  return passed.owner === IOMMUFD ? ok(passed) : fail('EBADFD');
}

function* bindClaimed(c: CommonCall<Bind>, cmd: StructOf<Bind>): Op<IoctlResult> {
  const token = yield* matchToken(c, cmd);
  if (!token.ok) return token;
  const iommufd = iommufdOf(c.fds, cmd.iommufd);
  if (!iommufd.ok) return iommufd;
  const { device, file } = c.file;
  if (device.shared) return fail('EINVAL');
  const { name: bdf, emulated } = device;
  const bound = yield* call(IOMMUFD, iommufdApi.bind, { token: iommufd.value.token, client: c.client, bdf, emulated });
  if (!bound.ok) return bound;
  const written = device.refusesOpen ? fail(device.refusesOpen) : c.respond({ out_devid: bound.value.device });
  if (!written.ok) {
    yield* call(IOMMUFD, iommufdApi.unbind, bound.value);
    return written;
  }
  device.takeVm?.(file.vm);
  device.enable();
  if (device.resetForUser) yield* device.resetForUser();
  device.bound = file;
  file.binding = bound.value;
  return DONE;
}

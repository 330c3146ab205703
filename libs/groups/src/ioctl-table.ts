/**
 * The ioctls of a group's file: one row each.
 *
 * Rule: a number without a row is unknown to groups: ENOTTY. A running call holds its file.
 */
import {
  answerIoctl,
  failed,
  frontDoor,
  type IoctlArgs,
  type IoctlReply,
  isOp,
  lockRead,
  type Op,
  type Request,
  row,
  SegmentMemory,
} from '@vfiolab/core';
import {
  type KernelProfile,
  openPlain,
  type Result,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
} from '@vfiolab/uapi';
import type { GroupFile } from './group-files.js';
import type { Host } from './host.js';
import { groupGetDeviceFd } from './ioctl/group-get-device-fd.js';
import { groupGetStatus } from './ioctl/group-get-status.js';
import { groupSetContainer } from './ioctl/group-set-container.js';
import { groupUnsetContainer } from './ioctl/group-unset-container.js';

const structs = frontDoor<GroupFile>({ VFIO_GROUP_GET_STATUS: row(VFIO_GROUP_GET_STATUS, groupGetStatus) });

export function* answerGroupIoctl(host: Host, file: GroupFile, req: Request, args: IoctlArgs): Op<IoctlReply> {
  yield* lockRead(file.inUse);
  const found = structs.get(args.cmd);
  if (!found) return yield* answerPlain(host, file, req, args);
  const answer = answerIoctl(found, host.setup.profile as KernelProfile, file, req, args);
  return isOp(answer) ? yield* answer : answer;
}

function* answerPlain(host: Host, file: GroupFile, req: Request, args: IoctlArgs): Op<IoctlReply> {
  const call = { host, file, client: req.from, fds: args.fds };
  const user = new SegmentMemory(args.segments);
  const arg = BigInt(args.arg);
  switch (args.cmd) {
    case VFIO_GROUP_SET_CONTAINER.nr: {
      const fd = openPlain(VFIO_GROUP_SET_CONTAINER, arg, user);
      return replyOf(fd.ok ? yield* groupSetContainer(call, fd.value) : fd);
    }
    case VFIO_GROUP_UNSET_CONTAINER.nr:
      return replyOf(yield* groupUnsetContainer(call));
    case VFIO_GROUP_GET_DEVICE_FD.nr: {
      const name = openPlain(VFIO_GROUP_GET_DEVICE_FD, arg, user);
      const opened = name.ok ? yield* groupGetDeviceFd(call, name.value) : name;
      return opened.ok ? { ...SUCCESS, file: opened.value } : failed(opened.errno);
    }
    default:
      return failed('ENOTTY');
  }
}

const SUCCESS: IoctlReply = { errno: 0, ret: 0, writes: [], file: undefined };
const replyOf = (r: Result<number>): IoctlReply => (r.ok ? { ...SUCCESS, ret: r.value } : failed(r.errno));

/** The reply of an ioctl that copies nothing back. */
import type { IoctlReply, IoctlResult } from '@vfiolab/core';
import { errnoNumber } from '@vfiolab/uapi';

export const replyOf = (r: IoctlResult): IoctlReply => ({
  errno: r.ok ? 0 : errnoNumber(r.errno),
  ret: r.ok ? r.value : 0,
  writes: [],
  file: undefined,
});

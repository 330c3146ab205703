/** What an ioctl of a group's file is made on. */
import type { Address, FdArgument } from '@vfiolab/core';
import type { GroupFile } from '../group-files.js';
import type { Host } from '../host.js';

export interface GroupCall {
  readonly host: Host;
  readonly file: GroupFile;
  readonly client: Address;
  readonly fds: readonly FdArgument[];
}

/** What every handler of this folder gets: the context behind the fd, what the service has besides, the kernel's profile. */
import type { AnyStruct } from '@vfiolab/uapi';
import type { IoctlCall } from '@vfiolab/core';
import type { Context } from '../context.js';
import type { OpenFiles } from '../open-files.js';
import type { ProfileFlags } from '../profile-flags.js';
import type { PeerStores } from '../peer-memory.js';
import type { Dmabufs } from '../selftest/dmabuf.js';

export interface IommufdFile {
  readonly context: Context;
  readonly files: OpenFiles;
  readonly flags: ProfileFlags;
  /** All of the host, for what concerns more than one. */
  readonly contexts: ReadonlyMap<number, Context>;
  readonly dmabufs: Dmabufs;
  readonly peers: PeerStores;
}

export type Call<S extends AnyStruct> = IoctlCall<IommufdFile, S>;

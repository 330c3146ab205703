/** What every handler of this folder gets: the context behind the fd, the files of the service, the kernel's profile. */
import type { AnyStruct } from '@vfiolab/uapi';
import type { IoctlCall } from '@vfiolab/core';
import type { Context } from '../context.js';
import type { OpenFiles } from '../open-files.js';
import type { ProfileFlags } from '../profile-flags.js';

export interface IommufdFile {
  readonly context: Context;
  readonly files: OpenFiles;
  readonly flags: ProfileFlags;
}

export type Call<S extends AnyStruct> = IoctlCall<IommufdFile, S>;

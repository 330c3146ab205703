/** What every handler of this folder gets: the open file behind the fd. */
import type { AnyStruct } from '@vfiolab/uapi';
import type { IoctlCall } from '@vfiolab/core';
import type { Context } from '../context.js';

export interface IommufdFile {
  readonly id: number;
  readonly context: Context;
}

export type Call<S extends AnyStruct> = IoctlCall<IommufdFile, S>;

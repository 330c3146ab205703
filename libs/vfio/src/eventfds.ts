/**
 * From an fd number in a call's data to an eventfd that `pages` holds for us.
 *
 * Rule: a number without an open file is EBADF, a file that is no eventfd EINVAL, and only then something is held.
 */
import { call, type FdArgument, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { fail, type Result } from '@vfiolab/uapi';
import { read32 } from './little-endian.js';

/** Who passes which fds. */
export interface FdSource {
  readonly client: string;
  readonly fds: readonly FdArgument[];
}

/** Fd number `i` of an array of s32. */
export const fdNumber = (data: Uint8Array, i = 0): number => read32(data, 4 * i) | 0;

/** Holds the eventfd behind `fd`; the answer is the number to signal it and to give it back by. */
export function* holdEventfd(source: FdSource, fd: number): Op<Result<number>> {
  const passed = source.fds.find((f) => f.fd === fd);
  if (!passed) return fail('EBADF');
  if (passed.owner !== PAGES) return fail('EINVAL');
  return yield* call(PAGES, pagesApi.eventfdHold, { token: passed.token, client: source.client });
}

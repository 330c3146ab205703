/**
 * From an fd number in a call's data to an eventfd that `pages` holds for us.
 *
 * Rule: a number without an open file is EBADF, a file that is no eventfd EINVAL, and only then something is held.
 */
import { call, type FdArgument, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { read32 } from './little-endian.js';

/** Who passes which fds. */
export interface FdSource {
  readonly client: string;
  readonly fds: readonly FdArgument[];
}

/** Fd number `i` of an array of s32. */
export const fdNumber = (data: Uint8Array, i = 0): number => read32(data, 4 * i) | 0;

/** The capability behind an fd that must be an eventfd. EBADF, EINVAL. */
function eventfdOf({ fds }: FdSource, fd: number): Result<FdArgument> {
  const passed = fds.find((f) => f.fd === fd);
  if (!passed) return fail('EBADF');
  return passed.owner === PAGES ? ok(passed) : fail('EINVAL');
}

/** The fd names a file, so one that `pages` does not know as an eventfd is of another kind. */
const asEventfd = <T>(held: Result<T>): Result<T> => (!held.ok && held.errno === 'EBADF' ? fail('EINVAL') : held);

/** Holds the eventfd behind `fd`; the answer is the number to signal it and to give it back by. */
export function* holdEventfd(source: FdSource, fd: number): Op<Result<number>> {
  const found = eventfdOf(source, fd);
  if (!found.ok) return found;
  const { token } = found.value;
  return asEventfd(yield* call(PAGES, pagesApi.eventfdHold, { token, client: source.client }));
}

/** The same, and writes to it are told to us. `ready`: it could be read already. */
export function* watchEventfd(source: FdSource, fd: number): Op<Result<{ event: number; ready: boolean }>> {
  const found = eventfdOf(source, fd);
  if (!found.ok) return found;
  const { token } = found.value;
  return asEventfd(yield* call(PAGES, pagesApi.eventfdWatch, { token, client: source.client }));
}

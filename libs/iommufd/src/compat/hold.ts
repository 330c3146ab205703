/** The IOAS that the compatibility ioctls act on, held for the running call. */
import { fail, type Result } from '@vfiolab/uapi';
import type { Op } from '@vfiolab/core';
import { type Context, isIoas } from '../context.js';
import type { Ioas } from '../ioas.js';
import { hold } from '../objects.js';

/** ENODEV: there is none. */
export function* holdCompatIoas({ objects, compatIoas }: Context): Op<Result<Ioas>> {
  if (!compatIoas) return fail('ENODEV');
  const held = yield* hold(objects, compatIoas.id, isIoas);
  return held.ok ? held : fail('ENODEV');
}

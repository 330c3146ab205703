/** The IOAS that the compatibility ioctls act on. */
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Op } from '@vfiolab/core';
import { type Context, isIoas } from '../context.js';
import { Ioas } from '../ioas.js';
import { hold } from '../objects.js';

/** Held for the running call. ENODEV: there is none. */
export function* holdCompatIoas({ objects, compatIoas }: Context): Op<Result<Ioas>> {
  if (!compatIoas) return fail('ENODEV');
  const held = yield* hold(objects, compatIoas.id, isIoas);
  return held.ok ? held : fail('ENODEV');
}

/** The one there is, or a new one, which the user may find, use and destroy like his own. ENOMEM. */
export function ensureCompatIoas(context: Context): Result<Ioas> {
  if (context.compatIoas) return ok(context.compatIoas);
  const ioas = new Ioas(context.page);
  const id = context.objects.reserve(ioas);
  if (!id.ok) return id;
  context.objects.finalize(ioas);
  context.compatIoas = ioas;
  return ok(ioas);
}

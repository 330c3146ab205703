/**
 * System calls on a migration's data fd.
 *
 * Rule: a request for a state and the bytes of a session exclude each other; a session whose function is gone has ended.
 */
import {
  answerIoctl,
  failed,
  type IoctlArgs,
  type IoctlReply,
  isOp,
  lockWrite,
  type Op,
  POLLIN,
  POLLOUT,
  type Request,
} from '@vfiolab/core';
import { fail, type Result } from '@vfiolab/uapi';
import { migrationIoctlRows } from '../common-ioctls.js';
import type { CommonDevice } from '../common-device.js';
import type { Session } from './session.js';

type Device = CommonDevice | undefined;

export function* readSession(device: Device, session: Session, length: number): Op<Result<Uint8Array>> {
  const migration = device?.migration;
  if (!device || !migration) return fail('ENODEV');
  yield* lockWrite(migration.lock);
  yield* lockWrite(device.memory);
  return migration.read(session, length);
}

export function* writeSession(device: Device, session: Session, data: Uint8Array): Op<Result<number>> {
  const migration = device?.migration;
  if (!device || !migration) return fail('ENODEV');
  yield* lockWrite(migration.lock);
  return migration.write(session, data);
}

export function* ioctlOnSession(device: Device, session: Session, req: Request, args: IoctlArgs): Op<IoctlReply> {
  const found = migrationIoctlRows.get(args.cmd);
  if (!found) return failed('ENOTTY');
  const migration = device?.migration;
  if (!device || !migration) return failed('ENODEV');
  yield* lockWrite(migration.lock);
  yield* lockWrite(device.memory);
  const answer = answerIoctl(found, device.flags.profile, { migration, session }, req, args);
  return isOp(answer) ? yield* answer : answer;
}

/** Data fds have no poll operation: always ready. */
export const READY = POLLIN | POLLOUT;

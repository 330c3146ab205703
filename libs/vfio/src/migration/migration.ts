/**
 * Migration of a function whose model can be taken to another host (semantics D9).
 *
 * Rule: a request walks arc by arc and stays where one fails. A stopped device starts nothing and is changed by nothing, but
 * its registers answer.
 */
import type { MigratableModel } from '@vfiolab/devices';
import {
  type Errno,
  fail,
  ok,
  type Result,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_STOP_COPY,
} from '@vfiolab/uapi';
import { isPreCopy, nextState, resumes, saves } from './arcs.js';
import type { DeviceMigration, Walk } from './device-migration.js';
import { MigrationState } from './migration-state.js';
import type { Session } from './session.js';

export class Migration extends MigrationState implements DeviceMigration {
  constructor(private readonly model: MigratableModel) {
    super();
  }

  get imageBytes(): number {
    return this.model.imageBytes;
  }

  /** The caller holds the device's memory lock for writing, so nothing is running. EINVAL. */
  walk(to: number): Walk {
    let opened: Session | undefined;
    while (this.state !== to) {
      const next = nextState(this.state, to, this.features);
      const taken = next.ok ? this.take(next.value) : next;
      if (!taken.ok) return { opened, errno: taken.errno };
      opened = taken.value;
    }
    return { opened, errno: undefined };
  }

  /** One arc. Answers the session that begins with it. */
  private take(next: number): Result<Session | undefined> {
    const from = this.state;
    if (resumes(from) && !this.load()) return fail('EINVAL');
    if (!(saves(from) && saves(next))) this.end();
    this.state = next;
    if (next === VFIO_DEVICE_STATE_RESUMING) return ok(this.begin('resume'));
    const opened = saves(next) && !saves(from) ? this.begin('save') : undefined;
    if (opened || next === VFIO_DEVICE_STATE_STOP_COPY) this.session!.add(this.model.save(), isPreCopy(next));
    return ok(opened);
  }

  /** False: what came is no state of this device. */
  private load(): boolean {
    const image = this.session!.received;
    return image !== undefined && this.model.load(image);
  }

  /** The last close leads back to running, too (semantics D9.7). */
  close(): void {
    this.restart();
    this.precopyInfo2 = false;
  }

  /** The data fd's bytes. ENODEV: the session ended; EINVAL: wrong direction; ENOMSG: a temporary end (semantics D9.4). */
  read(session: Session, length: number): Result<Uint8Array> {
    const refused = this.refusal(session, 'save');
    if (refused) return fail(refused);
    if (session.left === 0 && isPreCopy(this.state)) {
      session.add(this.model.save(), false);
      if (session.left === 0) return fail('ENOMSG');
    }
    return ok(session.read(length));
  }

  write(session: Session, data: Uint8Array): Result<number> {
    const refused = this.refusal(session, 'resume');
    if (refused) return fail(refused);
    session.write(data);
    return ok(data.length);
  }

  private refusal(session: Session, direction: Session['direction']): Errno | undefined {
    if (session.direction !== direction) return 'EINVAL';
    return session.ended ? 'ENODEV' : undefined;
  }

  /**
   * What is still to be read, in a PRE_COPY state only (EINVAL). `anew`: what follows is the whole state once more, which is
   * told to clients that know of it.
   */
  precopyInfo(session: Session): Result<{ initial: number; dirty: number; anew: boolean }> {
    if (!isPreCopy(this.state)) return fail('EINVAL');
    if (session.ended) return fail('ENODEV');
    const changed = session.left === 0 && !session.isNewest(this.model.save());
    const anew = changed && this.precopyInfo2;
    if (anew) session.add(this.model.save(), true);
    const dirty = changed && !anew ? this.imageBytes : session.left - session.initialLeft;
    return ok({ initial: session.initialLeft, dirty, anew });
  }

  override check(): string[] {
    const missing = this.direction && !this.session;
    return missing ? [`I44: state ${this.state} has no session`] : super.check();
  }
}

/**
 * What every migration of a device keeps: its state, the session whose data fd is open, and what the client knows.
 *
 * Rule: a session belongs to the states of its direction; one that was left is marked ended, so that its file answers ENODEV
 * (semantics D9.3).
 */
import { type ByteReader, type ByteWriter, Lock } from '@vfiolab/core';
import {
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_STOP_COPY,
} from '@vfiolab/uapi';
import { resumes, saves } from './arcs.js';
import { Session } from './session.js';

export abstract class MigrationState {
  readonly features = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
  /** Held by requests for a state. */
  readonly lock = new Lock();
  state = VFIO_DEVICE_STATE_RUNNING;
  session: Session | undefined;
  /** The client knows the flags of VFIO_MIG_GET_PRECOPY_INFO. */
  precopyInfo2 = false;

  /** Bytes of a whole state of the device. */
  abstract get imageBytes(): number;

  protected begin(direction: Session['direction']): Session {
    return (this.session = new Session(direction, this.imageBytes));
  }

  protected end(): void {
    if (this.session) this.session.ended = true;
    this.session = undefined;
  }

  /** A reset leads back to running from everywhere (semantics D9.6). */
  restart(): void {
    this.end();
    this.state = VFIO_DEVICE_STATE_RUNNING;
  }

  encode(w: ByteWriter): void {
    w.u8(this.state);
    w.bool(this.precopyInfo2);
    w.bool(this.session !== undefined);
    this.session?.encode(w);
  }

  decode(r: ByteReader): void {
    this.state = r.u8();
    this.precopyInfo2 = r.bool();
    this.session = r.bool() ? Session.decode(r) : undefined;
  }

  /** The direction of a session in this state. */
  protected get direction(): Session['direction'] | undefined {
    return saves(this.state) ? 'save' : resumes(this.state) ? 'resume' : undefined;
  }

  /** What is wrong; empty when all is well. */
  check(): string[] {
    const { session, direction, state } = this;
    if (!session || (session.direction === direction && !session.ended)) return [];
    return [`I44: state ${state} has session ${session.direction}${session.ended ? ', ended' : ''}`];
  }
}

/**
 * Migration of a serial card (SURPRISES 43, traces b095, b108). [samples/vfio-mdev/mtty.c]
 *
 * Words: the *data* are a header of 24 bytes (magic, version 1.0, number of ports, flags) and the state of each port. A session
 * in PRE_COPY has the header only; STOP_COPY adds the ports.
 * Rule: the state outlives the last close and its session does not; RESET leads back to RUNNING. Leaving RESUMING loads what
 * came, and needs all of it (EINVAL); so without a session it is refused.
 */
import { fail, ok, type Result, VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_STOP_COPY } from '@vfiolab/uapi';
import { same } from '../byte-arrays.js';
import { isPreCopy, nextState, resumes, saves } from '../migration/arcs.js';
import type { DeviceMigration, Walk } from '../migration/device-migration.js';
import { MigrationState } from '../migration/migration-state.js';
import type { Session } from '../migration/session.js';
import { PORT_BYTES, type SerialPort } from './serial-port.js';

export const HEADER_BYTES = 24;
const MAGIC = 0x7e9d09898c3e2c4en;

export class SerialMigration extends MigrationState implements DeviceMigration {
  private readonly header: Uint8Array;

  constructor(private readonly ports: readonly SerialPort[]) {
    super();
    this.header = new Uint8Array(HEADER_BYTES);
    const view = new DataView(this.header.buffer);
    view.setBigUint64(0, MAGIC, true);
    [1, 0, ports.length, 0].forEach((word, i) => view.setUint32(8 + 4 * i, word, true));
  }

  get imageBytes(): number {
    return HEADER_BYTES + this.ports.length * PORT_BYTES;
  }

  /** EINVAL: no way there, or what came is not all of a state; the card stays where that happened. */
  walk(to: number): Walk {
    let opened: Session | undefined;
    while (this.state !== to) {
      const next = nextState(this.state, to, this.features);
      if (!next.ok || (resumes(this.state) && !this.load())) return { opened: undefined, errno: 'EINVAL' };
      opened = this.take(next.value);
    }
    return { opened, errno: undefined };
  }

  /** One arc. Answers the session that begins with it. */
  private take(next: number): Session | undefined {
    const from = this.state;
    if (resumes(from) || (saves(from) && !saves(next))) this.end();
    this.state = next;
    if (next === VFIO_DEVICE_STATE_RESUMING) return this.begin('resume');
    const begins = saves(next) && !this.session && !(isPreCopy(from) && isPreCopy(next));
    if (begins) this.begin('save').add(this.header, true);
    if (next === VFIO_DEVICE_STATE_STOP_COPY) for (const { state } of this.ports) this.session!.append(state);
    return begins ? this.session : undefined;
  }

  /** False: not all has come. What the header says was judged when it came. */
  private load(): boolean {
    const image = this.session?.received;
    if (!image) return false;
    this.ports.forEach((port, i) => {
      const at = HEADER_BYTES + i * PORT_BYTES;
      port.load(image.subarray(at, at + PORT_BYTES));
    });
    return true;
  }

  /** The last file is closed. */
  close(): void {
    this.end();
    this.precopyInfo2 = false;
  }

  /** Nothing at the end of what there is so far. EBADF: the file is for writing; ENODEV: the session ended. */
  read(session: Session, length: number): Result<Uint8Array> {
    if (session.direction !== 'save') return fail('EBADF');
    return session.ended ? fail('ENODEV') : ok(session.read(length));
  }

  /** EBADF: the file is for reading; ENOMEM: more than a state; ENODEV: the session ended; EFAULT: the header, now complete, is not ours. */
  write(session: Session, data: Uint8Array): Result<number> {
    if (session.direction !== 'resume') return fail('EBADF');
    const before = session.ended ? 0 : session.left;
    if (before + data.length > this.imageBytes) return fail('ENOMEM');
    if (session.ended) return fail('ENODEV');
    session.write(data);
    const completes = before < HEADER_BYTES && session.left >= HEADER_BYTES;
    return completes && !same(session.first(HEADER_BYTES), this.header) ? fail('EFAULT') : ok(data.length);
  }

  precopyInfo(session: Session): Result<{ initial: number; dirty: number; anew: boolean }> {
    if (!isPreCopy(this.state)) return fail('EINVAL');
    return session.ended ? fail('ENODEV') : ok({ initial: session.left, dirty: 0, anew: false });
  }
}

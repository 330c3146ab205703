/**
 * Files that ioctls of a device file make: dma-bufs, and the data fds of migration sessions.
 *
 * Rule: they outlive the device file that made them, and the driver; nobody waits for their close.
 */
import { type Address, type ByteReader, type ByteWriter, FileTable, type NewFile, type Request } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { DmabufFile } from './dmabuf.js';
import { Session } from './migration/session.js';

export class MigrationFile {
  readonly kind = 'migration';

  constructor(
    readonly id: number,
    readonly session: Session,
  ) {}

  /** A session that has not ended is the device's own. */
  encode(w: ByteWriter): void {
    w.bool(this.session.ended);
    if (this.session.ended) this.session.encode(w);
  }

  static decode(r: ByteReader, id: number, current: Session | undefined): MigrationFile {
    return new MigrationFile(id, r.bool() ? Session.decode(r) : current!);
  }
}

export type MadeFile = DmabufFile | MigrationFile;

/** Files of one function that were made so and are open; one more is ENOMEM. */
export const MAX_MADE_FILES = 4096;

export class MadeFiles {
  private readonly table = new FileTable<MadeFile>();
  private readonly byId = new Map<number, MadeFile>();
  private nextId = 1;

  get size(): number {
    return this.byId.size;
  }

  /** ENOMEM: too many; EMFILE: of the client, or the call did not ask for a file. */
  open(req: Request, make: (id: number) => MadeFile): Result<NewFile> {
    if (this.size >= MAX_MADE_FILES) return fail('ENOMEM');
    const file = make(this.nextId);
    const token = req.entropy.length > 0 ? this.table.open(req.from, file, req.entropy) : undefined;
    if (token === undefined) return fail('EMFILE');
    this.byId.set(this.nextId++, file);
    return ok({ token, kind: file.kind });
  }

  get(token: string, client: Address): MadeFile | undefined {
    return this.table.get(token, client);
  }

  /** False: there is no such file. */
  close(token: string, client: Address): boolean {
    const closed = this.table.close(token, client);
    if (closed?.last) this.byId.delete(closed.file.id);
    return closed !== undefined;
  }

  closeAll(client: Address): void {
    for (const token of this.table.of(client)) this.close(token, client);
  }

  /** Undefined: there is no such file. EMFILE. */
  grant(req: Request, token: string, to: Address): Result<NewFile> | undefined {
    const file = this.get(token, req.from);
    if (!file) return undefined;
    const granted = this.table.open(to, file, req.entropy);
    return granted === undefined ? fail('EMFILE') : ok({ token: granted, kind: file.kind });
  }

  /** The function's last file is closed: what was exported is of no use any more. */
  killDmabufs(): void {
    for (const file of this.byId.values()) if (file.kind === 'dmabuf') file.dead = true;
  }

  encode(w: ByteWriter): void {
    w.num(this.nextId);
    w.list([...this.byId.values()], (file) => {
      w.num(file.id);
      w.str(file.kind);
      file.encode(w);
    });
    this.table.encode(w);
  }

  /** `current`: the session that the device has. */
  decode(r: ByteReader, current: Session | undefined): void {
    this.nextId = r.num();
    r.list(() => {
      const [id, kind] = [r.num(), r.str()];
      this.byId.set(id, kind === 'dmabuf' ? DmabufFile.decode(r, id) : MigrationFile.decode(r, id, current));
    });
    this.table.decode(r, (id) => this.byId.get(id)!);
  }
}

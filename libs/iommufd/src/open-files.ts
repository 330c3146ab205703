/**
 * The files of iommufd: /dev/iommu itself, and those that its ioctls make.
 *
 * Words: an *access file* holds an in-kernel access of the self-test, a *fault file* a fault queue, a *window file* the
 * vIOMMU whose window is mapped.
 * Rule: a file names its context and its object; the context lives at least as long as its files. Only a dma-buf belongs to
 * no context: it outlives the one that made it.
 */
import { type ByteReader, type ByteWriter, FileTable, type NewFile, type Request } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Access } from './access.js';
import type { Context } from './context.js';
import type { FaultQueue } from './fault-queue.js';
import type { Dmabuf, Dmabufs } from './selftest/dmabuf.js';
import type { VeventQueue } from './vevent-queue.js';
import type { Viommu } from './viommu.js';

interface AnyFile {
  readonly id: number;
  readonly context: Context;
}
export interface ContextFile extends AnyFile {
  readonly kind: 'iommufd';
}
export interface AccessFile extends AnyFile {
  readonly kind: 'iommufd-access';
  readonly object: Access;
}
export interface FaultFile extends AnyFile {
  readonly kind: 'iommufd-fault';
  readonly object: FaultQueue;
}
export interface VeventFile extends AnyFile {
  readonly kind: 'iommufd-vevents';
  readonly object: VeventQueue;
}
export interface WindowFile extends AnyFile {
  readonly kind: 'iommufd-window';
  readonly object: Viommu;
}
export interface DmabufFile {
  readonly id: number;
  readonly kind: 'dmabuf';
  readonly object: Dmabuf;
}
/** Files that hold an object of a context, and so the context. */
type ObjectFile = AccessFile | FaultFile | VeventFile | WindowFile;
export type OpenFile = ContextFile | ObjectFile | DmabufFile;
type NewOpenFile = OpenFile extends infer F ? (F extends OpenFile ? Omit<F, 'id'> : never) : never;

export class OpenFiles {
  private readonly table = new FileTable<OpenFile>();
  private readonly byId = new Map<number, OpenFile>();
  private nextId = 1;

  get size(): number {
    return this.table.size;
  }

  /** A file under a new capability of the caller. EMFILE: too many, or the call did not ask for a file. */
  open(req: Request, file: NewOpenFile): Result<NewFile> {
    const opened = { ...file, id: this.nextId } as OpenFile;
    const token = req.entropy.length > 0 ? this.table.open(req.from, opened, req.entropy) : undefined;
    if (token === undefined) return fail('EMFILE');
    this.byId.set(this.nextId++, opened);
    if (holdsContext(opened)) opened.context.openFiles++;
    return ok({ token, kind: opened.kind });
  }

  get(token: string, client: string): OpenFile | undefined {
    return this.table.get(token, client);
  }

  /** Drops a capability. Answers the file with its last one; its context counts it until the caller is done. EBADF. */
  close(token: string, client: string): Result<OpenFile | undefined> {
    const closed = this.table.close(token, client);
    if (!closed) return fail('EBADF');
    if (!closed.last) return ok(undefined);
    this.byId.delete(closed.file.id);
    return ok(closed.file);
  }

  /** Takes a file back that nobody heard of. */
  undo({ token }: NewFile, client: string): void {
    const closed = this.close(token, client);
    if (closed.ok && closed.value && holdsContext(closed.value)) closed.value.context.openFiles--;
  }

  /** The same file under a capability of another client. EBADF, EMFILE. */
  grant(req: Request, token: string, to: string): Result<NewFile> {
    const file = this.get(token, req.from);
    if (!file) return fail('EBADF');
    const granted = this.table.open(to, file, req.entropy);
    return granted === undefined ? fail('EMFILE') : ok({ token: granted, kind: file.kind });
  }

  /** The capabilities of a client. */
  of(client: string): string[] {
    return this.table.of(client);
  }

  encode(w: ByteWriter): void {
    w.num(this.nextId);
    w.list(this.byId, ([id, file]) => {
      w.num(id);
      w.str(file.kind);
      w.num(file.kind === 'dmabuf' ? 0 : file.context.id);
      w.u32(objectNumber(file));
    });
    this.table.encode(w);
  }

  decode(r: ByteReader, contexts: ReadonlyMap<number, Context>, dmabufs: Dmabufs): void {
    this.nextId = r.num();
    r.list(() => {
      const [id, kind, context, object] = [r.num(), r.str(), contexts.get(r.num()), r.u32()];
      const what =
        kind === 'dmabuf' ? { object: dmabufs.at(object) } : { context, object: context!.objects.get(object) };
      const file = { id, kind, ...what } as OpenFile;
      this.byId.set(id, file);
      if (holdsContext(file)) file.context.openFiles++;
    });
    this.table.decode(r, (id) => this.byId.get(id)!);
  }
}

const holdsContext = (file: OpenFile): file is ObjectFile => file.kind !== 'iommufd' && file.kind !== 'dmabuf';

/** Among the objects of its context, or among the dma-bufs. */
function objectNumber(file: OpenFile): number {
  if (file.kind === 'iommufd') return 0;
  return file.kind === 'dmabuf' ? file.object.slot : file.object.id;
}

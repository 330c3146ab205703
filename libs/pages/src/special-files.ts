/**
 * Files of this service that are neither memfds nor eventfds: /dev/null, /dev/zero, /dev/udmabuf, and the dma-bufs of the last.
 *
 * Rule: none of them has pages that could be mapped for DMA.
 */
import {
  type Address,
  type ByteReader,
  type ByteWriter,
  FileTable,
  type NewFile,
  STDIO_TOKEN,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Frames } from './frames.js';
import type { MemoryFile } from './memory-file.js';
import { type DmabufPiece, Udmabuf } from './udmabuf.js';

/** Open special files of one host; one more is ENFILE. */
export const MAX_SPECIAL_FILES = 65536;

const DEVICES = { '/dev/null': 'null', '/dev/zero': 'zero', '/dev/udmabuf': 'udmabuf' } as const;
type DeviceKind = (typeof DEVICES)[keyof typeof DEVICES];

export interface SpecialFile {
  readonly id: number;
  readonly kind: DeviceKind | 'dmabuf';
  /** O_RDONLY, O_WRONLY or O_RDWR. */
  readonly access: number;
  readonly dmabuf: Udmabuf | undefined;
}

const ACCESS = 3;
const [O_RDONLY, O_WRONLY, O_RDWR] = [0, 1, 2];
const STDIO: SpecialFile = { id: 0, kind: 'null', access: O_RDWR, dmabuf: undefined };

export class SpecialFiles {
  private readonly table = new FileTable<SpecialFile>();
  private readonly files = new Map<number, SpecialFile>();
  private nextId = 1;

  constructor(private readonly frames: Frames) {}

  get size(): number {
    return this.files.size;
  }

  /** open(2) of a device node. ENXIO: no such device; ENFILE, EMFILE. */
  open(client: Address, path: string, flags: number, entropy: Uint8Array): Result<NewFile> {
    if (!Object.hasOwn(DEVICES, path)) return fail('ENXIO');
    const kind = DEVICES[path as keyof typeof DEVICES];
    return this.install(client, { kind, access: flags & ACCESS, dmabuf: undefined }, entropy);
  }

  /** A file for a new dma-buf. ENFILE, EMFILE. */
  openDmabuf(client: Address, dmabuf: Udmabuf, entropy: Uint8Array): Result<NewFile> {
    return this.install(client, { kind: 'dmabuf', access: O_RDWR, dmabuf }, entropy);
  }

  private install(client: Address, what: Omit<SpecialFile, 'id'>, entropy: Uint8Array): Result<NewFile> {
    if (this.files.size >= MAX_SPECIAL_FILES) return fail('ENFILE');
    const file = { ...what, id: this.nextId };
    const token = entropy.length > 0 ? this.table.open(client, file, entropy) : undefined;
    if (token === undefined) return fail('EMFILE');
    this.files.set(this.nextId++, file);
    return ok({ token, kind: file.kind });
  }

  of(client: Address, token: string): SpecialFile | undefined {
    return token === STDIO_TOKEN ? STDIO : this.table.get(token, client);
  }

  /** The same file under a token of another client. EBADF, EMFILE. */
  grant(client: Address, token: string, to: Address, entropy: Uint8Array): Result<NewFile> {
    const file = this.of(client, token);
    if (!file) return fail('EBADF');
    if (file === STDIO) return ok({ token, kind: file.kind });
    const granted = this.table.open(to, file, entropy);
    return granted === undefined ? fail('EMFILE') : ok({ token: granted, kind: file.kind });
  }

  close(client: Address, token: string): Result<void> {
    if (token === STDIO_TOKEN) return ok(undefined);
    const closed = this.table.close(token, client);
    if (!closed) return fail('EBADF');
    if (!closed.last) return ok(undefined);
    this.files.delete(closed.file.id);
    closed.file.dmabuf?.release(this.frames);
    return ok(undefined);
  }

  closeAll(client: Address): void {
    for (const token of this.table.of(client)) this.close(client, token);
  }

  /** In the order in which they were made. */
  *dmabufs(): IterableIterator<Udmabuf> {
    for (const { dmabuf } of this.files.values()) if (dmabuf) yield dmabuf;
  }

  encode(w: ByteWriter, view: View): void {
    if (view === 'meaning') return w.list([...this.files.values()].map(meaningOf).sort(), (text) => w.str(text));
    w.num(this.nextId);
    w.list(this.files, ([id, { kind, access, dmabuf }]) => {
      w.num(id);
      w.str(kind);
      w.u8(access);
      w.list(dmabuf?.pieces ?? [], (piece) => encodePiece(w, piece));
    });
    this.table.encode(w);
  }

  /** Who pins which frame is counted when all users of the host are known: see Frames.adopt. */
  decode(r: ByteReader, fileOf: (id: number) => MemoryFile): void {
    this.nextId = r.num();
    r.list(() => {
      const [id, kind, access] = [r.num(), r.str() as SpecialFile['kind'], r.u8()];
      const pieces = r.list(() => decodePiece(r, fileOf));
      this.files.set(id, { id, kind, access, dmabuf: kind === 'dmabuf' ? new Udmabuf(pieces) : undefined });
    });
    this.table.decode(r, (id) => this.files.get(id)!);
  }
}

/** What a client knows of a file. */
const meaningOf = ({ kind, access, dmabuf }: SpecialFile): string =>
  [
    kind,
    access,
    ...(dmabuf?.pieces ?? []).map(({ file, first, end }) => `${file.name.maker}/${file.name.serial}:${first}-${end}`),
  ].join(' ');

function encodePiece(w: ByteWriter, { file, first, end, frames }: DmabufPiece): void {
  w.num(file.id);
  w.num(first);
  w.num(end);
  w.list(frames, ({ frame, count }) => (w.num(frame), w.num(count)));
}

function decodePiece(r: ByteReader, fileOf: (id: number) => MemoryFile): DmabufPiece {
  const file = fileOf(r.num());
  file.use();
  return { file, first: r.num(), end: r.num(), frames: r.list(() => ({ frame: r.num(), count: r.num() })) };
}

/** read(2) of a special file. EBADF: opened for writing only; EINVAL: it is not read. */
export function readSpecial({ kind, access }: SpecialFile, length: number): Result<Uint8Array> {
  if (access === O_WRONLY) return fail('EBADF');
  if (kind === 'null') return ok(new Uint8Array(0));
  return kind === 'zero' ? ok(new Uint8Array(length)) : fail('EINVAL');
}

/** write(2): nothing is kept. EBADF: opened for reading only; EINVAL: it is not written. */
export function writeSpecial({ kind, access }: SpecialFile, data: Uint8Array): Result<number> {
  if (access === O_RDONLY) return fail('EBADF');
  return kind === 'null' || kind === 'zero' ? ok(data.length) : fail('EINVAL');
}

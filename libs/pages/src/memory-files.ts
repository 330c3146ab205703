/**
 * All files in memory of the host, and who has them open.
 *
 * Words: an *open description* is one memfd_create or one open of it, with its access mode; several capabilities may name
 * it (grant).
 * Rule: a file goes with its last user: open description, VMA or store.
 */
import {
  type Address,
  type ByteReader,
  type ByteWriter,
  F_SEAL_EXEC,
  F_SEAL_SEAL,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FileTable,
  type LentMemory,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  MFD_HUGETLB,
  MFD_NOEXEC_SEAL,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Frames } from './frames.js';
import { type FileName, MemoryFile } from './memory-file.js';

/** Files in memory, and open descriptions of them, of one host; one more is ENFILE. */
export const MAX_MEMORY_FILES = 65536;

/** Bytes of a program's own file. */
export const PROGRAM_BYTES = 1 << 20;
/** No client has that name. */
const PROGRAM_NAME: FileName = { maker: '', serial: 0 };

const PLAIN_FLAGS = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC;
/** log2 of the hugetlb page size stands in the bits from here on; 0: the default, 2 MiB. */
const MFD_HUGE_SHIFT = 26;
const HUGE_SHIFTS: readonly number[] = [21, 30];

export interface OpenMemory {
  readonly id: number;
  readonly file: MemoryFile;
  readonly writable: boolean;
}

/** log2 of the page size that the flags of memfd_create ask for. EINVAL: unknown flags or no such size. */
function pageShiftOf(flags: number): Result<number> {
  const plain = flags & ((1 << MFD_HUGE_SHIFT) - 1);
  const huge = flags >>> MFD_HUGE_SHIFT;
  const isHugetlb = (flags & MFD_HUGETLB) !== 0;
  const bothModes = (flags & MFD_EXEC) !== 0 && (flags & MFD_NOEXEC_SEAL) !== 0;
  if ((plain & ~PLAIN_FLAGS) !== 0 || bothModes || (!isHugetlb && huge !== 0)) return fail('EINVAL');
  const shift = huge === 0 ? 21 : huge;
  if (!isHugetlb) return ok(12);
  return HUGE_SHIFTS.includes(shift) ? ok(shift) : fail('EINVAL');
}

const isProgram = ({ name }: MemoryFile): boolean => name.maker === PROGRAM_NAME.maker;

export class MemoryFiles {
  private readonly files = new Map<number, MemoryFile>();
  private readonly descriptions = new Map<number, OpenMemory>();
  private readonly table = new FileTable<OpenMemory>();
  private nextId = 1;

  constructor(
    private readonly frames: Frames,
    private readonly lent: LentMemory,
  ) {}

  get size(): number {
    return this.files.size;
  }

  byId(id: number): MemoryFile | undefined {
    return this.files.get(id);
  }

  all(): IterableIterator<MemoryFile> {
    return this.files.values();
  }

  /** An empty file without users: the caller becomes the first, or calls `discard`. ENFILE. */
  make(name: FileName, pageShift: number): Result<MemoryFile> {
    if (this.files.size >= MAX_MEMORY_FILES) return fail('ENFILE');
    return ok(this.put(this.nextId++, name, pageShift));
  }

  private put(id: number, name: FileName, pageShift: number): MemoryFile {
    const file = new MemoryFile(id, name, pageShift, this.frames, (each) => this.discard(each));
    this.files.set(id, file);
    return file;
  }

  discard(file: MemoryFile): void {
    file.cache.clear();
    this.files.delete(file.id);
  }

  /** memfd_create(2); flags MFD_*. EINVAL, ENFILE, EMFILE. */
  create(client: Address, name: FileName, flags: number, entropy: Uint8Array): Result<string> {
    const pageShift = pageShiftOf(flags);
    if (!pageShift.ok) return pageShift;
    // A file without pages can be made of a pool that is empty.
    if (pageShift.value > 12 && this.frames.hugetlb === 'none') return fail('ENOENT');
    const made = this.make(name, pageShift.value);
    if (!made.ok) return made;
    const file = made.value;
    if ((flags & MFD_NOEXEC_SEAL) !== 0) file.seals = F_SEAL_EXEC;
    else if ((flags & MFD_ALLOW_SEALING) === 0) file.seals = F_SEAL_SEAL;
    const token = this.describe(client, file, true, entropy);
    if (!token.ok) this.discard(file);
    return token;
  }

  /** The empty memfd becomes what is lent under the name. EBADF; ENOENT: nothing is; else as `becomeForeign`. */
  lend(client: Address, token: string, name: string): Result<void> {
    const open = this.table.get(token, client);
    if (!open?.writable) return fail('EBADF');
    const bytes = this.lent.get(name);
    return bytes ? open.file.becomeForeign({ lent: name, bytes }, bytes.length) : fail('ENOENT');
  }

  /** The empty memfd becomes memory that the client answers for; answers its number. EBADF; else as `becomeForeign`. */
  remote(client: Address, token: string, bytes: number): Result<number> {
    const open = this.table.get(token, client);
    if (!open?.writable) return fail('EBADF');
    const done = open.file.becomeForeign({ client }, bytes);
    return done.ok ? ok(open.file.id) : done;
  }

  /** Another open description of the same file, as open of /proc/self/fd/N. EBADF, ETXTBSY, ENFILE, EMFILE. */
  reopen(client: Address, token: string, writable: boolean, entropy: Uint8Array): Result<string> {
    const open = this.table.get(token, client);
    if (!open) return fail('EBADF');
    if (writable && isProgram(open.file)) return fail('ETXTBSY');
    return this.describe(client, open.file, writable, entropy);
  }

  /**
   * The file of the program that every process runs. It lies in a tmpfs, as on the recorded hosts, so that its pages can be
   * mapped (c061, c062); what is in it is nobody's business here: a hole. ETXTBSY: for writing; ENFILE, EMFILE.
   */
  openProgram(client: Address, writable: boolean, entropy: Uint8Array): Result<string> {
    if (writable) return fail('ETXTBSY');
    const known = [...this.files.values()].find(isProgram);
    const made = known ? ok(known) : this.make(PROGRAM_NAME, 12);
    if (!made.ok) return made;
    if (!known) Object.assign(made.value, { size: PROGRAM_BYTES, seals: F_SEAL_SEAL });
    const token = this.describe(client, made.value, false, entropy);
    if (!token.ok && !known) this.discard(made.value);
    return token;
  }

  private describe(client: Address, file: MemoryFile, writable: boolean, entropy: Uint8Array): Result<string> {
    if (this.descriptions.size >= MAX_MEMORY_FILES) return fail('ENFILE');
    const open = { id: this.nextId, file, writable };
    const token = this.table.open(client, open, entropy);
    if (token === undefined) return fail('EMFILE');
    this.descriptions.set(this.nextId++, open);
    file.use();
    return ok(token);
  }

  of(client: Address, token: string): OpenMemory | undefined {
    return this.table.get(token, client);
  }

  /** A capability of another client for the same open description. EBADF, EMFILE. */
  grant(client: Address, token: string, to: Address, entropy: Uint8Array): Result<string> {
    const open = this.table.get(token, client);
    if (!open) return fail('EBADF');
    const granted = this.table.open(to, open, entropy);
    return granted === undefined ? fail('EMFILE') : ok(granted);
  }

  close(client: Address, token: string): Result<void> {
    const closed = this.table.close(token, client);
    if (!closed) return fail('EBADF');
    if (!closed.last) return ok(undefined);
    this.descriptions.delete(closed.file.id);
    closed.file.file.letGo();
    return ok(undefined);
  }

  closeAll(client: Address): void {
    for (const token of this.table.of(client)) this.close(client, token);
  }

  /** ftruncate(2). EBADF; EINVAL: opened for reading only; else as {@link MemoryFile.truncate}. */
  truncate(client: Address, token: string, length: number): Result<void> {
    const open = this.table.get(token, client);
    if (!open) return fail('EBADF');
    return open.writable ? open.file.truncate(length) : fail('EINVAL');
  }

  /** fallocate(2). EINVAL: empty; EOPNOTSUPP: another mode; EBADF: also when opened for reading only; else as the file. */
  allocate(client: Address, token: string, mode: number, offset: number, length: number): Result<void> {
    const open = this.table.get(token, client);
    if (!open) return fail('EBADF');
    if (length === 0) return fail('EINVAL');
    const punches = mode === (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    if (!punches && mode !== 0 && mode !== FALLOC_FL_KEEP_SIZE) return fail('EOPNOTSUPP');
    if (!open.writable) return fail('EBADF');
    return punches ? open.file.punch(offset, length) : open.file.allocate(offset, length, mode !== 0);
  }

  /** fcntl(F_ADD_SEALS). EBADF; EPERM: opened for reading only; else as {@link MemoryFile.addSeals}. */
  seal(client: Address, token: string, seals: number): Result<void> {
    const open = this.table.get(token, client);
    if (!open) return fail('EBADF');
    return open.writable ? open.file.addSeals(seals) : fail('EPERM');
  }

  /** EBADF. */
  read(client: Address, token: string, offset: number, length: number): Result<Uint8Array> {
    const open = this.table.get(token, client);
    return open ? ok(open.file.read(offset, length)) : fail('EBADF');
  }

  /** EBADF: also when opened for reading only; else as {@link MemoryFile.write}. */
  write(client: Address, token: string, offset: number, data: Uint8Array): Result<number> {
    const open = this.table.get(token, client);
    return open?.writable ? open.file.write(offset, data) : fail('EBADF');
  }

  /** Open descriptions, in the order in which they were made. */
  opens(): IterableIterator<OpenMemory> {
    return this.descriptions.values();
  }

  encode(w: ByteWriter, view: View): void {
    const rows = [...this.files.values()];
    const opens = new Map<MemoryFile, number>();
    for (const { file } of this.opens()) opens.set(file, (opens.get(file) ?? 0) + 1);
    if (view === 'meaning') rows.sort(byName);
    else w.num(this.nextId);
    w.list(rows, (file) => {
      if (view === 'snapshot') w.num(file.id);
      w.str(file.name.maker);
      w.num(file.name.serial);
      w.u8(file.pageShift);
      w.num(file.size);
      w.u8(file.seals);
      if (view === 'snapshot') {
        const { foreign } = file;
        w.str(foreign && 'lent' in foreign ? foreign.lent : '');
        w.str(foreign && 'client' in foreign ? foreign.client : '');
        return file.cache.encode(w);
      }
      w.u32(opens.get(file) ?? 0);
      file.cache.encodeContents(w);
    });
    if (view === 'snapshot') this.encodeOpen(w);
  }

  private encodeOpen(w: ByteWriter): void {
    w.list([...this.descriptions.values()], ({ id, file, writable }) => {
      w.num(id);
      w.num(file.id);
      w.bool(writable);
    });
    this.table.encode(w);
  }

  /** VMAs and stores say for themselves, later, that they use a file. */
  decode(r: ByteReader): void {
    this.nextId = r.num();
    r.list(() => {
      const file = this.put(r.num(), { maker: r.str(), serial: r.num() }, r.u8());
      file.size = r.num();
      file.seals = r.u8();
      const [lent, client] = [r.str(), r.str()];
      file.cache.decode(r);
      if (client !== '') file.foreign = { client };
      // What is not lent any more reads as zero.
      else if (lent !== '') file.foreign = { lent, bytes: this.lent.get(lent) };
      file.linkFrames();
    });
    r.list(() => {
      const open = { id: r.num(), file: this.files.get(r.num())!, writable: r.bool() };
      this.descriptions.set(open.id, open);
      open.file.use();
    });
    this.table.decode(r, (id) => this.descriptions.get(id)!);
  }
}

/** Ids come last, and only decide between files of a client that came back under its name. */
function byName(a: MemoryFile, b: MemoryFile): number {
  if (a.name.maker !== b.name.maker) return a.name.maker < b.name.maker ? -1 : 1;
  return a.name.serial - b.name.serial || a.id - b.id;
}

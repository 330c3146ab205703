/**
 * A program in the lab: system calls of one process.
 *
 * Words: an *fd* is a small number of this process; behind it is a capability that only this process can use.
 * Rule: a call answers as the kernel does, `errno` included; it throws only when the lab itself could not answer.
 */
import {
  type AnyStruct,
  decode,
  type Errno,
  errnoName,
  errnoNumber,
  fail,
  type IoctlDef,
  ok,
  type PlainIoctlDef,
  type Result,
  type StructOf,
  VFIO_DEVICE_GET_REGION_INFO,
} from '@vfiolab/uapi';
import {
  type Address,
  CallRefused,
  clientAddress,
  type FdArgument,
  GROUPS,
  groupsApi,
  type IoctlReply,
  LAB,
  labApi,
  MMAP_PROT_WRITE,
  PAGES,
  pagesApi,
  POLLHUP,
  POLLIN,
  POLLOUT,
  type Segment,
  serviceOf,
  STATUS,
  streamApi,
  sysApi,
} from '@vfiolab/core';
import { type Argument, bringArgument, capabilities, definitionOn, holding, readMemory } from './argument-memory.js';
import { type Arguments, build, type Built, MAX_FETCH, segmentsOf } from './arguments.js';
import { checkMapping, DeviceMappings, regionIndexOf } from './device-mappings.js';
import type { Link } from './link.js';

interface OpenFile {
  readonly token: string;
  readonly owner: Address;
  readonly kind: string;
  /** fd numbers and mappings that share it (dup, mmap). */
  users: number;
  /** Where the next read or write of a device's file begins; shared by all users. */
  position?: number;
}

/** What an ioctl answered: `out` is the struct after the call, also when it failed. */
export interface IoctlAnswer<S extends AnyStruct = AnyStruct> {
  readonly ret: number;
  readonly errno: Errno | undefined;
  readonly out: StructOf<S>;
  readonly tail: Uint8Array;
}

export interface IoctlOptions {
  /** Bytes behind the struct. */
  readonly tail?: Uint8Array;
  /** At least this much room behind the struct (capability chains). */
  readonly room?: number;
}

export interface Credentials {
  readonly uid: number;
  /** CAP_* of the pages protocol. */
  readonly caps: number;
  /** RLIMIT_MEMLOCK in bytes. */
  readonly memlock: number;
}

/** What Linux gives to init: 8 MiB of locked memory. */
export const ROOT: Credentials = { uid: 0, caps: 0xff, memlock: 8 * 1024 * 1024 };

const EMPTY = new Uint8Array(0);
/** Files without a poll operation: the VFS calls them readable and writable (traces a002, b010). */
const ALWAYS_READY: ReadonlySet<string> = new Set(['device', 'iommufd', 'container', 'group']);
/** Files without read and write operations (trace a002). */
const UNREADABLE: ReadonlySet<string> = new Set(['iommufd', 'container', 'group']);
/** How often a waiting poll looks again. */
const POLL_EVERY_MS = 5;

export class Process {
  private readonly fds = new Map<number, OpenFile>();
  private readonly devices = new DeviceMappings<OpenFile>();
  readonly address: Address;

  constructor(
    readonly name: string,
    readonly link: Link,
  ) {
    this.address = clientAddress(name);
  }

  start(credentials: Credentials = ROOT): Promise<Result<{ pid: number }>> {
    return this.link.call(PAGES, pagesApi.procStart, credentials);
  }

  /** Ends the process, as exit or SIGKILL do: every service closes what it held. */
  async exit(): Promise<void> {
    this.fds.clear();
    this.devices.clear();
    try {
      await this.link.call(LAB, labApi.endClient, { client: this.address });
    } catch (e) {
      // The answer was lost, and the repetition came from a client that has ended: that is what was asked for.
      if (!(e instanceof CallRefused && e.status === STATUS.gone)) throw e;
    }
  }

  // Files

  async open(path: string, flags = 2): Promise<Result<number>> {
    const found = await this.link.call(GROUPS, groupsApi.resolve, { path });
    if (!found.ok) return found;
    const { owner } = found.value;
    const opened = await this.link.call(owner, sysApi.open, { path, flags });
    return opened.ok ? ok(this.install({ ...opened.value, owner, users: 1 })) : opened;
  }

  /** Puts a file under the lowest free number. 0 to 2 are taken, as in every program. */
  private install(file: OpenFile): number {
    let fd = 3;
    while (this.fds.has(fd)) fd++;
    this.fds.set(fd, file);
    return fd;
  }

  async close(fd: number): Promise<Result<void>> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    this.fds.delete(fd);
    return this.release(file);
  }

  /** One user less; the last one closes the file. */
  private async release(file: OpenFile): Promise<Result<void>> {
    if (--file.users > 0) return ok(undefined);
    const { owner, token } = file;
    if (file.kind === 'eventfd') return this.link.call(PAGES, pagesApi.eventfdClose, { token });
    return this.link.call(owner, sysApi.close, { token });
  }

  /** The capability behind an fd, for those who send calls themselves. Throws when there is none. */
  fileOf(fd: number): { token: string; owner: Address } {
    const file = this.fds.get(fd);
    if (!file) throw new Error(`${this.name}: fd ${fd} is not open`);
    return file;
  }

  dup(fd: number): Result<number> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    file.users++;
    return ok(this.install(file));
  }

  /**
   * Hands the open file to another process, which gets a capability of its own under the lowest free fd, or under `as`.
   * EBADF; EINVAL: `as` is taken; EOPNOTSUPP: an eventfd, which belongs to one process.
   */
  async grant(fd: number, to: Process, as?: number): Promise<Result<number>> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    if (file.kind === 'eventfd') return fail('EOPNOTSUPP');
    if (as !== undefined && to.fds.has(as)) return fail('EINVAL');
    const granted = await this.link.call(file.owner, sysApi.grant, { token: file.token, to: to.address });
    if (!granted.ok) return granted;
    const opened = { ...granted.value, owner: file.owner, users: 1 };
    if (as === undefined) return ok(to.install(opened));
    to.fds.set(as, opened);
    return ok(as);
  }

  async pread(fd: number, offset: number, length: number): Promise<Result<Uint8Array>> {
    const file = this.fds.get(fd);
    return file ? this.link.call(file.owner, sysApi.pread, { token: file.token, offset, length }) : fail('EBADF');
  }

  async pwrite(fd: number, offset: number, data: Uint8Array): Promise<Result<number>> {
    const file = this.fds.get(fd);
    return file ? this.link.call(file.owner, sysApi.pwrite, { token: file.token, offset, data }) : fail('EBADF');
  }

  /** An ioctl with a struct. A field that points at memory may be given as a buffer, which the call may change. */
  async ioctl<S extends AnyStruct>(
    fd: number,
    def: IoctlDef<string, S>,
    fields: Arguments<S> = {},
    options: IoctlOptions = {},
  ): Promise<IoctlAnswer<S>> {
    const built = build(def, fields, options.tail ?? EMPTY, options.room ?? 0);
    const reply = await this.ioctlBytes(fd, def, built);
    const errno = reply.errno === 0 ? undefined : errnoName(reply.errno);
    const out = decode(def.struct, built.struct) as StructOf<S>;
    return {
      ret: reply.errno === 0 ? this.retOf(reply, fd) : -1,
      errno,
      out,
      tail: built.struct.subarray(def.struct.size),
    };
  }

  /** An ioctl without a struct. */
  async ioctlPlain(fd: number, def: PlainIoctlDef): Promise<{ ret: number; errno: Errno | undefined }> {
    const reply = await this.send(fd, def.nr, 0, [], [], def.returnsFd);
    return { ret: reply.errno === 0 ? this.retOf(reply, fd) : -1, errno: errnoName(reply.errno) };
  }

  /**
   * ioctl(2) as the system call is: a request number, and an argument that is a number or an address. `scratch` is
   * memory of the caller that lives for the call only and is changed in place; everything else is the process's own.
   * A request that the file's kind does not know goes out with nothing but the scratch.
   */
  async ioctlAt(
    fd: number,
    request: number,
    arg: number,
    scratch: readonly Segment[],
  ): Promise<{ ret: number; errno: Errno | undefined }> {
    const file = this.fds.get(fd);
    if (!file) return { ret: -1, errno: 'EBADF' };
    const def = definitionOn(file.kind, request);
    const argument: Argument = def
      ? await bringArgument(this.link, def, arg, [...scratch])
      : { segments: [...scratch], fdNumbers: [], returnsFile: false, fdAt: undefined };
    const fds = capabilities(argument.fdNumbers, (number) => this.fds.get(number));
    const reply = await this.send(fd, request, arg, argument.segments, fds, argument.returnsFile);
    await this.writeBack(reply, argument.segments);
    if (reply.errno !== 0) return { ret: -1, errno: errnoName(reply.errno) };
    const ret = this.retOf(reply, fd);
    if (!reply.file || argument.fdAt === undefined) return { ret, errno: undefined };
    await this.putFd(argument.segments, arg + argument.fdAt, ret);
    return { ret: 0, errno: undefined };
  }

  /** Puts the number of a new file where the argument has room for it. */
  private async putFd(segments: readonly Segment[], va: number, fd: number): Promise<void> {
    const data = new Uint8Array(4);
    new DataView(data.buffer).setInt32(0, fd, true);
    await this.writeBack({ errno: 0, ret: 0, writes: [{ va, bytes: data }], file: undefined }, segments);
  }

  /** What kind of file an fd is, as its service calls it; undefined when it is not open. */
  kindOf(fd: number): string | undefined {
    return this.fds.get(fd)?.kind;
  }

  /** Open fds, lowest first. */
  get openFds(): number[] {
    return [...this.fds.keys()].sort((a, b) => a - b);
  }

  /** A new file becomes an fd of ours; it lives where the file that made it lives. */
  private retOf(reply: IoctlReply, fd: number): number {
    if (!reply.file) return reply.ret;
    return this.install({ ...reply.file, owner: this.fds.get(fd)!.owner, users: 1 });
  }

  private async ioctlBytes<S extends AnyStruct>(
    fd: number,
    def: IoctlDef<string, S>,
    built: Built,
  ): Promise<IoctlReply> {
    const cmd = decode(def.struct, built.struct) as StructOf<S>;
    const context = { arg: BigInt(built.arg), tail: built.struct.subarray(def.struct.size) };
    const segments = segmentsOf(built);
    segments.push(...(await this.fetch(def, cmd, context, segments)));
    const fds = this.fdsIn(def, cmd, context, built.struct);
    const reply = await this.send(fd, def.nr, built.arg, segments, fds, def.returnsFd?.(cmd) ?? false);
    await this.writeBack(reply, segments);
    return reply;
  }

  /** Memory of the process that the struct points at, unless the call brought it along. */
  private async fetch<S extends AnyStruct>(
    def: IoctlDef<string, S>,
    cmd: StructOf<S>,
    context: { arg: bigint; tail: Uint8Array },
    have: readonly Segment[],
  ): Promise<Segment[]> {
    const fetched: Segment[] = [];
    for (const range of def.memory?.(cmd, context) ?? []) {
      const va = Number(range.va);
      if (range.access === 'pin' || range.length === 0n || holding(have, va)) continue;
      const length = Number(range.length < BigInt(MAX_FETCH) ? range.length : BigInt(MAX_FETCH));
      const bytes = await readMemory(this.link, va, length);
      if (bytes.ok) fetched.push({ va, writable: range.access !== 'in', bytes: bytes.value.slice() });
    }
    return fetched;
  }

  private fdsIn<S extends AnyStruct>(
    def: IoctlDef<string, S>,
    cmd: StructOf<S>,
    context: { arg: bigint; tail: Uint8Array },
    struct: Uint8Array,
  ): FdArgument[] {
    const found = new Map<number, FdArgument>();
    for (const slot of def.fds?.(cmd, context) ?? []) {
      if (slot.direction !== 'in') continue;
      for (let i = 0, at = slot.offset; i < slot.count && at + 4 <= struct.length; i++, at += 4) {
        const fd = struct[at]! | (struct[at + 1]! << 8) | (struct[at + 2]! << 16) | (struct[at + 3]! << 24);
        const file = this.fds.get(fd);
        if (file) found.set(fd, { fd, token: file.token, owner: serviceOf(file.owner) });
      }
    }
    return [...found.values()];
  }

  private async send(
    fd: number,
    cmd: number,
    arg: number,
    segments: readonly Segment[],
    fds: readonly FdArgument[],
    returnsFile: boolean,
  ): Promise<IoctlReply> {
    const file = this.fds.get(fd);
    if (!file) return { errno: errnoNumber('EBADF'), ret: 0, writes: [], file: undefined };
    const method = returnsFile ? sysApi.ioctlFile : sysApi.ioctl;
    return this.link.call(file.owner, method, { token: file.token, cmd, arg, segments: [...segments], fds: [...fds] });
  }

  /** What the call wrote goes to the buffers it was given, and to the process's memory for the rest. */
  private async writeBack(reply: IoctlReply, segments: readonly Segment[]): Promise<void> {
    for (const { va, bytes } of reply.writes) {
      const s = holding(segments, va);
      if (s) s.bytes.set(bytes, va - s.va);
      if (va < 0x7ffe_0000_0000) await this.link.call(PAGES, pagesApi.memWrite, { va, data: bytes });
    }
  }

  // Memory

  /** Anonymous memory of pages of 2^pageShift bytes; answers its address. */
  mmap(length: number, { prot = 3, pageShift = 12, va = 0 } = {}): Promise<Result<number>> {
    return this.link.call(PAGES, pagesApi.mmap, { va, length, prot, pageShift });
  }

  /** What is mapped of devices in the range goes too, and with it what held their files open. */
  async munmap(va: number, length: number): Promise<Result<void>> {
    const gone = this.devices.remove(va, length);
    for (const { file } of gone) await this.release(file);
    return gone.length > 0 ? ok(undefined) : this.link.call(PAGES, pagesApi.munmap, { va, length });
  }

  /** mmap of a device's file, shared; `offset` is that of a region (index * 2^40) or a page in it. EBADF, EINVAL, ENODEV. */
  async mapDevice(fd: number, offset: number, length: number, { prot = 3, va = 0 } = {}): Promise<Result<number>> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    if (file.kind !== 'device') return fail('ENODEV');
    const region = await this.ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, { index: regionIndexOf(offset) });
    if (region.errno !== undefined) return fail('EINVAL');
    const fits = checkMapping(region.out, offset, length);
    if (!fits.ok) return fits;
    const mapped = this.devices.add({ va, length, file, offset, prot });
    if (mapped.ok) file.users++;
    return mapped;
  }

  /**
   * Loads of exactly `width` bytes, one after another. EFAULT: nothing is mapped there (SIGSEGV); EIO: the device does not
   * answer there (SIGBUS).
   */
  async load(va: number, width: number, count = 1): Promise<Result<Uint8Array>> {
    const device = this.devices.holding(va, width * count);
    if (!device) return this.read(va, width * count);
    const { owner, token } = device.file;
    const all = new Uint8Array(width * count);
    for (let at = 0; at < all.length; at += width) {
      const offset = device.offset + (va - device.va) + at;
      const bytes = await this.link.call(owner, sysApi.pread, { token, offset, length: width });
      if (!bytes.ok) return bytes;
      all.set(bytes.value, at);
    }
    return ok(all);
  }

  /** Stores of exactly `width` bytes, one after another. EFAULT, EIO as `load`. */
  async store(va: number, width: number, data: Uint8Array): Promise<Result<void>> {
    const device = this.devices.holding(va, data.length);
    if (!device) return this.write(va, data);
    if ((device.prot & MMAP_PROT_WRITE) === 0) return fail('EFAULT');
    const { owner, token } = device.file;
    for (let at = 0; at < data.length; at += width) {
      const offset = device.offset + (va - device.va) + at;
      const written = await this.link.call(owner, sysApi.pwrite, { token, offset, data: data.slice(at, at + width) });
      if (!written.ok) return written;
    }
    return ok(undefined);
  }

  read(va: number, length: number): Promise<Result<Uint8Array>> {
    return readMemory(this.link, va, length);
  }

  write(va: number, data: Uint8Array): Promise<Result<void>> {
    return this.link.call(PAGES, pagesApi.memWrite, { va, data });
  }

  mprotect(va: number, length: number, prot: number): Promise<Result<void>> {
    return this.link.call(PAGES, pagesApi.mprotect, { va, length, prot });
  }

  /** setresuid(2) with one uid for all three: leaving root gives all capabilities up. */
  setUid(uid: number): Promise<Result<void>> {
    return this.link.call(PAGES, pagesApi.setuid, { uid });
  }

  setMemlock(bytes: number): Promise<Result<void>> {
    return this.link.call(PAGES, pagesApi.setrlimit, { memlock: bytes });
  }

  status(): Promise<Result<{ pid: number; vmLockedKb: number; vmPinnedKb: number; userLockedPages: number }>> {
    return this.link.call(PAGES, pagesApi.status, undefined);
  }

  // Events

  async eventfd(init = 0n): Promise<Result<number>> {
    const token = await this.link.call(PAGES, pagesApi.eventfd, { init });
    return token.ok ? ok(this.install({ token: token.value, owner: PAGES, kind: 'eventfd', users: 1 })) : token;
  }

  async eventRead(fd: number): Promise<Result<bigint>> {
    const file = this.fds.get(fd);
    return file ? this.link.call(PAGES, pagesApi.eventfdRead, { token: file.token }) : fail('EBADF');
  }

  async eventWrite(fd: number, value: bigint): Promise<Result<void>> {
    const file = this.fds.get(fd);
    return file ? this.link.call(PAGES, pagesApi.eventfdWrite, { token: file.token, value }) : fail('EBADF');
  }

  /** Waits until the eventfd is readable and reads it; EAGAIN after `ms`. */
  async eventWait(fd: number, ms: number): Promise<Result<bigint>> {
    const until = this.link.ports.now() + ms;
    for (;;) {
      const value = await this.eventRead(fd);
      const left = until - this.link.ports.now();
      if (value.ok || value.errno !== 'EAGAIN' || left <= 0) return value;
      await this.link.mayBeReadable(this.fds.get(fd)!.token, Math.min(left, 50));
    }
  }

  // Files that are read and written from front to back

  /** read(2), which never waits here: EAGAIN when there is nothing to read. EBADF; EINVAL: such files cannot be read. */
  async readFile(fd: number, length: number): Promise<Result<Uint8Array>> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    if (file.kind !== 'device')
      return UNREADABLE.has(file.kind)
        ? fail('EINVAL')
        : this.link.call(file.owner, streamApi.read, { token: file.token, length });
    const bytes = await this.pread(fd, file.position ?? 0, length);
    if (bytes.ok) file.position = (file.position ?? 0) + bytes.value.length;
    return bytes;
  }

  /** write(2); errnos as `readFile`. */
  async writeFile(fd: number, data: Uint8Array): Promise<Result<number>> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    if (file.kind !== 'device')
      return UNREADABLE.has(file.kind)
        ? fail('EINVAL')
        : this.link.call(file.owner, streamApi.write, { token: file.token, data });
    const written = await this.pwrite(fd, file.position ?? 0, data);
    if (written.ok) file.position = (file.position ?? 0) + written.value;
    return written;
  }

  /** Waits at most `ms` for one of the wanted events (POLL*), and answers those that are there; 0: none in time. */
  async pollWait(fd: number, wanted: number, ms: number): Promise<Result<number>> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    if (ALWAYS_READY.has(file.kind)) return ok(wanted & (POLLIN | POLLOUT));
    const { ports } = this.link;
    for (const until = ports.now() + ms; ; await ports.sleep(Math.min(POLL_EVERY_MS, until - ports.now()))) {
      const events = await this.link.call(file.owner, streamApi.poll, { token: file.token });
      if (!events.ok) return events;
      const met = events.value & (wanted | POLLHUP);
      if (met !== 0 || ports.now() >= until) return ok(met);
    }
  }

  // sysfs

  sysfsWrite(path: string, data: string): Promise<Result<number>> {
    return this.link.call(GROUPS, groupsApi.sysfsWrite, { path, data });
  }

  sysfsRead(path: string): Promise<Result<string>> {
    return this.link.call(GROUPS, groupsApi.sysfsRead, { path });
  }

  readlink(path: string): Promise<Result<string>> {
    return this.link.call(GROUPS, groupsApi.readlink, { path });
  }

  listdir(path: string): Promise<Result<string[]>> {
    return this.link.call(GROUPS, groupsApi.listdir, { path });
  }
}

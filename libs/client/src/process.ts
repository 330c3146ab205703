/**
 * A program in the lab: system calls of one process.
 *
 * Words: an *fd* is a small number of this process; behind it is a capability that only this process can use.
 * Rule: a call answers as the kernel does, `errno` included; it throws only when the lab itself could not answer.
 */
import {
  type Address,
  CallRefused,
  clientAddress,
  deviceApi,
  type FileStatus,
  GROUPS,
  groupsApi,
  iommufdApi,
  LAB,
  labApi,
  PAGES,
  pagesApi,
  POLLHUP,
  POLLIN,
  POLLOUT,
  PROGRAM_PATH,
  type Segment,
  type SysfsEntry,
  STATUS,
  streamApi,
  sysApi,
} from '@vfiolab/core';
import { type AnyStruct, fail, type IoctlDef, ok, type PlainArg, type PlainIoctlDef, type Result } from '@vfiolab/uapi';
import { readMemory } from './argument-memory.js';
import type { Arguments, PlainInput } from './arguments.js';
import { Descriptors, type OpenFile } from './descriptors.js';
import { DeviceMappings, loadFrom, storeTo } from './device-mappings.js';
import { grantFile, inheritFiles } from './fork.js';
import { type IoctlAnswer, IoctlCalls, type IoctlOptions, type IoctlOutcome } from './ioctl-calls.js';
import type { Link } from './link.js';
import { Memfds } from './memfds.js';

export interface Credentials {
  readonly uid: number;
  /** CAP_* of the pages protocol. */
  readonly caps: number;
  /** RLIMIT_MEMLOCK in bytes. */
  readonly memlock: number;
}

/** What Linux gives to init: 8 MiB of locked memory. */
export const ROOT: Credentials = { uid: 0, caps: 0xff, memlock: 8 * 1024 * 1024 };

/** Files without a poll operation: the VFS calls them readable and writable (traces a002, b010). */
const ALWAYS_READY: ReadonlySet<string> = new Set([
  'device',
  'iommufd',
  'container',
  'group',
  'memfd',
  'null',
  'zero',
  'udmabuf',
  'kvm',
  'kvm-vm',
  'kvm-device',
  'kvm-tce',
]);
/** Files that are read and written at a position. */
const POSITIONED: ReadonlySet<string> = new Set(['device', 'memfd', 'null', 'zero']);
/** Files without read and write operations (trace a002). */
const UNREADABLE: ReadonlySet<string> = new Set([
  ...['iommufd', 'container', 'group', 'udmabuf', 'dmabuf', 'kvm', 'kvm-vm', 'kvm-device', 'kvm-tce'],
]);
/** Bytes of an eventfd's counter. */
const COUNTER = 8;
/** How often a waiting poll looks again. */
const POLL_EVERY_MS = 5;

export class Process {
  readonly fds = new Descriptors();
  readonly devices = new DeviceMappings();
  private readonly ioctls: IoctlCalls;
  readonly memfds: Memfds;
  readonly address: Address;

  constructor(
    readonly name: string,
    readonly link: Link,
  ) {
    this.address = clientAddress(name);
    this.ioctls = new IoctlCalls(link, this.fds);
    this.memfds = new Memfds(link, this.fds);
  }

  /** The host is a POWER machine: `ioctlAt` takes the numbers that its programs send. Known once it has started. */
  get powerpc(): boolean {
    return this.ioctls.powerpc;
  }

  async start(credentials: Credentials = ROOT): Promise<Result<{ pid: number }>> {
    const started = await this.link.call(PAGES, pagesApi.procStart, credentials);
    if (started.ok) this.ioctls.powerpc = started.value.powerpc ?? false;
    return started;
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

  /**
   * fork(2): `child` is a process that was just started; it gets copies of what this one has: memory, user, limits, open
   * files under the same numbers, device mappings. Memory that is shared stays shared. EEXIST: the child has memory of its
   * own; ENOMEM, EMFILE, EAGAIN.
   */
  async fork(child: Process): Promise<Result<void>> {
    const copied = await this.link.call(PAGES, pagesApi.fork, { child: child.address });
    return copied.ok ? inheritFiles(this.link, this, child, child.address) : copied;
  }

  /** execve(2): all memory goes, and what is mapped of devices; open files stay. */
  async exec(): Promise<Result<void>> {
    for (const { file } of this.devices.list()) await this.release(file);
    this.devices.clear();
    return this.link.call(PAGES, pagesApi.exec, undefined);
  }

  // Files

  /** `flags`: O_*. A path below /proc/self/fd opens the memfd of that number once more. */
  async open(path: string, flags = 2): Promise<Result<number>> {
    const own = /^\/proc\/self\/fd\/(\d+)$/.exec(path);
    if (own) return this.memfds.reopen(Number(own[1]), (flags & 3) !== 0);
    const found =
      path === PROGRAM_PATH ? ok({ owner: PAGES }) : await this.link.call(GROUPS, groupsApi.resolve, { path, flags });
    if (!found.ok) return found;
    const { owner } = found.value;
    const opened = await this.link.call(owner, sysApi.open, { path, flags });
    return opened.ok ? ok(this.fds.install({ ...opened.value, owner, users: 1 })) : opened;
  }

  async close(fd: number): Promise<Result<void>> {
    const file = this.fds.drop(fd);
    return file ? this.release(file) : fail('EBADF');
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
    return ok(this.fds.install(file));
  }

  /**
   * Hands the open file to another process, which gets a capability of its own under the lowest free fd, or under `as`.
   * EBADF; EINVAL: `as` is taken; ESRCH: the other one is no process.
   */
  async grant(fd: number, to: Process, as?: number): Promise<Result<number>> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    if (as !== undefined && to.fds.get(as)) return fail('EINVAL');
    const granted = await grantFile(this.link, file, to.address);
    if (!granted.ok) return granted;
    const opened = { ...granted.value, owner: file.owner, users: 1 };
    if (as === undefined) return ok(to.fds.install(opened));
    to.fds.put(as, opened);
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

  /** What kind of file an fd is, as its service calls it; undefined when it is not open. */
  kindOf(fd: number): string | undefined {
    return this.fds.get(fd)?.kind;
  }

  /** Open fds, lowest first. */
  get openFds(): number[] {
    return this.fds.numbers();
  }

  // ioctls

  /** An ioctl with a struct. A field that points at memory may be given as a buffer, which the call may change. */
  ioctl<S extends AnyStruct>(
    fd: number,
    def: IoctlDef<string, S>,
    fields: Arguments<S> = {},
    options: IoctlOptions = {},
  ): Promise<IoctlAnswer<S>> {
    return this.ioctls.typed(fd, def, fields, options);
  }

  /** An ioctl without a struct: nothing, a number or a text, which is pointed at where the ioctl wants a pointer. */
  ioctlPlain<A extends PlainArg>(
    fd: number,
    def: PlainIoctlDef<string, A>,
    ...arg: PlainInput<A>
  ): Promise<IoctlOutcome> {
    return this.ioctls.plain(fd, def, ...arg);
  }

  /** ioctl(2) as it is: a request number, and an argument that is a number or an address. `scratch`: see IoctlCalls. */
  ioctlAt(fd: number, request: number, arg: number, scratch: readonly Segment[]): Promise<IoctlOutcome> {
    return this.ioctls.raw(fd, request, arg, scratch);
  }

  // Memory

  /** Anonymous memory of pages of 2^pageShift bytes; answers its address. */
  mmap(length: number, { prot = 3, pageShift = 12, va = 0 } = {}): Promise<Result<number>> {
    return this.link.call(PAGES, pagesApi.mmap, { va, length, prot, pageShift });
  }

  /** The same, MAP_SHARED: a child has the same memory. */
  mmapShared(length: number, { prot = 3, pageShift = 12, va = 0 } = {}): Promise<Result<number>> {
    return this.link.call(PAGES, pagesApi.mmapShared, { va, length, prot, pageShift });
  }

  /**
   * mmap of a file, MAP_SHARED unless `shared` is false, which only /dev/iommu and /dev/zero heed. EINVAL: the offset is not on a page;
   * EBADF; ENODEV: it cannot be mapped; see `mapDevice`, `mapWindow`.
   */
  async mapFile(
    fd: number,
    offset: number,
    length: number,
    { prot = 3, va = 0, shared = true } = {},
  ): Promise<Result<number>> {
    if (offset < 0 || offset % 4096 !== 0) return fail('EINVAL');
    const file = this.fds.get(fd);
    if (file?.kind === 'zero') return shared ? this.mmapShared(length, { prot, va }) : this.mmap(length, { prot, va });
    if (file?.kind === 'iommufd') return this.mapWindow(file, offset, length, { prot, va, shared });
    if (file?.kind !== 'memfd') return this.mapDevice(fd, offset, length, { prot, va });
    return this.link.call(PAGES, pagesApi.mmapFile, { token: file.token, offset, va, length, prot });
  }

  /** What is mapped of devices in the range goes too, and with it what held their files open. */
  async munmap(va: number, length: number): Promise<Result<void>> {
    const gone = this.devices.remove(va, length);
    if (!gone.ok) return gone;
    const unmapped = await this.link.call(PAGES, pagesApi.munmap, { va, length });
    for (const { file } of gone.value) await this.release(file);
    return gone.value.length > 0 ? ok(undefined) : unmapped;
  }

  /** mmap of a vIOMMU's window. EINVAL: empty; else as iommufdApi.mmap. */
  private async mapWindow(
    { owner, token }: OpenFile,
    offset: number,
    length: number,
    { prot, va, shared }: { prot: number; va: number; shared: boolean },
  ): Promise<Result<number>> {
    if (length <= 0) return fail('EINVAL');
    const made = await this.link.call(owner, iommufdApi.mmap, { token, offset, length, prot, shared });
    if (!made.ok) return made;
    const file = { ...made.value, owner, users: 1 };
    const mapped = this.devices.add({ va, length, file, offset: 0, prot });
    if (!mapped.ok) await this.release(file);
    return mapped;
  }

  /** mmap of a device's file, shared; `offset` is that of a region (index * 2^40) or a page in it. EBADF, EINVAL, ENODEV. */
  async mapDevice(fd: number, offset: number, length: number, { prot = 3, va = 0 } = {}): Promise<Result<number>> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    if (file.kind !== 'device') return fail('ENODEV');
    if (this.devices.full) return fail('ENOMEM');
    const { token } = file;
    const placed = await this.link.call(file.owner, deviceApi.mapRegion, { token, offset, va, length, prot });
    if (!placed.ok) return placed;
    const mapped = this.devices.add({ va: placed.value, length, file, offset, prot });
    if (mapped.ok) file.users++;
    else await this.link.call(PAGES, pagesApi.munmap, { va: placed.value, length });
    return mapped;
  }

  /**
   * Loads of exactly `width` bytes, one after another. EFAULT: nothing is mapped there (SIGSEGV); EIO: the device does not
   * answer there, or the file ends before (SIGBUS).
   */
  async load(va: number, width: number, count = 1): Promise<Result<Uint8Array>> {
    const device = this.devices.holding(va, width * count);
    return device ? loadFrom(this.link, device, va, width, count) : this.read(va, width * count);
  }

  /** Stores of exactly `width` bytes, one after another. EFAULT, EIO as `load`. */
  async store(va: number, width: number, data: Uint8Array): Promise<Result<void>> {
    const device = this.devices.holding(va, data.length);
    return device ? storeTo(this.link, device, va, width, data) : this.write(va, data);
  }

  read(va: number, length: number): Promise<Result<Uint8Array>> {
    return readMemory(this.link, va, length);
  }

  write(va: number, data: Uint8Array): Promise<Result<void>> {
    return this.link.call(PAGES, pagesApi.memWrite, { va, data });
  }

  async mprotect(va: number, length: number, prot: number): Promise<Result<void>> {
    const here = this.devices.protect(va, length, prot);
    if (here && !here.ok) return here;
    const there = await this.link.call(PAGES, pagesApi.mprotect, { va, length, prot });
    return here ?? there;
  }

  mlock(va: number, length: number): Promise<Result<void>> {
    return this.link.call(PAGES, pagesApi.mlock, { va, length });
  }

  munlock(va: number, length: number): Promise<Result<void>> {
    return this.link.call(PAGES, pagesApi.munlock, { va, length });
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
    return token.ok ? ok(this.fds.install({ token: token.value, owner: PAGES, kind: 'eventfd', users: 1 })) : token;
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

  /** lseek(2) with SEEK_SET. EBADF; ESPIPE: the file has no position; EINVAL: before the start. */
  seek(fd: number, offset: number): Result<number> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    if (file.kind === 'null' || file.kind === 'zero') return ok(0);
    if (file.kind !== 'memfd') return fail('ESPIPE');
    if (offset < 0) return fail('EINVAL');
    file.position = offset;
    return ok(offset);
  }

  /** read(2), which never waits here: EAGAIN when there is nothing to read. EBADF; EINVAL: such files cannot be read. */
  async readFile(fd: number, length: number): Promise<Result<Uint8Array>> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    if (file.kind === 'eventfd') return this.readCounter(fd, length);
    if (!POSITIONED.has(file.kind))
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
    if (file.kind === 'eventfd') return this.writeCounter(fd, data);
    if (!POSITIONED.has(file.kind))
      return UNREADABLE.has(file.kind)
        ? fail('EINVAL')
        : this.link.call(file.owner, streamApi.write, { token: file.token, data });
    const written = await this.pwrite(fd, file.position ?? 0, data);
    if (written.ok) file.position = (file.position ?? 0) + written.value;
    return written;
  }

  /** The counter of an eventfd is eight bytes; there may be room for more. EINVAL: for fewer. */
  private async readCounter(fd: number, length: number): Promise<Result<Uint8Array>> {
    if (length < COUNTER) return fail('EINVAL');
    const value = await this.eventRead(fd);
    return value.ok ? ok(new Uint8Array(BigUint64Array.of(value.value).buffer)) : value;
  }

  private async writeCounter(fd: number, data: Uint8Array): Promise<Result<number>> {
    if (data.length < COUNTER) return fail('EINVAL');
    const written = await this.eventWrite(fd, new DataView(data.buffer, data.byteOffset).getBigUint64(0, true));
    return written.ok ? ok(COUNTER) : written;
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

  /** A directory with all that is in it, in one call. */
  sysfsScan(path: string): Promise<Result<SysfsEntry[]>> {
    return this.link.call(GROUPS, groupsApi.sysfsScan, { path });
  }

  sysfsRead(path: string): Promise<Result<string>> {
    return this.link.call(GROUPS, groupsApi.sysfsRead, { path });
  }

  readlink(path: string): Promise<Result<string>> {
    return this.link.call(GROUPS, groupsApi.readlink, { path });
  }

  /** stat(2) of a path below /dev or /sys. ENOENT, ENOTDIR. */
  stat(path: string): Promise<Result<FileStatus>> {
    return this.link.call(GROUPS, groupsApi.stat, { path });
  }

  /** chmod(2) of a device node. ENOENT, ENOTDIR, EPERM, EOPNOTSUPP. */
  chmod(path: string, mode: number): Promise<Result<void>> {
    return this.link.call(GROUPS, groupsApi.chmod, { path, mode });
  }

  listdir(path: string): Promise<Result<string[]>> {
    return this.link.call(GROUPS, groupsApi.listdir, { path });
  }
}

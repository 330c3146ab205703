/**
 * The core of the pages service: processes and their memory, files in memory, page frames, stores, accounting, eventfds.
 *
 * Words: see each part's file. A *client method* is answered for the process of the client that sends it; a *service
 * method* belongs to iommufd, iommu, the devices and the lab: the machine keeps clients from it.
 * Rule: nothing here waits for anybody: every method is one step, so nothing can come between its checks and its effect.
 */
import {
  type Address,
  type ArgsOf,
  type ByteReader,
  type ByteWriter,
  type Core,
  DEVICE_FRAMES,
  deviceAddress,
  hugetlb,
  implement,
  isClient,
  LAB,
  type LentMemory,
  MAX_DMA,
  MAX_RUNS,
  type MethodRow,
  type MethodTable,
  methodTable,
  optional,
  type PinCount,
  type ReplyOf,
  type Request,
  RLIMIT_LOCKED,
  RLIMIT_MM,
  RLIMIT_UNCHARGED,
  RLIMIT_USER,
  type Surroundings,
  sysApi,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { Accounting } from './accounting.js';
import { audit } from './audit.js';
import { describePages, pagesFigures } from './describe.js';
import type { DeviceWindow } from './device-windows.js';
import { DmaBytes } from './dma-bytes.js';
import { Eventfds } from './eventfds.js';
import { PAGE } from './frame-bytes.js';
import { eventfdReady, fileMethods, otherMethods } from './file-methods.js';
import { Frames } from './frames.js';
import { forkMemory, mapMemory, mapShared, mlock, munlock } from './memory-calls.js';
import { MemoryFiles } from './memory-files.js';
import { readPhysical, writePhysical } from './physical.js';
import { type Process, Processes } from './processes.js';
import { RemoteMemory } from './remote-memory.js';
import { SpecialFiles } from './special-files.js';
import { readStore, type StoreBytes, writeStore } from './store-bytes.js';
import { Stores } from './stores.js';
import { END_PAGE } from './vma-set.js';

const served = otherMethods;
/** Accounting modes of stores over a process's memory. */
const STORE_MODES: readonly number[] = [RLIMIT_USER, RLIMIT_MM, RLIMIT_LOCKED, RLIMIT_UNCHARGED];

const optionalHugetlb = optional(hugetlb);

export class PagesCore implements Core {
  readonly service = 'pages';
  readonly frames = new Frames();
  readonly files: MemoryFiles;
  readonly accounting = new Accounting();
  readonly special = new SpecialFiles(this.frames);
  readonly processes = new Processes(this.frames);
  readonly stores = new Stores(this.frames, this.processes, this.accounting);
  readonly eventfds = new Eventfds((client, token) => this.surroundings?.emit(client, eventfdReady, { token }));
  readonly remote: RemoteMemory;
  private readonly dma: DmaBytes;
  readonly methods: MethodTable;
  /** Programs of this host send the ioctl numbers of powerpc. */
  private powerpc = false;
  private surroundings: Surroundings | undefined;

  /** `lent`: what the host's process lends to its programs. */
  constructor(lent: LentMemory = new Map()) {
    this.files = new MemoryFiles(this.frames, lent);
    this.remote = new RemoteMemory(this.files, (client, method) => this.surroundings?.emit(client, method, undefined));
    this.dma = new DmaBytes(this.frames, this.remote);
    this.methods = methodTable(this.rows(), ...fileMethods(this), this.farewell());
  }

  private rows(): MethodRow[] {
    return implement(served, {
      setup: (_req, args) => this.setup(args),
      procStart: (req, args) => this.procStart(req, args),
      mmap: this.asProcess((process, args) => process.space.mmap(args)),
      mmapShared: this.asProcess((process, args) => mapShared(process, this.files, args)),
      mmapFile: this.asProcess((process, args) => this.mmapFile(process, args)),
      munmap: this.asProcess((process, { va, length }) => process.space.munmap(va, length)),
      mprotect: this.asProcess((process, { va, length, prot }) => process.space.mprotect(va, length, prot)),
      mlock: this.asProcess((process, { va, length }) => mlock(process, va, length)),
      munlock: this.asProcess((process, { va, length }) => munlock(process, va, length)),
      fork: this.asProcess((process, { child }) => this.fork(process, child)),
      exec: this.asProcess((process) => ok(this.processes.exec(process))),
      memRead: this.asProcess(({ space }, { va, length }) =>
        length > MAX_DMA ? fail('EINVAL') : space.read(va, length),
      ),
      memWrite: this.asProcess(({ space }, { va, data }) =>
        data.length > MAX_DMA ? fail('EINVAL') : space.write(va, data),
      ),
      setrlimit: this.asProcess((process, { memlock }) => process.setMemlock(memlock)),
      setuid: this.asProcess((process, { uid }) => process.setUid(uid)),
      status: this.asProcess((process) => ok(this.status(process))),
      userOf: (_req, { client }) => this.processes.of(client)?.uid,
      capabilities: (_req, { client }) => this.processes.of(client)?.caps ?? 0,
      storeCreate: (_req, args) => this.storeCreate(args),
      storeCreateFile: (_req, args) => this.storeCreateFile(args),
      mmapDevice: (req, args) => this.mmapDevice(req, args),
      deviceFrames: ({ from }, args) => this.deviceFrames(from, args),
      deviceMemory: ({ from }, { bdf, on }) =>
        from === deviceAddress(bdf) ? this.frames.windows.switch(bdf, on) : undefined,
      deviceWindow: (_req, { frame }) => this.deviceWindow(frame),
      storeMove: (_req, { store, client, va }) => this.storeMove(store, client, va),
      dmabufBytes: (_req, { client, token }) => this.special.of(client, token)?.dmabuf?.bytes,
      changeProcess: (_req, { client, stores }) => this.changeProcess(client, stores),
      chargeLocked: (_req, { client, frames }) => this.chargeLocked(client, frames),
      unchargeLocked: (_req, { mm, frames }) => this.unchargeLocked(mm, frames),
      pinnable: (_req, { client, va, length }) => this.pinnable(client, va, length),
      pin: (_req, { store, first, count }) => this.stores.pin(store, first, count),
      unpin: (_req, { store, ranges, release }) => this.stores.unpin(store, ranges, release),
      unpinMany: (_req, { stores }) => stores.forEach((s) => this.stores.unpin(s.store, s.ranges, s.release)),
      physicalRead: (_req, { address, length }) => readPhysical(this.frames, address, length),
      physicalWrite: (_req, { address, data }) => writePhysical(this.frames, address, data),
      dmaRead: (_req, { pieces }) => this.dma.read(pieces),
      dmaWrite: (_req, { pieces, data }) => this.dma.write(pieces, data),
      pageFrames: (_req, args) => this.touch(args).map(({ frame, count }) => ({ frame, count })),
      pagePins: (_req, args) => this.pagePins(args),
      storeRead: (_req, args) =>
        readStore(this.stores.existing(args.store), this.frames, this.where(args, args.length)),
      storeWrite: (_req, args) =>
        writeStore(this.stores.existing(args.store), this.frames, this.where(args, args.data.length), args.data),
    });
  }

  private farewell(): MethodRow[] {
    return implement(
      { clientGone: sysApi.clientGone },
      { clientGone: ({ from }, { client }) => (from === LAB ? this.clientGone(client) : undefined) },
    );
  }

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  /** A handler for the process of the calling client. ESRCH: it is none. */
  private asProcess<A, R>(handle: (process: Process, args: A) => Result<R>): (req: Request, args: A) => Result<R> {
    return ({ from }, args) => {
      const process = this.processes.of(from);
      return process ? handle(process, args) : fail('ESRCH');
    };
  }

  private setup({ frames, pageShift, hugetlb, powerpc }: ArgsOf<typeof served.setup>): void {
    this.frames.setup(frames, 2 ** (pageShift - 12), hugetlb);
    this.powerpc = powerpc ?? false;
  }

  private procStart(
    { from }: Request,
    { uid, caps, memlock }: ArgsOf<typeof served.procStart>,
  ): Result<{ pid: number; powerpc: boolean | undefined }> {
    if (!isClient(from)) return fail('EPERM');
    const started = this.processes.start(from, uid, caps, memlock);
    return started.ok ? ok({ pid: started.value.pid, powerpc: this.powerpc || undefined }) : started;
  }

  /** Lines of /proc/PID/status, and the user's counter that only the kernel sees. */
  private status({ pid, uid, vmLocked, pinned }: Process) {
    const kb = PAGE / 1024;
    return {
      pid,
      vmLockedKb: vmLocked * kb,
      vmPinnedKb: pinned * kb,
      userLockedPages: this.accounting.userLocked(uid),
    };
  }

  private mmapFile(process: Process, args: ArgsOf<typeof served.mmapFile>): Result<number> {
    if (this.eventfds.has(process.client, args.token) || this.special.of(process.client, args.token))
      return fail('ENODEV');
    const open = this.files.of(process.client, args.token);
    return open ? mapMemory(process, open, args) : fail('EBADF');
  }

  /** EPERM: from another actor than the device's; ESRCH: the client is no process; ENOMEM; else as AddressSpace.mmap. */
  private mmapDevice({ from }: Request, args: ArgsOf<typeof served.mmapDevice>): Result<number> {
    const process = this.processes.of(args.client);
    if (from === deviceAddress(args.bdf) && !process) return fail('ESRCH');
    const window = this.deviceFrames(from, args);
    return window.ok ? process!.space.mapDevice({ ...args, window: window.value }) : window;
  }

  private deviceFrames(
    from: Address,
    { bdf, region, pages }: ArgsOf<typeof served.deviceFrames>,
  ): Result<DeviceWindow> {
    if (from !== deviceAddress(bdf)) return fail('EPERM');
    if (this.frames.total > DEVICE_FRAMES) return fail('ENOMEM');
    return this.frames.windows.of(bdf, region, pages);
  }

  private deviceWindow(frame: number): ReplyOf<typeof served.deviceWindow> {
    const window = this.frames.windows.at(frame);
    return window && { bdf: window.bdf, region: window.region, page: frame - window.frame };
  }

  private fork(parent: Process, client: Address): Result<void> {
    const child = this.processes.of(client);
    return child ? forkMemory(parent, child) : fail('ESRCH');
  }

  /** ESRCH: the client is not a process, or not any more. EINVAL: unknown accounting mode. Else as {@link Stores.create}. */
  private storeCreate(request: ArgsOf<typeof served.storeCreate>): ReplyOf<typeof served.storeCreate> {
    if (!STORE_MODES.includes(request.rlimitMode)) return fail('EINVAL');
    const process = this.processes.of(request.client);
    return process ? this.stores.create(process, request) : fail('ESRCH');
  }

  private storeCreateFile(request: ArgsOf<typeof served.storeCreateFile>): ReplyOf<typeof served.storeCreateFile> {
    const { client, token, start, rlimitMode } = request;
    if (rlimitMode !== RLIMIT_USER && rlimitMode !== RLIMIT_MM) return fail('EINVAL');
    const process = this.processes.of(client);
    if (!process) return fail('ESRCH');
    const memory = token === undefined ? undefined : this.files.of(client, token)?.file;
    const known = token === undefined || memory || this.eventfds.has(client, token) || this.special.of(client, token);
    if (!known) return fail('EBADF');
    return this.stores.create(process, { ...request, va: start }, { memory });
  }

  private chargeLocked(client: Address, frames: number): Result<{ mm: number }> {
    const process = this.processes.of(client);
    if (!process) return fail('ESRCH');
    const charged = process.chargeLocked(frames);
    return charged.ok ? ok({ mm: process.mm }) : charged;
  }

  private unchargeLocked(mm: number, frames: number): void {
    const process = this.processes.byMm(mm);
    if (process) process.charged -= frames;
  }

  private pinnable(client: Address, va: bigint, length: bigint): bigint {
    const space = this.processes.of(client)?.space;
    const first = Number(va / BigInt(PAGE));
    if (!space || first > END_PAGE) return 0n;
    const end = Math.min(END_PAGE, first + Number(length / BigInt(PAGE)));
    return BigInt(space.pinnableEnd(first, end) - first) * BigInt(PAGE);
  }

  private storeMove(store: number, client: Address, va: bigint): Result<void> {
    const process = this.processes.of(client);
    return process ? this.stores.move(process, store, va) : fail('ESRCH');
  }

  private changeProcess(client: Address, stores: readonly number[]): Result<void> {
    const process = this.processes.of(client);
    return process ? this.stores.changeProcess(process, stores) : fail('ESRCH');
  }

  /** Pages of a process as a reading CPU finds them. */
  private touch({ client, page, count }: ArgsOf<typeof served.pageFrames>): ReturnType<Process['space']['touch']> {
    return this.processes.of(client)?.space.touch(page, page + Math.min(count, MAX_RUNS)) ?? [];
  }

  private pagePins(args: ArgsOf<typeof served.pagePins>): PinCount[] {
    return this.touch(args).flatMap(({ frame, count, huge }) =>
      this.frames.pins
        .pieces(frame, frame + count)
        .map(({ first, end, count: pins }) => ({ pins, count: end - first, huge })),
    );
  }

  /** Where bytes of a store are, and which way leads to them: see {@link readStore}. */
  private where(
    { store, at, client, slow }: { store: number; at: bigint; client: string; slow: boolean },
    length: number,
  ): StoreBytes {
    const owner = this.stores.existing(store).payer.process;
    const { file } = this.stores.existing(store);
    return { at: Number(at), length, fast: !slow && !file && owner === this.processes.of(client) };
  }

  private clientGone(client: Address): void {
    this.remote.clientGone(client);
    this.eventfds.closeAll(client);
    this.special.closeAll(client);
    this.files.closeAll(client);
    this.processes.end(client);
    this.surroundings?.forget(client);
  }

  encode(w: ByteWriter, view: View): void {
    w.num(this.frames.total);
    w.u32(this.frames.block);
    optionalHugetlb.write(w, this.frames.hugetlb);
    w.bool(this.powerpc);
    if (view === 'snapshot') this.frames.windows.encode(w);
    this.files.encode(w, view);
    this.special.encode(w, view);
    this.processes.encode(w, view);
    this.stores.encode(w, view);
    this.eventfds.encode(w, view);
    if (view === 'snapshot') return this.frames.bytes.encode(w);
    w.list(this.accounting.charged(), ({ uid, pages }) => {
      w.u32(uid);
      w.num(pages);
    });
  }

  /** Page tables and stores say who uses which frame and who pays for what: the rest follows from them. */
  decode(r: ByteReader): void {
    const total = r.num();
    this.frames.block = r.u32();
    this.frames.hugetlb = optionalHugetlb.read(r);
    this.powerpc = r.bool();
    const fileOf = (id: number) => this.files.byId(id)!;
    this.frames.windows.decode(r);
    this.files.decode(r);
    this.special.decode(r, fileOf);
    this.processes.decode(r, fileOf);
    this.stores.decode(r, fileOf);
    this.eventfds.decode(r);
    this.frames.bytes.decode(r);
    const tables = [...this.processes.all()].flatMap((process) => [...process.space.tableRuns()]);
    const lent = [...this.special.dmabufs()].flatMap(({ pieces }) => pieces.flatMap((piece) => piece.frames));
    const held = [...this.stores.all()].flatMap((store) => [...store.pinnedFrames()]);
    const cached = [...this.files.all()].flatMap((file) => [...file.cache.all()]);
    this.frames.adopt(total, [...tables, ...cached], [...held, ...lent]);
  }

  check(): string[] {
    return audit(this);
  }

  figures(): Record<string, number> {
    return pagesFigures(this);
  }

  describe(): string[] {
    return describePages(this);
  }
}

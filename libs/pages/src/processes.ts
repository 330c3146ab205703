/**
 * Processes: one for every client that said it is one.
 *
 * Words: an object here is a process with one *mm*; exec gives the process another one. It is *ended* when its client is
 * gone or runs another program; the mm stays as long as a store needs it (semantics B3.6).
 * Rule: mm numbers count from 1 and are never used again, and a process has the number of its first mm as its id, so a
 * client that comes back is another process.
 */
import {
  CAP_IPC_LOCK,
  CAP_SYS_RESOURCE,
  type Address,
  type ByteReader,
  type ByteWriter,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { AddressSpace } from './address-space.js';
import { PAGE } from './frame-bytes.js';
import type { Frames } from './frames.js';
import type { FileName, MemoryFile } from './memory-file.js';

/** Live processes of one host. One more is refused with EAGAIN, as fork(2) does. */
export const MAX_PROCESSES = 4096;

export class Process {
  readonly space: AddressSpace;
  /** VmPin in pages: slots pinned by stores of this mm. */
  pinned = 0;
  /** Pages that stores are charged to the mm. */
  locked = 0;
  /** Pages charged to the mm without a store behind them: DMA windows and their tables. */
  charged = 0;
  /** Files in memory that it has made. */
  filesMade = 0;
  /** Stores over this mm. */
  stores = 0;
  ended = false;

  constructor(
    readonly mm: number,
    readonly pid: number,
    readonly client: Address,
    public uid: number,
    /** CAP_IPC_LOCK, CAP_SYS_RAWIO, CAP_SYS_RESOURCE. */
    public caps: number,
    /** RLIMIT_MEMLOCK in bytes, soft and hard. */
    public memlock: number,
    private readonly frames: Frames,
  ) {
    this.space = new AddressSpace(frames);
  }

  /** VmLck in pages: what is charged, and what is mlock'ed. */
  get vmLocked(): number {
    return this.locked + this.charged + this.space.lockedPages;
  }

  /** RLIMIT_MEMLOCK in frames; the kernel counts it in its own pages. */
  get memlockPages(): number {
    const { block } = this.frames;
    return Math.floor(this.memlock / (PAGE * block)) * block;
  }

  /** Charges `pages` to VmLck, whatever they are. ENOMEM: above the limit. */
  chargeLocked(pages: number): Result<void> {
    const free = (this.caps & CAP_IPC_LOCK) !== 0;
    if (!free && this.vmLocked + pages > this.memlockPages) return fail('ENOMEM');
    this.charged += pages;
    return ok(undefined);
  }

  nextFileName(): FileName {
    return { maker: this.client, serial: this.filesMade++ };
  }

  /** EPERM: more than before, without CAP_SYS_RESOURCE. */
  setMemlock(bytes: number): Result<void> {
    if (bytes > this.memlock && (this.caps & CAP_SYS_RESOURCE) === 0) return fail('EPERM');
    this.memlock = bytes;
    return ok(undefined);
  }

  /** All user ids at once, as setresuid(2): leaving root gives the capabilities up. EPERM: another uid, and not root. */
  setUid(uid: number): Result<void> {
    if (this.uid !== 0 && this.uid !== uid) return fail('EPERM');
    if (this.uid !== uid) this.caps = 0;
    this.uid = uid;
    return ok(undefined);
  }

  encode(w: ByteWriter, view: View): void {
    if (view === 'snapshot') {
      w.num(this.mm);
      w.num(this.filesMade);
      w.num(this.charged);
    }
    w.num(this.pid);
    w.str(this.client);
    w.u32(this.uid);
    w.u32(this.caps);
    w.num(this.memlock);
    w.bool(this.ended);
    if (view === 'meaning') {
      w.num(this.pinned);
      w.num(this.vmLocked);
    }
    this.space.encode(w, view);
  }

  static decode(r: ByteReader, frames: Frames, fileOf: (id: number) => MemoryFile): Process {
    const [mm, filesMade, charged] = [r.num(), r.num(), r.num()];
    const process = new Process(mm, r.num(), r.str(), r.u32(), r.u32(), r.num(), frames);
    process.filesMade = filesMade;
    process.charged = charged;
    process.ended = r.bool();
    process.space.decode(r, fileOf);
    return process;
  }
}

export class Processes {
  /** Live ones, by client. */
  private readonly live = new Map<Address, Process>();
  /** Live ones and ended ones with stores, by mm, in the order in which they began. */
  private readonly known = new Map<number, Process>();
  private nextMm = 1;

  constructor(private readonly frames: Frames) {}

  of(client: Address): Process | undefined {
    return this.live.get(client);
  }

  byMm(mm: number): Process | undefined {
    return this.known.get(mm);
  }

  /** EEXIST: the client is a process already; EAGAIN: the host has too many. */
  start(client: Address, uid: number, caps: number, memlock: number): Result<Process> {
    if (this.live.has(client)) return fail('EEXIST');
    if (this.live.size >= MAX_PROCESSES) return fail('EAGAIN');
    const mm = this.nextMm++;
    const process = new Process(mm, mm, client, uid, caps, memlock, this.frames);
    this.put(process);
    return ok(process);
  }

  /** execve(2), as seen from memory: the process goes on with an empty mm; stores keep the old one (semantics B3.6). */
  exec({ pid, client, uid, caps, memlock, filesMade }: Process): void {
    this.end(client);
    const process = new Process(this.nextMm++, pid, client, uid, caps, memlock, this.frames);
    process.filesMade = filesMade;
    this.put(process);
  }

  private put(process: Process): void {
    this.known.set(process.mm, process);
    if (!process.ended) this.live.set(process.client, process);
  }

  /** The client is gone: its memory goes at once, its mm struct with the last store. */
  end(client: Address): void {
    const process = this.live.get(client);
    if (!process) return;
    this.live.delete(client);
    process.ended = true;
    process.space.clear();
    this.forgetUnused(process);
  }

  /** A store over this mm is gone. */
  storeGone(process: Process): void {
    process.stores--;
    this.forgetUnused(process);
  }

  private forgetUnused(process: Process): void {
    if (process.ended && process.stores === 0) this.known.delete(process.mm);
  }

  all(): IterableIterator<Process> {
    return this.known.values();
  }

  encode(w: ByteWriter, view: View): void {
    const rows = [...this.known.values()];
    if (view === 'meaning') rows.sort((a, b) => (a.client < b.client ? -1 : a.client > b.client ? 1 : a.mm - b.mm));
    else w.num(this.nextMm);
    w.list(rows, (process) => process.encode(w, view));
  }

  decode(r: ByteReader, fileOf: (id: number) => MemoryFile): void {
    this.nextMm = r.num();
    for (const process of r.list(() => Process.decode(r, this.frames, fileOf))) this.put(process);
  }
}

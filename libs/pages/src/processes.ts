/**
 * Processes: one for every client that said it is one.
 *
 * Words: a process is *ended* when its client is gone; its mm struct stays as long as a store needs it (semantics B3.6).
 * Rule: process ids count from 1 and are never used again, so a client that comes back is another process.
 */
import { CAP_SYS_RESOURCE, type Address, type ByteReader, type ByteWriter, type View } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { AddressSpace } from './address-space.js';
import type { Frames } from './frames.js';

/** Live processes of one host. One more is refused with EAGAIN, as fork(2) does. */
export const MAX_PROCESSES = 4096;

export class Process {
  readonly space: AddressSpace;
  /** VmPin in pages: slots pinned by stores of this mm. */
  pinned = 0;
  /** VmLck in pages. */
  locked = 0;
  /** Stores over this mm. */
  stores = 0;
  ended = false;

  constructor(
    readonly pid: number,
    readonly client: Address,
    public uid: number,
    /** CAP_IPC_LOCK, CAP_SYS_RAWIO, CAP_SYS_RESOURCE. */
    public caps: number,
    /** RLIMIT_MEMLOCK in bytes, soft and hard. */
    public memlock: number,
    frames: Frames,
  ) {
    this.space = new AddressSpace(frames);
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
    w.num(this.pid);
    w.str(this.client);
    w.u32(this.uid);
    w.u32(this.caps);
    w.num(this.memlock);
    w.bool(this.ended);
    if (view === 'meaning') {
      w.num(this.pinned);
      w.num(this.locked);
    }
    this.space.encode(w, view);
  }

  static decode(r: ByteReader, frames: Frames): Process {
    const process = new Process(r.num(), r.str(), r.u32(), r.u32(), r.num(), frames);
    process.ended = r.bool();
    process.space.decode(r);
    return process;
  }
}

export class Processes {
  /** Live ones, by client. */
  private readonly live = new Map<Address, Process>();
  /** Live ones and ended ones with stores, in the order of their ids. */
  private readonly known = new Map<number, Process>();
  private nextPid = 1;

  constructor(private readonly frames: Frames) {}

  of(client: Address): Process | undefined {
    return this.live.get(client);
  }

  byPid(pid: number): Process | undefined {
    return this.known.get(pid);
  }

  /** EEXIST: the client is a process already; EAGAIN: the host has too many. */
  start(client: Address, uid: number, caps: number, memlock: number): Result<Process> {
    if (this.live.has(client)) return fail('EEXIST');
    if (this.live.size >= MAX_PROCESSES) return fail('EAGAIN');
    const process = new Process(this.nextPid++, client, uid, caps, memlock, this.frames);
    this.put(process);
    return ok(process);
  }

  private put(process: Process): void {
    this.known.set(process.pid, process);
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
    if (process.ended && process.stores === 0) this.known.delete(process.pid);
  }

  all(): IterableIterator<Process> {
    return this.known.values();
  }

  encode(w: ByteWriter, view: View): void {
    const rows = [...this.known.values()];
    if (view === 'meaning') rows.sort((a, b) => (a.client < b.client ? -1 : a.client > b.client ? 1 : a.pid - b.pid));
    else w.num(this.nextPid);
    w.list(rows, (process) => process.encode(w, view));
  }

  decode(r: ByteReader): void {
    this.nextPid = r.num();
    for (const process of r.list(() => Process.decode(r, this.frames))) this.put(process);
  }
}

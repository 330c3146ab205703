/**
 * A device of a lab on a UNIX socket.
 *
 * Words: a *lab* here is what starts and ends client processes and is told what this process lends.
 * Rule: each connection is a session of its own; who may have the device is for the lab to say, so a second VMM is refused
 * as a second program on the host would be.
 */
import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { Process } from '@vfiolab/client';
import type { Link } from '@vfiolab/client';
import { DEFAULT_TRANSFER, MAX_DMA_MAPS, MAX_FDS } from './capabilities.js';
import { GuestMemory, type Loans } from './guest-memory.js';
import { native, READABLE, type Watcher } from './native.js';
import { Session, type SessionPlan } from './session.js';

/** Connections at one time; further ones are closed at once. */
export const MAX_SESSIONS = 16;
/** How long a VMM may take to answer, ms; QEMU itself waits as long for us. */
export const TIMEOUT_MS = 5000;
/** How long the lab may take, ms: a DMA that asks the VMM several times is slow, and not lost. */
export const LAB_MS = 30_000;
const ECONNREFUSED = -111;

export interface ServedLab {
  link(name: string): Link;
  unlink(name: string): void;
}

export interface ServeOptions {
  readonly lab: ServedLab;
  /** What the lab was started with as `lent`. */
  readonly loans: Loans;
  /** The function, which is bound to vfio-pci. */
  readonly bdf: string;
  readonly path: string;
  readonly maxFds?: number;
  readonly maxTransfer?: number;
  readonly timeoutMs?: number;
  readonly labMs?: number;
  readonly maxMaps?: number;
}

let served = 0;

export class VfioUserServer {
  private readonly sessions = new Set<Session>();
  private readonly native = native();
  private readonly memory: GuestMemory;
  private readonly number = ++served;
  private readonly fd: number;
  private watcher: Watcher | undefined;
  private clients = 0;

  /** Listens at once. Throws when it cannot: the path is too long, or in use. */
  constructor(private readonly options: ServeOptions) {
    this.memory = new GuestMemory(this.native, options.loans);
    this.removeStale();
    const fd = this.native.listen(options.path);
    if (fd < 0) throw new Error(`${options.path}: cannot listen there (errno ${-fd})`);
    this.fd = fd;
    const watcher = this.native.watch(fd, READABLE, () => this.accept());
    if (typeof watcher === 'number') throw new Error(`${options.path}: cannot be watched (errno ${-watcher})`);
    this.watcher = watcher;
  }

  /** VMMs that are connected now. */
  get connections(): number {
    return this.sessions.size;
  }

  /** A socket that nobody listens on is in the way of a new one. */
  private removeStale(): void {
    const { path } = this.options;
    if (!existsSync(path) || !lstatSync(path).isSocket()) return;
    const tried = this.native.connect(path);
    if (tried >= 0) {
      this.native.close(tried);
      throw new Error(`${path}: somebody serves there already`);
    }
    if (tried === ECONNREFUSED) unlinkSync(path);
  }

  private accept(): void {
    const fd = this.native.accept(this.fd);
    if (fd < 0) return;
    if (this.sessions.size >= MAX_SESSIONS) return void this.native.close(fd);
    const session = new Session(fd, this.plan(), this.native, this.memory);
    this.sessions.add(session);
    void session.ended.then(() => this.sessions.delete(session));
  }

  private plan(): SessionPlan {
    const { lab, bdf, maxFds = MAX_FDS, maxTransfer = DEFAULT_TRANSFER } = this.options;
    const { timeoutMs = TIMEOUT_MS, labMs = LAB_MS, maxMaps = MAX_DMA_MAPS } = this.options;
    const name = `vfio-user-${this.number}-${++this.clients}`;
    return {
      bdf,
      limits: { maxFds, maxTransfer },
      timeoutMs,
      labMs,
      maxMaps,
      start: async () => {
        // A process whose VMM has gone still has the device: the next one waits for it.
        await Promise.all([...this.sessions].filter(({ open }) => !open).map(({ ended }) => ended));
        const process = new Process(name, lab.link(name));
        const started = await process.start();
        if (!started.ok) throw new Error(`a process cannot be started: ${started.errno}`);
        return process;
      },
      end: (process) => process.exit().finally(() => lab.unlink(name)),
    };
  }

  /** Ends all connections and takes the socket away; resolves when nothing of them is left in the lab. */
  async close(): Promise<void> {
    if (!this.watcher) return;
    this.native.unwatch(this.watcher);
    this.watcher = undefined;
    this.native.close(this.fd);
    if (existsSync(this.options.path)) unlinkSync(this.options.path);
    const sessions = [...this.sessions];
    for (const session of sessions) session.close();
    await Promise.all(sessions.map(({ ended }) => ended));
  }
}

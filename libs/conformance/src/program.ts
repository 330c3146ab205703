/**
 * A program of a trace: its processes, their variables and memory.
 *
 * Words: the *main* process runs the steps without `proc`; a *child* begins with a copy of its parent's variables, memory
 * and open files.
 * Rule: variables that a child sets stay in the child.
 */
import type { Link } from '@vfiolab/client';
import { type Credentials, Process, ROOT } from '@vfiolab/client';
import type { Outcome } from './outcome.js';
import { BadValue, Variables } from './values.js';

/** Anonymous mappings begin at multiples of this so that huge pages and the alignment of chosen IOVAs do not depend on luck. */
const ALIGN = 2 * 1024 * 1024;
const FIRST_VA = 0x7f00_0000_0000;
/** Processes of one program. */
const MAX_PROCESSES = 64;

export interface Mapping {
  readonly va: number;
  readonly length: number;
  readonly prot: number;
  readonly pageShift: number;
}

/** One process with what the trace knows of it. */
export interface Task {
  readonly process: Process;
  readonly variables: Variables;
  readonly mappings: Mapping[];
  credentials: Credentials;
}

/** A sysfs write that had not ended in time. */
export type Helper = Promise<Outcome>;

export interface Links {
  link(name: string): Link;
}

export class Program {
  readonly helpers = new Map<string, Helper>();
  /** Children by name; the ones that have exited stay, so that a step of theirs is an error of the trace. */
  private readonly children = new Map<string, { readonly task: Task; readonly keep: boolean; exited: boolean }>();
  private nextVa = FIRST_VA;
  private made = 0;

  private constructor(
    private readonly name: string,
    private readonly links: Links,
    readonly main: Task,
  ) {}

  /** Starts the main process, as root. */
  static async start(name: string, links: Links): Promise<Program> {
    const main = await startTask(name, links, ROOT);
    return new Program(name, links, main);
  }

  /** The process that runs a step; a child that is not kept exits before the next step of its parent. */
  async taskOf(proc: string | undefined): Promise<Task> {
    if (proc !== undefined) {
      const child = this.children.get(proc);
      if (!child || child.exited) throw new BadValue(`there is no process ${proc}`);
      return child.task;
    }
    for (const child of this.children.values()) {
      if (child.keep || child.exited) continue;
      child.exited = true;
      await child.task.process.exit();
    }
    return this.main;
  }

  /** A child with copies of what its parent has. */
  async fork(as: string, keep: boolean): Promise<void> {
    if (++this.made > MAX_PROCESSES) throw new BadValue(`more than ${MAX_PROCESSES} processes`);
    const task = await startTask(`${this.name}-${this.made}`, this.links, this.main.credentials);
    for (const fd of this.main.process.openFds) await this.main.process.grant(fd, task.process, fd);
    for (const mapping of this.main.mappings) await copyMapping(this.main, task, mapping);
    const inherited: Task = { ...task, variables: new Variables(this.main.variables) };
    this.children.set(as, { task: inherited, keep, exited: false });
  }

  /** Room for a mapping: aligned, and with a hole behind it. */
  reserve(length: number, align = ALIGN): number {
    const step = Math.max(align, ALIGN);
    const va = Math.ceil(this.nextVa / step) * step;
    this.nextVa = va + Math.ceil(length / ALIGN) * ALIGN + ALIGN;
    return va;
  }

  /** Ends every process, children first. */
  async exit(): Promise<void> {
    for (const child of this.children.values()) if (!child.exited) await child.task.process.exit();
    await this.main.process.exit();
  }
}

async function startTask(name: string, links: Links, credentials: Credentials): Promise<Task> {
  const process = new Process(name, links.link(name));
  const started = await process.start(credentials);
  if (!started.ok) throw new Error(`process ${name} could not start: ${started.errno}`);
  return { process, variables: new Variables(), mappings: [], credentials };
}

/** Bytes that a fork copies from one mapping; programs keep what they look at there. */
const COPIED = 256 * 1024;

/** Memory that is shared across a fork becomes two copies: the lab's processes share no memory. */
async function copyMapping(from: Task, to: Task, mapping: Mapping): Promise<void> {
  const { va, length, prot, pageShift } = mapping;
  const made = await to.process.mmap(length, { va, prot, pageShift });
  if (!made.ok) return;
  to.mappings.push(mapping);
  const size = Math.min(length, COPIED);
  const bytes = await from.process.read(va, size);
  if (bytes.ok && bytes.value.some((byte) => byte !== 0)) await to.process.write(va, bytes.value);
}

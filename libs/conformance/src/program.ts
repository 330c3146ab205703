/**
 * A program of a trace: its processes, their variables and memory.
 *
 * Words: the *main* process runs the steps without `proc`; a *child* begins with a copy of its parent's variables, memory
 * and open files.
 * Rule: variables that a child sets stay in the child.
 */
import type { Link } from '@vfiolab/client';
import { Process } from '@vfiolab/client';
import type { Result } from '@vfiolab/uapi';
import type { Outcome } from './outcome.js';
import { BadValue, Variables } from './values.js';

/** Anonymous mappings begin at multiples of this so that huge pages and the alignment of chosen IOVAs do not depend on luck. */
const ALIGN = 2 * 1024 * 1024;
const FIRST_VA = 0x7f00_0000_0000;
/** Processes of one program. */
const MAX_PROCESSES = 64;

/** One process with what the trace knows of it. */
export interface Task {
  readonly process: Process;
  readonly variables: Variables;
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
    const main = await startTask(name, links);
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
  async fork(as: string, keep: boolean): Promise<Result<void>> {
    if (++this.made > MAX_PROCESSES) throw new BadValue(`more than ${MAX_PROCESSES} processes`);
    const { process } = await startTask(`${this.name}-${this.made}`, this.links);
    const forked = await this.main.process.fork(process);
    if (!forked.ok) {
      await process.exit();
      return forked;
    }
    const task: Task = { process, variables: new Variables(this.main.variables) };
    this.children.set(as, { task, keep, exited: false });
    return forked;
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

/** A process with root's identity; a child takes its parent's when it is forked. */
async function startTask(name: string, links: Links): Promise<Task> {
  const process = new Process(name, links.link(name));
  const started = await process.start();
  if (!started.ok) throw new Error(`process ${name} could not start: ${started.errno}`);
  return { process, variables: new Variables() };
}

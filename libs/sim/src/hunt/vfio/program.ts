/**
 * One random program: its system calls, what they answer, and its end, which may come from outside at any moment.
 *
 * Words: a *family* is a program and all that were forked from it; its *marks* are two bytes that its memory is filled with,
 * and nobody else's.
 * Rule: an errno is never a surprise, an errno that is not documented always is. A program that was killed asks nothing more.
 */
import type { Arguments, IoctlAnswer, IoctlOptions, IoctlOutcome, Process } from '@vfiolab/client';
import type { AnyStruct, Errno, IoctlDef, PlainArg, PlainIoctlDef, Result } from '@vfiolab/uapi';
import type { Chance } from '../chance.js';
import { mayAnswerOn } from '../documented.js';
import { Model } from './model.js';
import type { Tally } from './tally.js';
import type { Yard } from './places.js';

/** The program was killed. */
export class Dead extends Error {}

/** Calls of one program that nobody waits for. */
const MAX_PENDING = 6;
const FIRST_MARK = 0x81;
/** What two families can never have in common, as long as there are no more of them. */
export const MAX_FAMILIES = 60;

/** Programs have neighbours. */
export interface Neighbours {
  readonly yard: Yard;
  readonly tally: Tally;
  /** Those that still run. */
  readonly running: Program[];
  /** Starts a process; `parent`: whose files and memory it gets. Undefined: there are enough. */
  start(parent?: Program): Promise<Program | undefined>;
}

export class Program {
  model = new Model();
  dead = false;
  /** Calls under way that nobody waits for. */
  private readonly pending = new Set<Promise<unknown>>();
  private readonly dma = new Set<Promise<unknown>>();
  private die!: (why: Dead) => void;
  private readonly death = new Promise<never>((_, reject) => (this.die = reject));

  constructor(
    readonly around: Neighbours,
    readonly process: Process,
    readonly chance: Chance,
    readonly family: number,
    /** Threads, which know nothing of each other. */
    readonly threads: number,
  ) {
    this.death.catch(() => undefined);
  }

  get yard(): Yard {
    return this.around.yard;
  }

  get marks(): [number, number] {
    return [FIRST_MARK + 2 * this.family, FIRST_MARK + 2 * this.family + 1];
  }

  /** The family that memory would be of that is full of this byte; undefined: nobody's. */
  static familyOf(byte: number): number | undefined {
    return byte < FIRST_MARK ? undefined : (byte - FIRST_MARK) >> 1;
  }

  /** Waits for what it asked; throws `Dead` when it is killed meanwhile. */
  sys<T>(work: Promise<T>): Promise<T> {
    // Nobody hears what a killed program was still answered.
    work.catch(() => undefined);
    return Promise.race([work, this.death]);
  }

  /** The value; undefined for an errno. */
  async get<T>(work: Promise<Result<T>>): Promise<T | undefined> {
    const r = await this.sys(work);
    return r.ok ? r.value : undefined;
  }

  async ioctl<S extends AnyStruct>(
    fd: number,
    def: IoctlDef<string, S>,
    fields: Arguments<S> = {},
    options: IoctlOptions = {},
  ): Promise<IoctlAnswer<S>> {
    const kind = this.process.kindOf(fd);
    const answer = await this.sys(this.process.ioctl(fd, def, fields, options));
    this.judge(def.name, kind, def.nr, answer.errno);
    // The work may be done though its answer could not be written.
    if (answer.errno === 'EFAULT') this.model.foretellNothing();
    return answer;
  }

  async plain<A extends PlainArg>(
    fd: number,
    def: PlainIoctlDef<string, A>,
    ...arg: Parameters<Process['ioctlPlain']> extends [number, unknown, ...infer R] ? R : never
  ): Promise<IoctlOutcome> {
    const kind = this.process.kindOf(fd);
    const answer = await this.sys(this.process.ioctlPlain(fd, def as PlainIoctlDef, ...arg));
    this.judge(def.name, kind, def.nr, answer.errno);
    return answer;
  }

  /** Counts the answer, and looks it up. */
  judge(name: string, kind: string | undefined, nr: number, errno: Errno | undefined): void {
    this.around.tally.answered(name, errno);
    if (errno && kind !== undefined && !mayAnswerOn(kind, nr, errno))
      this.around.tally.find(`${this.process.name}: ${name} on a ${kind} answers ${errno}, not documented`);
  }

  /** Begins something that may take until somebody else does something, or that is to go on meanwhile. */
  later(work: () => Promise<unknown>, among = this.pending): void {
    if (among.size >= MAX_PENDING) return;
    const going = work().catch((e: unknown) => {
      if (!(e instanceof Dead) && !this.dead) this.around.tally.find(`${this.process.name}: ${(e as Error).message}`);
    });
    among.add(going);
    void going.finally(() => among.delete(going));
  }

  /** The same for DMA, which always ends. */
  laterDma(work: () => Promise<unknown>): void {
    this.later(work, this.dma);
  }

  /** No DMA of its own is under way any more. */
  async dmaDone(): Promise<void> {
    await this.sys(Promise.all(this.dma));
  }

  async close(fd: number): Promise<void> {
    this.model.drop(fd);
    await this.sys(this.process.close(fd));
  }

  /** Ends the program, in the middle of whatever it does. */
  async end(): Promise<void> {
    if (this.dead) return;
    this.dead = true;
    const { running } = this.around;
    const at = running.indexOf(this);
    if (at >= 0) running.splice(at, 1);
    this.die(new Dead(this.process.name));
    await this.process.exit();
  }

  /** Once in a while something that is not there, or is another thing. */
  fdOr(fd: number): number {
    const { chance, process } = this;
    if (!chance.once(40)) return fd;
    const all = process.openFds;
    return chance.once(3) || all.length === 0 ? chance.below(64) : chance.pick(all);
  }

  /** Was it done to what it was meant for? Otherwise nobody knows what has become of the other thing. */
  hit(fd: number, meant: number): boolean {
    if (fd !== meant) this.model.foretellNothing();
    return fd === meant;
  }
}

/**
 * What every action is: how it reads in words, how it runs, and which facts of its answer may be expected.
 *
 * Rule: an errno is an answer like any other. An action throws only when the lab itself could not answer.
 */
import type { Process } from '@vfiolab/client';
import type { Errno, Result } from '@vfiolab/uapi';
import type { Environment } from '../environment.js';
import type { PlanRun } from '../fault-plan.js';
import type { ActionArgs, ActionName, Expect, Num, Step } from '../scenario.js';
import { evaluate, type Variables } from '../values.js';
import { hex } from '../words.js';

/** A fact of an answer: what `expect` compares, under the same name. */
export type Fact = bigint | string | boolean | Uint8Array | readonly Fact[] | { readonly [name: string]: Fact };
export type Facts = Readonly<Record<string, Fact>>;

export interface Answer {
  readonly errno: Errno | undefined;
  /** What stands behind the `=`. */
  readonly words: string;
  /** What `as` names. */
  readonly value?: bigint;
  readonly facts: Facts;
}

export const success = (words: string, facts: Facts = {}, value?: bigint): Answer => ({
  errno: undefined,
  words,
  facts,
  ...(value !== undefined && { value }),
});

export const failure = (errno: Errno, facts: Facts = {}, more = ''): Answer => ({
  errno,
  words: `-1 ${errno}${more}`,
  facts,
});

export const answerOf = <T>(result: Result<T>, then: (value: T) => Answer): Answer =>
  result.ok ? then(result.value) : failure(result.errno);

/** The same for calls that answer nothing but success. */
export const doneOf = (result: Result<unknown>): Answer => answerOf(result, () => success('0', { ret: 0n }));

/** Names of open files, for people: what was opened under each descriptor of each process. */
export class FileNames {
  private readonly names = new Map<string, string>();

  set(process: Process, fd: number, name: string): void {
    this.names.set(`${process.name} ${fd}`, name);
  }

  get(process: Process, fd: number): string {
    return this.names.get(`${process.name} ${fd}`) ?? '';
  }

  /** `5</dev/iommu>`, as strace -y shows it. */
  show(process: Process, fd: number): string {
    const name = this.get(process, fd);
    return name === '' ? String(fd) : `${fd}<${name}>`;
  }

  forget(process: Process, fd?: number): void {
    for (const key of [...this.names.keys()])
      if (fd === undefined ? key.startsWith(`${process.name} `) : key === `${process.name} ${fd}`)
        this.names.delete(key);
  }
}

/** What a step has at hand while it runs. */
export class Call {
  constructor(
    readonly environment: Environment,
    readonly process: Process,
    readonly processes: ReadonlyMap<string, Process>,
    readonly variables: Variables,
    readonly files: FileNames,
    readonly step: Step,
    readonly plan: PlanRun,
  ) {}

  num(raw: Num): bigint {
    return evaluate(raw, this.variables);
  }

  /** For offsets, lengths and addresses, which are below 2^53 in every call but an ioctl; or below another bound. */
  int(raw: Num, most = Number.MAX_SAFE_INTEGER): number {
    const value = this.num(raw);
    if (value < 0n || value > BigInt(most))
      throw new Error(`${String(raw)} is ${hex(value)}: this call takes 0 to ${hex(BigInt(most))}`);
    return Number(value);
  }

  /** A descriptor is 32 bits wide, with a sign. */
  fd(raw: Num): number {
    return Number(BigInt.asIntN(32, this.num(raw)));
  }

  file(raw: Num): string {
    return this.files.show(this.process, this.fd(raw));
  }

  at(raw: Num): string {
    return hex(this.num(raw));
  }

  /** A new descriptor of this process, opened as `name`. */
  opened(result: Result<number>, name: string, process = this.process): Answer {
    return answerOf(result, (fd) => {
      this.files.set(process, fd, name);
      return success(this.files.show(process, fd), { ret: BigInt(fd) }, BigInt(fd));
    });
  }
}

export interface Action<A extends ActionName> {
  /** Facts that `expect` may name, besides errno. */
  readonly facts: readonly string[];
  /** May `as` name its value? */
  readonly named?: boolean;
  /** Is it a call to the host? Only those can be crashed into. */
  readonly calls: boolean;
  /** The call as a program would write it. */
  words(call: Call, args: ActionArgs[A]): string;
  run(call: Call, args: ActionArgs[A]): Promise<Answer>;
  /** Expectations that stand among the arguments. */
  implied?(args: ActionArgs[A]): Expect;
}

export type Actions = { readonly [A in ActionName]: Action<A> };

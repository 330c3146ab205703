/**
 * From an ioctl message to a handler and back.
 *
 * Words: a *row* pairs an ioctl's definition with the one function that answers it; a handler *responds* when it copies
 * its struct back to the caller, which may fail (EFAULT) and then undoes what it made.
 * Rule: length rules are applied here, once, by the definition; handlers never look at sizes.
 */
import {
  type AnyStruct,
  closeIoctl,
  type Errno,
  errnoNumber,
  type IoctlDef,
  type KernelProfile,
  ok,
  openIoctl,
  type Result,
  type StructOf,
  type UserMemory,
  writeFields,
} from '@vfiolab/uapi';
import type { Address } from './address.js';
import type { Request } from './core.js';
import { isOp } from './core.js';
import type { Op } from './op.js';
import type { FdArgument, IoctlArgs, IoctlReply, MemoryWrite, NewFile, Segment } from './protocol/sys.js';

/** The caller's memory as the message carries it. Writes are collected for the reply, and seen by later reads. */
export class SegmentMemory implements UserMemory {
  readonly writes: MemoryWrite[] = [];
  /** Segments that were written to, as they are now. */
  private own: Segment[] | undefined;

  constructor(private readonly came: readonly Segment[]) {}

  read(va: bigint, length: number): Uint8Array | undefined {
    const at = Number(va);
    const s = this.holding(at, length);
    return s?.bytes.subarray(at - s.va, at - s.va + length);
  }

  write(va: bigint, bytes: Uint8Array): boolean {
    const at = Number(va);
    const s = this.holding(at, bytes.length);
    if (!s?.writable) return false;
    const target = this.ownCopy(s);
    target.bytes.set(bytes, at - s.va);
    this.writes.push({ va: at, bytes: target.bytes.subarray(at - s.va, at - s.va + bytes.length) });
    return true;
  }

  /** The message itself stays as it came: it may be sent again, and it is what the journal holds. */
  private ownCopy(s: Segment): Segment {
    if (this.own?.includes(s)) return s;
    const copy = { ...s, bytes: s.bytes.slice() };
    (this.own ??= []).push(copy);
    return copy;
  }

  private holding(at: number, length: number): Segment | undefined {
    return (this.own && find(this.own, at, length)) ?? find(this.came, at, length);
  }
}

function find(segments: readonly Segment[], at: number, length: number): Segment | undefined {
  for (const s of segments) if (at >= s.va && at + length <= s.va + s.bytes.length) return s;
  return undefined;
}

/** One ioctl on its way through a handler. `F` is the open file it was made on. */
export interface IoctlCall<F, S extends AnyStruct = AnyStruct> {
  readonly file: F;
  readonly req: Request;
  readonly client: Address;
  readonly arg: bigint;
  readonly user: UserMemory;
  readonly fds: readonly FdArgument[];
  /** The caller's size word as it came in. */
  readonly userSize: number;
  /** Puts fields into the struct and copies it back to the caller. */
  respond(fields: Partial<StructOf<S>>): Result<void>;
  /** The call's result is a new file. */
  returnFile(file: NewFile): void;
}

/** What a handler answers: the return value of the ioctl, or an errno. */
export type IoctlResult = Result<number>;
export const DONE: IoctlResult = ok(0);

export interface IoctlRowOf<F, S extends AnyStruct> {
  readonly ioctl: IoctlDef<string, S>;
  execute(call: IoctlCall<F, S>, cmd: StructOf<S>): IoctlResult | Op<IoctlResult>;
}
/** Rows of different structs in one table. */
export type AnyIoctlRow<F> = IoctlRowOf<F, any>;

/** A row whose function takes the definition's own struct; a wrong one does not compile. */
export const row = <F, S extends AnyStruct>(
  ioctl: IoctlDef<string, S>,
  execute: IoctlRowOf<F, S>['execute'],
): IoctlRowOf<F, S> => ({ ioctl, execute });

/** A front door: rows under their ioctls' names, to be found by number. */
export function frontDoor<F>(rows: Readonly<Record<string, AnyIoctlRow<F>>>): ReadonlyMap<number, AnyIoctlRow<F>> {
  const door = new Map<number, AnyIoctlRow<F>>();
  for (const [name, r] of Object.entries(rows)) {
    if (r.ioctl.name !== name || door.has(r.ioctl.nr)) throw new Error(`${name}: wrong name, or its number is taken`);
    door.set(r.ioctl.nr, r);
  }
  return door;
}

export const failed = (errno: Errno): IoctlReply => ({
  errno: errnoNumber(errno),
  ret: 0,
  writes: [],
  file: undefined,
});

/**
 * Answers one ioctl by its row. Plain handlers answer at once; the others go on as operations.
 * A number without a row is not for this function.
 */
export function answerIoctl<F>(
  found: AnyIoctlRow<F>,
  profile: KernelProfile,
  file: F,
  req: Request,
  args: IoctlArgs,
): IoctlReply | Op<IoctlReply> {
  const user = new SegmentMemory(args.segments);
  const arg = BigInt(args.arg);
  const opened = openIoctl(found.ioctl, profile, arg, user);
  if (!opened.ok) return failed(opened.errno);
  let newFile: NewFile | undefined;
  const call: IoctlCall<F> = {
    file,
    req,
    client: req.from,
    arg,
    user,
    fds: args.fds,
    userSize: opened.value.userSize,
    respond: (fields) => {
      writeFields(found.ioctl.struct, opened.value.bytes, fields);
      return closeIoctl(found.ioctl, opened.value, arg, user);
    },
    returnFile: (made) => {
      newFile = made;
    },
  };
  const reply = (r: IoctlResult): IoctlReply =>
    r.ok
      ? { errno: 0, ret: r.value, writes: user.writes, file: newFile }
      : { errno: errnoNumber(r.errno), ret: 0, writes: user.writes, file: undefined };
  const result = found.execute(call, opened.value.cmd);
  return isOp(result) ? finishLater(result as Op<IoctlResult>, reply) : reply(result);
}

function* finishLater(op: Op<IoctlResult>, reply: (r: IoctlResult) => IoctlReply): Op<IoctlReply> {
  return reply(yield* op);
}

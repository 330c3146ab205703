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
  fail,
  ok,
  type OpenIoctl,
  openIoctl,
  type Result,
  type StructOf,
  type UserMemory,
  writeFields,
} from '@vfiolab/uapi';
import type { Address } from './address.js';
import { copyBytes } from './bytes.js';
import type { Request } from './core.js';
import { isOp } from './core.js';
import type { Lock, Op } from './op.js';
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
    this.wrote(target, at - s.va, at - s.va + bytes.length);
    return true;
  }

  /** The message itself stays as it came: it may be sent again, and it is what the journal holds. */
  ownCopy(s: Segment): Segment {
    if (this.own?.includes(s)) return s;
    const known = this.own?.find((o) => o.va === s.va && o.bytes.length === s.bytes.length);
    if (known) return known;
    const copy = { va: s.va, writable: s.writable, bytes: copyBytes(s.bytes) };
    if (this.own) this.own.push(copy);
    else this.own = [copy];
    return copy;
  }

  /** Notes that bytes [from, end) of one of our copies were written, as they are now. */
  wrote(copy: Segment, from: number, end: number): void {
    this.writes.push({ va: copy.va + from, bytes: copyBytes(copy.bytes, from, end) });
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

/** An ioctl from its message to its reply. */
class Answering<F> implements IoctlCall<F> {
  private memory: SegmentMemory | undefined;
  private opened: OpenIoctl<AnyStruct> | undefined;
  private newFile: NewFile | undefined;
  /** The segment that is the whole struct, when the caller's struct is exactly the kernel's: nothing needs to be copied. */
  private readonly exact: Segment | undefined;

  constructor(
    private readonly def: IoctlDef,
    profile: KernelProfile,
    readonly file: F,
    readonly req: Request,
    private readonly args: IoctlArgs,
  ) {
    this.exact = exactStruct(def, profile, args);
  }

  get client(): Address {
    return this.req.from;
  }
  get arg(): bigint {
    return BigInt(this.args.arg);
  }
  get fds(): readonly FdArgument[] {
    return this.args.fds;
  }
  get user(): SegmentMemory {
    return (this.memory ??= new SegmentMemory(this.args.segments));
  }
  get userSize(): number {
    return this.exact ? sizeWord(this.exact.bytes) : this.opened!.userSize;
  }

  /** The length rules, and the struct. */
  open(profile: KernelProfile): Result<StructOf<AnyStruct>> {
    if (this.exact) return ok(this.def.struct.read(this.exact.bytes, 0));
    const opened = openIoctl(this.def, profile, this.arg, this.user);
    if (!opened.ok) return opened;
    this.opened = opened.value;
    return ok(opened.value.cmd);
  }

  respond(fields: Partial<StructOf<AnyStruct>>): Result<void> {
    if (this.exact) return this.respondInPlace(this.exact, fields);
    writeFields(this.def.struct, this.opened!.bytes, fields);
    return closeIoctl(this.def, this.opened!, this.arg, this.user);
  }

  private respondInPlace(struct: Segment, fields: Partial<StructOf<AnyStruct>>): Result<void> {
    const { copyBack } = this.def;
    if (copyBack === 'none') return ok(undefined);
    if (!struct.writable) return fail('EFAULT');
    const own = this.user.ownCopy(struct);
    writeFields(this.def.struct, own.bytes, fields);
    const [from, to] = copyBack === 'struct' ? [0, this.def.struct.size] : copyBack;
    this.user.wrote(own, from, Math.min(to, own.bytes.length));
    return ok(undefined);
  }

  returnFile(file: NewFile): void {
    this.newFile = file;
  }

  reply(r: IoctlResult): IoctlReply {
    const writes = this.memory ? this.memory.writes : NO_WRITES;
    if (r.ok) return { errno: 0, ret: r.value, writes, file: this.newFile };
    return { errno: errnoNumber(r.errno), ret: 0, writes, file: undefined };
  }
}

const NO_WRITES: MemoryWrite[] = [];
const sizeWord = (b: Uint8Array): number => (b[0]! | (b[1]! << 8) | (b[2]! << 16) | (b[3]! << 24)) >>> 0;

/** The common case: the caller's struct has exactly the size that this kernel knows and takes whole. */
function exactStruct(def: IoctlDef, profile: KernelProfile, { arg, segments }: IoctlArgs): Segment | undefined {
  const form = def.forms[profile];
  const s = segments[0];
  if (!form || s?.va !== arg || s.bytes.length < form.size || form.size !== def.struct.size) return undefined;
  if (form.tail === 'fixed') return s;
  const size = sizeWord(s.bytes);
  if (form.tail === 'zero') return size === form.size ? s : undefined;
  return form.size === form.minSize && !form.extension && size >= form.size ? s : undefined;
}

/**
 * Answers one ioctl by its row. Plain handlers answer at once; the others go on as operations, which hold `during`, the
 * lock that keeps the open file open. A number without a row is not for this function.
 */
export function answerIoctl<F>(
  found: AnyIoctlRow<F>,
  profile: KernelProfile,
  file: F,
  req: Request,
  args: IoctlArgs,
  during?: Lock,
): IoctlReply | Op<IoctlReply> {
  const call = new Answering(found.ioctl, profile, file, req, args);
  const cmd = call.open(profile);
  if (!cmd.ok) return failed(cmd.errno);
  const result = found.execute(call, cmd.value);
  return isOp(result) ? finishLater(result as Op<IoctlResult>, call, during) : call.reply(result);
}

function* finishLater<F>(op: Op<IoctlResult>, call: Answering<F>, during: Lock | undefined): Op<IoctlReply> {
  if (during) yield during.reading;
  return call.reply(yield* op);
}

/**
 * ioctl(2) of a program: with a typed struct, without one, and as the system call itself is.
 *
 * Words: *scratch* is memory of the caller that lives for the call only and is changed in place; everything else that the
 * call touches is the process's own memory, brought before the call and written back after it.
 * Rule: all three ways come down to the same call; they differ in who lays out the argument. Services know each request by one
 * number; that of powerpc is made into it here, where the system call is.
 */
import { type IoctlReply, MAX_DMA, PAGES, pagesApi, type Segment, sysApi } from '@vfiolab/core';
import {
  type AnyIoctlDef,
  type AnyStruct,
  decode,
  type Errno,
  errnoName,
  fromPowerpc,
  type IoctlDef,
  type PlainArg,
  type PlainIoctlDef,
  type StructOf,
} from '@vfiolab/uapi';
import { type Argument, bringArgument, capabilities, definitionOn, holding } from './argument-memory.js';
import { type Arguments, build, buildPlain, type PlainInput, SCRATCH, segmentsOf } from './arguments.js';
import type { Descriptors } from './descriptors.js';
import type { Link } from './link.js';

/** What an ioctl answered: `out` is the struct after the call, also when it failed. */
export interface IoctlAnswer<S extends AnyStruct = AnyStruct> {
  readonly ret: number;
  readonly errno: Errno | undefined;
  readonly out: StructOf<S>;
  readonly tail: Uint8Array;
}

export interface IoctlOptions {
  /** Bytes behind the struct. */
  readonly tail?: Uint8Array;
  /** At least this much room behind the struct (capability chains). */
  readonly room?: number;
}

export interface IoctlOutcome {
  readonly ret: number;
  readonly errno: Errno | undefined;
}

/** A number that no ioctl has. */
const NOBODYS = 0xffff_ffff;
const EMPTY = new Uint8Array(0);
const BARE = { fdNumbers: [], returnsFile: false, fdAt: undefined } as const;

export class IoctlCalls {
  /** Raw requests are numbers of powerpc. */
  powerpc = false;

  constructor(
    private readonly link: Link,
    private readonly fds: Descriptors,
  ) {}

  async typed<S extends AnyStruct>(
    fd: number,
    def: IoctlDef<string, S>,
    fields: Arguments<S>,
    { tail = EMPTY, room = 0 }: IoctlOptions,
  ): Promise<IoctlAnswer<S>> {
    const built = build(def, fields, tail, room);
    // The definition forgets its struct's type here; the fields were checked against it above.
    const outcome = await this.call(fd, def as unknown as AnyIoctlDef, def.nr, built.arg, segmentsOf(built));
    const out = decode(def.struct, built.struct) as StructOf<S>;
    return { ...outcome, out, tail: built.struct.subarray(def.struct.size) };
  }

  plain<A extends PlainArg>(
    fd: number,
    def: PlainIoctlDef<string, A>,
    ...[value]: PlainInput<A>
  ): Promise<IoctlOutcome> {
    const { arg, segments } = buildPlain(def.arg, value);
    return this.call(fd, def, def.nr, arg, segments);
  }

  /** A request that the file's kind does not know goes out with nothing but the scratch. */
  raw(fd: number, number: number, arg: number, scratch: readonly Segment[]): Promise<IoctlOutcome> {
    const request = this.powerpc ? (fromPowerpc(number) ?? NOBODYS) : number;
    const kind = this.fds.get(fd)?.kind;
    const def = kind === undefined ? undefined : definitionOn(kind, request);
    return this.call(fd, def, request, arg, scratch);
  }

  private async call(
    fd: number,
    def: AnyIoctlDef | undefined,
    cmd: number,
    arg: number,
    scratch: readonly Segment[],
  ): Promise<IoctlOutcome> {
    const file = this.fds.get(fd);
    if (!file) return { ret: -1, errno: 'EBADF' };
    const segments = [...scratch];
    const argument: Argument = def ? await bringArgument(this.link, def, arg, segments) : { ...BARE, segments };
    const fds = capabilities(argument.fdNumbers, (number) => this.fds.get(number));
    const method = argument.returnsFile ? sysApi.ioctlFile : sysApi.ioctl;
    const reply = await this.link.call(file.owner, method, { token: file.token, cmd, arg, segments, fds });
    await this.writeBack(reply.writes, segments);
    if (reply.errno !== 0) return { ret: -1, errno: errnoName(reply.errno) };
    return { ret: await this.returned(reply, argument, arg, file.owner), errno: undefined };
  }

  /** A new file becomes an fd, which is the result or has its place in the argument; it lives where the call was made. */
  private async returned(reply: IoctlReply, argument: Argument, arg: number, owner: string): Promise<number> {
    if (!reply.file) return reply.ret;
    const fd = this.fds.install({ owner, ...reply.file, users: 1 });
    if (argument.fdAt === undefined) return fd;
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, fd, true);
    await this.writeBack([{ va: arg + argument.fdAt, bytes }], argument.segments);
    return reply.ret;
  }

  /** What the call wrote goes to the buffers it was given, and to the process's memory for the rest. */
  private async writeBack(writes: IoctlReply['writes'], segments: readonly Segment[]): Promise<void> {
    for (const { va, bytes } of writes) {
      const s = holding(segments, va);
      if (s) s.bytes.set(bytes, va - s.va);
      if (va >= SCRATCH) continue;
      for (let at = 0; at < bytes.length; at += MAX_DMA)
        await this.link.call(PAGES, pagesApi.memWrite, { va: va + at, data: bytes.slice(at, at + MAX_DMA) });
    }
  }
}

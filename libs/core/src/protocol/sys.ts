/**
 * System calls, as every service that owns files answers them.
 *
 * Words: a *token* is an fd capability: 32 hex digits, unguessable, bound to the client that holds it. A *segment* is a
 * piece of the caller's memory that the call may touch, fetched when the call entered; a *write* is what the call wrote.
 * Rule: an ioctl sees the caller's memory as it was at entry; an address outside the segments is EFAULT.
 */
import {
  api,
  bool,
  bytes,
  type Codec,
  forClients,
  i32,
  list,
  message,
  method,
  nothing,
  num,
  optional,
  result,
  str,
  token,
  u16,
  u32,
  type ValueOf,
} from '../codec.js';
import type { Address } from '../address.js';

export const segment = message({ va: num, writable: bool, bytes });
export type Segment = ValueOf<typeof segment>;
export const memoryWrite = message({ va: num, bytes });
export type MemoryWrite = ValueOf<typeof memoryWrite>;
/** An fd number of the caller that the call's arguments name, with the capability behind it. */
export const fdArgument = message({ fd: i32, token, owner: str });
export type FdArgument = ValueOf<typeof fdArgument>;

/** A new file: its capability, what kind of file it is, and the actor that owns it, when that is not who answers. */
export interface NewFile {
  readonly token: string;
  readonly kind: string;
  readonly owner?: Address;
}
const newFileParts = message({ token, kind: str, owner: str });
export const newFile: Codec<NewFile> = {
  write: (w, { token, kind, owner = '' }) => newFileParts.write(w, { token, kind, owner }),
  read: (r) => {
    const { token, kind, owner } = newFileParts.read(r);
    return owner === '' ? { token, kind } : { token, kind, owner };
  },
};

const ioctlArgs = message({ token, cmd: u32, arg: num, segments: list(segment), fds: list(fdArgument) });
export type IoctlArgs = ValueOf<typeof ioctlArgs>;
/** `errno` 0 = success. Memory may be written on failure too, as some ioctls do. */
const ioctlReply = message({ errno: u16, ret: num, writes: list(memoryWrite), file: optional(newFile) });
export type IoctlReply = ValueOf<typeof ioctlReply>;

export const sysApi = api('sys', {
  ...forClients({
    open: method(1, message({ path: str, flags: u32 }), result(newFile), { entropy: true }),
    close: method(2, message({ token }), result(nothing)),
    ioctl: method(3, ioctlArgs, ioctlReply),
    /** The same for ioctls that return a new file. */
    ioctlFile: method(4, ioctlArgs, ioctlReply, { entropy: true }),
    pread: method(5, message({ token, offset: num, length: u32 }), result(bytes)),
    pwrite: method(6, message({ token, offset: num, data: bytes }), result(u32)),
    /** Another client may use the same open file, under a capability of its own. ESRCH: it has ended. */
    grant: method(7, message({ token, to: str }), result(newFile), { entropy: true }),
  }),
  /** The client died or left: everything it held is closed. Only the lab may say so. */
  clientGone: method(8, message({ client: str }), nothing),
});

/** Bits of a poll answer, Linux values: something can be read, something can be written, the file's other side is gone. */
export const POLLIN = 0x0001;
export const POLLOUT = 0x0004;
export const POLLHUP = 0x0010;

/**
 * read(2), write(2) and poll(2) of files that are streams of records (fault queues, event queues). They never wait: EAGAIN
 * when there is nothing to read; whoever wants to wait polls.
 */
export const streamApi = api(
  'stream',
  forClients({
    read: method(9, message({ token, length: u32 }), result(bytes)),
    write: method(10, message({ token, data: bytes }), result(u32)),
    poll: method(11, message({ token }), result(u16)),
  }),
);

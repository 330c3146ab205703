/**
 * The calls on files of this service: memfds, eventfds and special files.
 *
 * Rule: a capability is looked up among all kinds, because a program closes, grants and reads without saying which it is.
 */
import {
  failed,
  implement,
  type IoctlArgs,
  type IoctlReply,
  MAX_DMA,
  type MethodRow,
  type NewFile,
  pagesApi,
  PROGRAM_PATH,
  type Request,
  SegmentMemory,
  sysApi,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Eventfds } from './eventfds.js';
import type { MemoryFiles } from './memory-files.js';
import type { Frames } from './frames.js';
import type { Processes } from './processes.js';
import type { RemoteMemory } from './remote-memory.js';
import { readSpecial, type SpecialFiles, writeSpecial } from './special-files.js';
import { itemsAsked, makeUdmabuf } from './udmabuf.js';

interface Parts {
  readonly frames: Frames;
  readonly processes: Processes;
  readonly files: MemoryFiles;
  readonly eventfds: Eventfds;
  readonly special: SpecialFiles;
  readonly remote: RemoteMemory;
}

export const {
  memfdCreate,
  memfdOpen,
  ftruncate,
  fallocate,
  addSeals,
  memfdLend,
  memfdRemote,
  remoteQuestions,
  remoteAnswer,
  remoteAsked,
  eventfd,
  eventfdRead,
  eventfdWrite,
  eventfdClose,
  eventfdHold,
  eventfdDrop,
  eventfdSignal,
  eventfdWatch,
  eventfdUnwatch,
  eventfdReady,
  ...otherMethods
} = pagesApi;

export function fileMethods(parts: Parts): MethodRow[][] {
  const { processes, files, eventfds, special, remote } = parts;
  const memory = implement(
    { memfdCreate, memfdOpen, ftruncate, fallocate, addSeals },
    {
      memfdCreate: ({ from, entropy }, { flags }) => {
        const process = processes.of(from);
        return process ? files.create(from, process.nextFileName(), flags, entropy) : fail('ESRCH');
      },
      memfdOpen: ({ from, entropy }, { token, writable }) => files.reopen(from, token, writable, entropy),
      ftruncate: ({ from }, { token, length }) => files.truncate(from, token, length),
      fallocate: ({ from }, { token, mode, offset, length }) => files.allocate(from, token, mode, offset, length),
      addSeals: ({ from }, { token, seals }) => files.seal(from, token, seals),
    },
  );
  const foreign = implement(
    { memfdLend, memfdRemote, remoteQuestions, remoteAnswer },
    {
      memfdLend: ({ from }, { token, name }) => files.lend(from, token, name),
      memfdRemote: ({ from }, { token, length }) => files.remote(from, token, length),
      remoteQuestions: ({ from }) => remote.questionsOf(from),
      remoteAnswer: ({ from }, { id, data }) => remote.answer(from, id, data),
    },
  );
  const events = implement(
    {
      eventfd,
      eventfdRead,
      eventfdWrite,
      eventfdClose,
      eventfdHold,
      eventfdDrop,
      eventfdSignal,
      eventfdWatch,
      eventfdUnwatch,
    },
    {
      eventfd: ({ from, entropy }, { init }) =>
        processes.of(from) ? eventfds.create(from, init, entropy) : fail('ESRCH'),
      eventfdRead: ({ from }, { token }) => eventfds.read(from, token),
      eventfdWrite: ({ from }, { token, value }) => eventfds.write(from, token, value),
      eventfdClose: ({ from }, { token }) => eventfds.close(from, token),
      eventfdHold: (_req, { token, client }) => eventfds.hold(client, token),
      eventfdDrop: (_req, { event }) => eventfds.drop(event),
      eventfdSignal: (_req, { event }) => eventfds.signal(event),
      eventfdWatch: ({ from }, { token, client }) => eventfds.watch(client, token, from),
      eventfdUnwatch: ({ from }, { event }) => eventfds.unwatch(event, from),
    },
  );
  const { open, close, ioctl, ioctlFile, grant, pread, pwrite } = sysApi;
  const all = implement(
    { open, close, ioctl, ioctlFile, grant, pread, pwrite },
    {
      open: (req, { path, flags }) => openPath(parts, req, path, flags),
      ioctl: (req, args) => ioctlOn(parts, req, args),
      ioctlFile: (req, args) => ioctlOn(parts, req, args),
      close: ({ from }, { token }) => {
        if (special.of(from, token)) return special.close(from, token);
        return eventfds.has(from, token) ? eventfds.close(from, token) : files.close(from, token);
      },
      grant: (req, { token, to }) => grantTo(parts, req, token, to),
      pread: ({ from }, { token, offset, length }) => {
        if (eventfds.has(from, token)) return fail('ESPIPE');
        if (length > MAX_DMA) return fail('EINVAL');
        const file = special.of(from, token);
        return file ? readSpecial(file, length) : files.read(from, token, offset, length);
      },
      pwrite: ({ from }, { token, offset, data }) => {
        if (eventfds.has(from, token)) return fail('ESPIPE');
        const file = special.of(from, token);
        return file ? writeSpecial(file, data) : files.write(from, token, offset, data);
      },
    },
  );
  return [memory, foreign, events, all];
}

/** ESRCH: the other client is no process, so nobody would ever close the file for it; EBADF, EMFILE. */
function grantTo(
  { processes, files, eventfds, special }: Parts,
  { from, entropy }: Request,
  token: string,
  to: string,
): Result<NewFile> {
  if (!processes.of(to)) return fail('ESRCH');
  if (special.of(from, token)) return special.grant(from, token, to, entropy);
  const isEvent = eventfds.has(from, token);
  const granted = (isEvent ? eventfds : files).grant(from, token, to, entropy);
  return granted.ok ? ok({ token: granted.value, kind: isEvent ? 'eventfd' : 'memfd' }) : granted;
}

/** open(2) of what is not a memfd: ESRCH: the client is no process; ENXIO, ETXTBSY, ENFILE, EMFILE. */
function openPath(
  { processes, files, special }: Parts,
  { from, entropy }: Request,
  path: string,
  flags: number,
): Result<NewFile> {
  if (!processes.of(from)) return fail('ESRCH');
  if (path !== PROGRAM_PATH) return special.open(from, path, flags, entropy);
  const opened = files.openProgram(from, (flags & ACCESS_MODE) !== 0, entropy);
  return opened.ok ? ok({ token: opened.value, kind: 'memfd' }) : opened;
}

const ACCESS_MODE = 3;

/** Only /dev/udmabuf knows any. EBADF, ENOTTY; else as `itemsAsked` and `makeUdmabuf`. */
function ioctlOn({ frames, files, eventfds, special }: Parts, { from, entropy }: Request, args: IoctlArgs): IoctlReply {
  const { token, cmd, arg, segments, fds } = args;
  const file = special.of(from, token);
  if (file?.kind !== 'udmabuf')
    return failed(file || eventfds.has(from, token) || files.of(from, token) ? 'ENOTTY' : 'EBADF');
  const items = itemsAsked(cmd, BigInt(arg), new SegmentMemory(segments));
  if (!items.ok) return failed(items.errno);
  const memfdOf = (fd: number) => {
    const named = fds.find((each) => each.fd === fd);
    return named && files.of(from, named.token)?.file;
  };
  const made = makeUdmabuf(items.value, memfdOf, frames);
  if (!made.ok) return failed(made.errno);
  const opened = special.openDmabuf(from, made.value, entropy);
  if (opened.ok) return { errno: 0, ret: 0, writes: [], file: opened.value };
  made.value.release(frames);
  return failed(opened.errno);
}

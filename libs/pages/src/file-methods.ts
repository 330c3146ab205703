/**
 * The calls on files of this service: memfds and eventfds.
 *
 * Rule: a capability is looked up among both kinds, because a program closes, grants and reads without saying which it is.
 */
import { implement, MAX_DMA, type MethodRow, type NewFile, pagesApi, type Request, sysApi } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Eventfds } from './eventfds.js';
import type { MemoryFiles } from './memory-files.js';
import type { Processes } from './processes.js';

interface Parts {
  readonly processes: Processes;
  readonly files: MemoryFiles;
  readonly eventfds: Eventfds;
}

export const {
  memfdCreate,
  memfdOpen,
  ftruncate,
  fallocate,
  addSeals,
  eventfd,
  eventfdRead,
  eventfdWrite,
  eventfdClose,
  eventfdHold,
  eventfdDrop,
  eventfdSignal,
  eventfdReady,
  ...otherMethods
} = pagesApi;

export function fileMethods({ processes, files, eventfds }: Parts): MethodRow[][] {
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
  const events = implement(
    { eventfd, eventfdRead, eventfdWrite, eventfdClose, eventfdHold, eventfdDrop, eventfdSignal },
    {
      eventfd: ({ from, entropy }, { init }) =>
        processes.of(from) ? eventfds.create(from, init, entropy) : fail('ESRCH'),
      eventfdRead: ({ from }, { token }) => eventfds.read(from, token),
      eventfdWrite: ({ from }, { token, value }) => eventfds.write(from, token, value),
      eventfdClose: ({ from }, { token }) => eventfds.close(from, token),
      eventfdHold: (_req, { token, client }) => eventfds.hold(client, token),
      eventfdDrop: (_req, { event }) => eventfds.drop(event),
      eventfdSignal: (_req, { event }) => eventfds.signal(event),
    },
  );
  const { close, grant, pread, pwrite } = sysApi;
  const both = implement(
    { close, grant, pread, pwrite },
    {
      close: ({ from }, { token }) =>
        eventfds.has(from, token) ? eventfds.close(from, token) : files.close(from, token),
      grant: (req, { token, to }) => grantTo({ processes, files, eventfds }, req, token, to),
      pread: ({ from }, { token, offset, length }) => {
        if (eventfds.has(from, token)) return fail('ESPIPE');
        return length > MAX_DMA ? fail('EINVAL') : files.read(from, token, offset, length);
      },
      pwrite: ({ from }, { token, offset, data }) =>
        eventfds.has(from, token) ? fail('ESPIPE') : files.write(from, token, offset, data),
    },
  );
  return [memory, events, both];
}

/** ESRCH: the other client is no process, so nobody would ever close the file for it; EBADF, EMFILE. */
function grantTo(
  { processes, files, eventfds }: Parts,
  { from, entropy }: Request,
  token: string,
  to: string,
): Result<NewFile> {
  if (!processes.of(to)) return fail('ESRCH');
  const isEvent = eventfds.has(from, token);
  const granted = (isEvent ? eventfds : files).grant(from, token, to, entropy);
  return granted.ok ? ok({ token: granted.value, kind: isEvent ? 'eventfd' : 'memfd' }) : granted;
}

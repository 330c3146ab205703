/**
 * Actions on files that are streams: queues of faults and events, and the data of a migration.
 *
 * Rule: they never wait; a stream that has nothing yet answers EAGAIN.
 */
import type { Process } from '@vfiolab/client';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { type Actions, answerOf, success } from './action.js';
import { bufferBytes } from '../struct-values.js';
import { bytesInWords } from '../words.js';

const MAX_READ = 65536;
/** A stream that does not end is no migration of a device of ours. */
const MAX_PIECES = 4096;

export const streamActions = {
  recv: {
    facts: ['ret', 'data'],
    calls: true,
    words: (call, { fd, length }) => `read(${call.file(fd)}, ${call.num(length)})`,
    run: async (call, { fd, length }) =>
      answerOf(await call.process.readFile(call.fd(fd), call.int(length, MAX_READ)), (data) =>
        success(`${data.length} ${bytesInWords(data)}`, { ret: BigInt(data.length), data }),
      ),
  },
  send: {
    facts: ['ret'],
    calls: true,
    words: (call, { fd, ...data }) =>
      `write(${call.file(fd)}, ${bytesInWords(bufferBytes(data, undefined, call.variables))})`,
    run: async (call, { fd, ...data }) =>
      answerOf(await call.process.writeFile(call.fd(fd), bufferBytes(data, undefined, call.variables)), (count) =>
        success(String(count), { ret: BigInt(count) }),
      ),
  },
  pipe: {
    facts: ['ret'],
    calls: true,
    words: (call, { from, to }) => `copy everything(${call.file(from)} -> ${call.file(to)})`,
    run: async (call, { from, to }) =>
      answerOf(await copyAll(call.process, call.fd(from), call.fd(to)), (count) =>
        success(`${count} bytes`, { ret: BigInt(count) }),
      ),
  },
} satisfies Partial<Actions>;

/** Bytes until the end of the stream. EFBIG: it has none. */
async function copyAll(process: Process, from: number, to: number): Promise<Result<number>> {
  let count = 0;
  for (let piece = 0; piece < MAX_PIECES; piece++) {
    const read = await process.readFile(from, MAX_READ);
    if (!read.ok) return read;
    if (read.value.length === 0) return ok(count);
    const written = await process.writeFile(to, read.value);
    if (!written.ok) return written;
    count += read.value.length;
  }
  return fail('EFBIG');
}

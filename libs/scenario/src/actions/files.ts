/** Actions on open files and the file system: open, close, dup, grant, pread, pwrite, chmod, sysfs. */
import { MAX_DMA } from '@vfiolab/core';
import { answerOf, type Actions, type Answer, doneOf, success } from './action.js';
import { littleEndian, payloadBytes, typedValue, WIDTHS } from '../values.js';
import { bytesInWords, hex, quoted } from '../words.js';

/** Region `index` begins at `index` times this in a VFIO device's file. */
const REGION_BYTES = 2 ** 40;
const REGIONS: Readonly<Record<string, number>> = {
  bar0: 0,
  bar1: 1,
  bar2: 2,
  bar3: 3,
  bar4: 4,
  bar5: 5,
  rom: 6,
  config: 7,
  vga: 8,
};

const regionIndex = (region: string | number): number => (typeof region === 'number' ? region : REGIONS[region]!);
/** Exact: 256 * 2^40 is below 2^53. */
export const fileOffset = (region: string | number, at: number): number => regionIndex(region) * REGION_BYTES + at;

const textOf = (text: string): Answer => {
  const line = text.replace(/\n$/, '');
  return success(quoted(line), { text: line });
};

function readAnswer(bytes: Uint8Array, typed: boolean): Answer {
  const ret = BigInt(bytes.length);
  if (!typed)
    return success(`${ret} ${bytesInWords(bytes)}`, { ret, data: bytes, text: new TextDecoder().decode(bytes) });
  const value = littleEndian(bytes);
  return success(`${ret} {${hex(value)}}`, { ret, data: bytes, value });
}

export const fileActions = {
  open: {
    facts: ['ret'],
    named: true,
    calls: true,
    words: (_call, { path }) => `open(${quoted(path)}, O_RDWR)`,
    run: async (call, { path }) => call.opened(await call.process.open(path), path),
  },
  close: {
    facts: ['ret'],
    calls: true,
    words: (call, { fd }) => `close(${call.file(fd)})`,
    run: async (call, { fd }) => {
      const closed = await call.process.close(call.fd(fd));
      if (closed.ok) call.files.forget(call.process, call.fd(fd));
      return doneOf(closed);
    },
  },
  dup: {
    facts: ['ret'],
    named: true,
    calls: true,
    words: (call, { fd }) => `dup(${call.file(fd)})`,
    run: async (call, { fd }) => call.opened(call.process.dup(call.fd(fd)), call.files.get(call.process, call.fd(fd))),
  },
  grant: {
    facts: ['ret'],
    named: true,
    calls: true,
    words: (call, { fd, to }) => `sendmsg(${to}, SCM_RIGHTS, ${call.file(fd)})`,
    run: async (call, { fd, to }) => {
      const receiver = call.processes.get(to)!;
      const name = call.files.get(call.process, call.fd(fd));
      return call.opened(await call.process.grant(call.fd(fd), receiver), name, receiver);
    },
  },
  pread: {
    facts: ['ret', 'data', 'text', 'value'],
    calls: true,
    words: (call, { fd, region, at, length, ...register }) => {
      const width = WIDTHS[typedValue(register)?.type ?? 'u8'];
      return `pread(${call.file(fd)}, ${length === undefined ? width : call.num(length)}, ${region} + ${call.at(at)})`;
    },
    run: async (call, { fd, region, at, length, ...register }) => {
      const typed = typedValue(register);
      const bytes = typed ? WIDTHS[typed.type] : call.int(length!, MAX_DMA);
      const read = await call.process.pread(call.fd(fd), fileOffset(region, call.int(at, REGION_BYTES - 1)), bytes);
      return answerOf(read, (data) => readAnswer(data, typed !== undefined));
    },
    implied: (register) => {
      const typed = typedValue(register);
      return typed ? { value: typed.raw } : {};
    },
  },
  pwrite: {
    facts: ['ret'],
    calls: true,
    words: (call, { fd, region, at, ...payload }) => {
      const bytes = payloadBytes(payload, call.variables);
      const data = typedValue(payload) ? `{${hex(littleEndian(bytes))}}` : bytesInWords(bytes);
      return `pwrite(${call.file(fd)}, ${data}, ${bytes.length}, ${region} + ${call.at(at)})`;
    },
    run: async (call, { fd, region, at, ...payload }) => {
      const bytes = payloadBytes(payload, call.variables);
      const written = await call.process.pwrite(call.fd(fd), fileOffset(region, call.int(at, REGION_BYTES - 1)), bytes);
      return answerOf(written, (count) => success(String(count), { ret: BigInt(count) }));
    },
  },
  sysfs_write: {
    facts: ['ret'],
    calls: true,
    words: (_call, { path, data }) => `write(${path}, ${quoted(data)})`,
    run: async (call, { path, data }) =>
      answerOf(await call.process.sysfsWrite(path, data), (count) => success(String(count), { ret: BigInt(count) })),
  },
  chmod: {
    facts: ['ret'],
    calls: true,
    words: (_call, { path, mode }) => `chmod(${quoted(path)}, 0${mode.replace(/^0+/, '')})`,
    run: async (call, { path, mode }) => doneOf(await call.process.chmod(path, Number.parseInt(mode, 8))),
  },
  sysfs_read: {
    facts: ['text'],
    calls: true,
    words: (_call, { path }) => `read(${path})`,
    run: async (call, { path }) => answerOf(await call.process.sysfsRead(path), textOf),
  },
  readlink: {
    facts: ['text'],
    calls: true,
    words: (_call, { path }) => `readlink(${path})`,
    run: async (call, { path }) => answerOf(await call.process.readlink(path), textOf),
  },
  listdir: {
    facts: ['entries'],
    calls: true,
    words: (_call, { path }) => `getdents(${path})`,
    run: async (call, { path }) =>
      answerOf(await call.process.listdir(path), (entries) => success(`[${entries.join(', ')}]`, { entries })),
  },
} satisfies Partial<Actions>;

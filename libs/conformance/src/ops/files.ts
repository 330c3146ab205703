/** Steps on open files: open, close, dup, read, write, pread, pwrite, poll, lseek, eventfd, and files in memory. */
import { CallRefused, MAX_DMA, MFD_ALLOW_SEALING, MFD_HUGETLB } from '@vfiolab/core';
import type { Process } from '@vfiolab/client';
import { done, failure, lacking, type Outcome, outcomeOf } from '../outcome.js';
import type { Json } from '../trace.js';
import { BadValue, bytesOf, hexOf, type Variables } from '../values.js';
import { type StepContext, type StepRunner, textOf, words } from './context.js';
import { expandPath } from './paths.js';

const OPEN_FLAGS: Readonly<Record<string, number>> = {
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_NONBLOCK: 0x800,
  O_CLOEXEC: 0x80000,
};
const READ_TIMEOUT_MS = 200;

function openFlags(value: Json | undefined): number {
  let flags = 0;
  for (const word of words(value)) {
    const bit = OPEN_FLAGS[word];
    if (bit === undefined) throw new BadValue(`flags: ${word} is none of ${Object.keys(OPEN_FLAGS).join(', ')}`);
    flags |= bit;
  }
  return flags;
}

/** A new fd under the step's name. */
function opened(variables: Variables, as: Json | undefined, fd: number): Outcome {
  if (typeof as !== 'string') return done(fd);
  variables.set(as, BigInt(fd));
  return done(`$${as}`);
}

async function open({ step, task }: StepContext): Promise<Outcome> {
  const path = await expandPath(task, textOf(step, 'path'));
  const result = await task.process.open(path, openFlags(step['flags']));
  return result.ok ? opened(task.variables, step['as'], result.value) : failure(result.errno);
}

const MEMFD_FLAGS: Readonly<Record<string, number>> = { sealing: MFD_ALLOW_SEALING, hugetlb: MFD_HUGETLB };

async function memfdCreate({ step, task }: StepContext): Promise<Outcome> {
  let flags = 0;
  for (const word of words(step['flags'])) {
    const bit = word === '' ? 0 : MEMFD_FLAGS[word];
    if (bit === undefined) throw new BadValue(`flags: ${word} is none of ${Object.keys(MEMFD_FLAGS).join(', ')}`);
    flags |= bit;
  }
  const made = await task.process.memfds.create(flags);
  return made.ok ? opened(task.variables, step['as'], made.value) : failure(made.errno);
}

const ftruncate: StepRunner = async (context) => {
  const { process, variables } = context.task;
  return outcomeOf(await process.memfds.truncate(fdOf(context), variables.small(context.step['len'])));
};

const fallocate: StepRunner = async (context) => {
  const { process, variables } = context.task;
  const [mode, offset, length] = ['mode', 'off', 'len'].map((key) => variables.small(context.step[key]));
  return outcomeOf(await process.memfds.allocate(fdOf(context), mode!, offset!, length!));
};

const seal: StepRunner = async (context) =>
  outcomeOf(await context.task.process.memfds.seal(fdOf(context), context.task.variables.small(context.step['seals'])));

function lseek(context: StepContext): Outcome {
  const { step, task } = context;
  if (Number(step['whence'] ?? 0) !== 0) return lacking(`lseek with whence ${JSON.stringify(step['whence'])}`);
  const moved = task.process.seek(fdOf(context), task.variables.small(step['off']));
  return moved.ok ? done(moved.value) : failure(moved.errno);
}

const fdOf = ({ step, task }: StepContext): number => task.variables.small(step['fd']);

function dup(context: StepContext): Outcome {
  const result = context.task.process.dup(fdOf(context));
  return result.ok ? opened(context.task.variables, context.step['as'], result.value) : failure(result.errno);
}

async function eventfd({ step, task }: StepContext): Promise<Outcome> {
  const result = await task.process.eventfd(BigInt.asUintN(64, task.variables.number(step['init'] ?? 0)));
  return result.ok ? opened(task.variables, step['as'], result.value) : failure(result.errno);
}

/** Polls first: nothing to read in time is BLOCKED. poll(2) passes over a negative fd, so nothing ever is there. */
async function read(context: StepContext): Promise<Outcome> {
  const { step, task } = context;
  const fd = fdOf(context);
  if (fd < 0) return failure('BLOCKED');
  const kind = task.process.kindOf(fd);
  if (kind === undefined) return failure('EBADF');
  const length = task.variables.small(step['len']);
  const timeout = Number(step['timeout_ms'] ?? READ_TIMEOUT_MS);
  if (kind === 'eventfd') return readEventfd(task.process, fd, length, timeout);
  return orLacking(`read(2) on a ${kind} file`, async () => {
    const events = await task.process.pollWait(fd, 1, timeout);
    if (!events.ok) return failure(events.errno);
    if (events.value === 0) return failure('BLOCKED');
    const bytes = await task.process.readFile(fd, length);
    return bytes.ok ? done(bytes.value.length, shownData(bytes.value)) : failure(bytes.errno);
  });
}

async function readEventfd(process: Process, fd: number, length: number, timeout: number): Promise<Outcome> {
  if (length < 8) return failure('EINVAL');
  const value = await process.eventWait(fd, timeout);
  if (!value.ok) return failure(value.errno === 'EAGAIN' ? 'BLOCKED' : value.errno);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value.value, true);
  return done(8, { data: hexOf(bytes) });
}

/** Data is shown when there is any. */
const shownData = (bytes: Uint8Array): { data?: string } => (bytes.length > 0 ? { data: hexOf(bytes) } : {});

async function write(context: StepContext): Promise<Outcome> {
  const { step, task } = context;
  const fd = fdOf(context);
  const kind = task.process.kindOf(fd);
  if (kind === undefined) return failure('EBADF');
  const data = step['items'] === undefined ? bytesOf(step['data']) : itemBytes(step['items'], task.variables);
  if (kind !== 'eventfd')
    return orLacking(`write(2) on a ${kind} file`, async () => {
      const written = await task.process.writeFile(fd, data);
      return written.ok ? done(written.value) : failure(written.errno);
    });
  if (data.length < 8) return failure('EINVAL');
  const value = new DataView(data.buffer, data.byteOffset).getBigUint64(0, true);
  const result = await task.process.eventWrite(fd, value);
  return result.ok ? done(8) : failure(result.errno);
}

const WIDTHS: Readonly<Record<string, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, s32: 4 };

/** `[[type, value], …]` as bytes. */
function itemBytes(items: Json, variables: Variables): Uint8Array {
  if (!Array.isArray(items)) throw new BadValue('items: a list of [type, value] is needed');
  const out: number[] = [];
  for (const item of items as readonly Json[]) {
    const [type, value] = Array.isArray(item) ? (item as readonly Json[]) : [];
    const width = typeof type === 'string' ? WIDTHS[type] : undefined;
    if (width === undefined) throw new BadValue(`items: ${JSON.stringify(item)} is no [type, value]`);
    const number = variables.number(value);
    for (let i = 0; i < width; i++) out.push(Number((number >> BigInt(8 * i)) & 0xffn));
  }
  return Uint8Array.from(out);
}

async function poll(context: StepContext): Promise<Outcome> {
  const { step, task } = context;
  const fd = fdOf(context);
  if (fd < 0) return done(0, { data: '0000' });
  const kind = task.process.kindOf(fd);
  if (kind === undefined) return done(1, { data: '2000' });
  const wanted = Number(step['events']);
  return orLacking(`poll(2) on a ${kind} file`, async () => {
    const events = await task.process.pollWait(fd, wanted, Number(step['timeout_ms']));
    if (!events.ok) return failure(events.errno);
    return done(events.value === 0 ? 0 : 1, { data: hexOf(Uint8Array.of(events.value & 0xff, events.value >> 8)) });
  });
}

/** A service that does not know the call at all refuses it: then the lab lacks it. */
async function orLacking(what: string, call: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof CallRefused) return lacking(what);
    throw error;
  }
}

async function pread(context: StepContext): Promise<Outcome> {
  const { step, task } = context;
  const length = task.variables.small(step['len']);
  const offset = task.variables.small(step['off']);
  if (length > MAX_DMA || offset < 0) return lacking(`pread of ${length} bytes at ${offset}`);
  const bytes = await task.process.pread(fdOf(context), offset, length);
  return bytes.ok ? done(bytes.value.length, shownData(bytes.value)) : failure(bytes.errno);
}

async function pwrite(context: StepContext): Promise<Outcome> {
  const { step, task } = context;
  const written = await task.process.pwrite(fdOf(context), task.variables.small(step['off']), bytesOf(step['data']));
  return written.ok ? done(written.value) : failure(written.errno);
}

const close: StepRunner = async (context) => outcomeOf(await context.task.process.close(fdOf(context)));

export const fileSteps: Readonly<Record<string, StepRunner>> = {
  open,
  close,
  dup,
  eventfd,
  read,
  write,
  poll,
  pread,
  pwrite,
  memfd_create: memfdCreate,
  ftruncate,
  fallocate,
  seal,
  lseek,
};

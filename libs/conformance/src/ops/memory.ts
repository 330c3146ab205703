/** Steps on memory: mmap and its relatives, and accesses of an exact width. */
import { MAX_DMA } from '@vfiolab/core';
import type { Errno } from '@vfiolab/uapi';
import { done, failure, lacking, type Outcome, outcomeOf } from '../outcome.js';
import type { Json } from '../trace.js';
import { BadValue, hexOf, unsigned, type Variables } from '../values.js';
import { type StepContext, type StepRunner, textOf, words } from './context.js';

const PROT: Readonly<Record<string, number>> = { none: 0, r: 1, w: 2, rw: 3, rx: 5, rwx: 7 };
const HUGE_SHIFT = 21;
/** Longest time that one wait_mmio may take, ms, and how often it looks. */
const WAIT_MS = 2000;
const LOOK_EVERY_MS = 1;

function protOf(value: Json | undefined): number {
  const prot = PROT[typeof value === 'string' ? value : 'rw'];
  if (prot === undefined)
    throw new BadValue(`prot: ${JSON.stringify(value)} is none of ${Object.keys(PROT).join(', ')}`);
  return prot;
}

async function mmap({ step, task, program }: StepContext): Promise<Outcome> {
  const flags = words(step['flags']);
  if (step['fd'] !== undefined) return mapFile({ step, task, program }, flags);
  if (flags.has('fixed')) return lacking('mmap at a fixed address');
  const length = task.variables.small(step['len']);
  const mapping = {
    va: program.reserve(length, Number(step['align'] ?? 0)),
    prot: protOf(step['prot']),
    pageShift: flags.has('hugetlb') ? HUGE_SHIFT : 12,
  };
  const { process } = task;
  const made = await (flags.has('shared') ? process.mmapShared(length, mapping) : process.mmap(length, mapping));
  if (!made.ok) return failure(made.errno);
  if (typeof step['as'] === 'string') task.variables.set(step['as'], BigInt(made.value));
  return done();
}

async function mapFile({ step, task, program }: StepContext, flags: ReadonlySet<string>): Promise<Outcome> {
  const { variables, process } = task;
  const fd = variables.small(step['fd']);
  const kind = process.kindOf(fd);
  if (kind === undefined) return failure('EBADF');
  if (kind === 'device' && !flags.has('shared')) return failure('EINVAL');
  if (kind === 'memfd' && !flags.has('shared')) return lacking('mmap of a memfd, private');
  const length = variables.small(step['len']);
  const place = {
    prot: protOf(step['prot']),
    va: kind === 'memfd' || kind === 'zero' ? program.reserve(length) : 0,
    shared: flags.has('shared'),
  };
  const mapped = await process.mapFile(fd, variables.small(step['off'] ?? 0), length, place);
  if (!mapped.ok) return failure(mapped.errno);
  if (typeof step['as'] === 'string') variables.set(step['as'], BigInt(mapped.value));
  return done();
}

const address = (variables: Variables, value: Json | undefined): number => unsigned(variables.number(value));

const munmap: StepRunner = async ({ step, task }) =>
  outcomeOf(await task.process.munmap(address(task.variables, step['addr']), task.variables.small(step['len'])));

const mprotect: StepRunner = async ({ step, task }) => {
  const { variables, process } = task;
  const va = address(variables, step['addr']);
  return outcomeOf(await process.mprotect(va, variables.small(step['len']), protOf(step['prot'])));
};

const mlock: StepRunner = async ({ step, task }) =>
  outcomeOf(await task.process.mlock(address(task.variables, step['addr']), task.variables.small(step['len'])));

/** What a failed access raises. */
const signalOf = (errno: Errno): Outcome => failure(errno === 'EIO' ? 'SIGBUS' : 'SIGSEGV');

const isMapped = (va: number, length: number): boolean => va + length < Number.MAX_SAFE_INTEGER;

async function peek({ step, task }: StepContext): Promise<Outcome> {
  const va = address(task.variables, step['addr']);
  const length = Number(step['width']) * Number(step['count']);
  if (!isMapped(va, length)) return failure('SIGSEGV');
  const bytes = await task.process.load(va, Number(step['width']), Number(step['count']));
  return bytes.ok ? done(0, { data: hexOf(bytes.value) }) : signalOf(bytes.errno);
}

function littleEndian(values: readonly bigint[], width: number): Uint8Array {
  const bytes = new Uint8Array(values.length * width);
  values.forEach((value, i) => {
    for (let k = 0; k < width; k++) bytes[i * width + k] = Number((value >> BigInt(8 * k)) & 0xffn);
  });
  return bytes;
}

async function poke({ step, task }: StepContext): Promise<Outcome> {
  const { variables, process } = task;
  const va = address(variables, step['addr']);
  const values = step['values'];
  if (!Array.isArray(values)) throw new BadValue('values: a list is needed');
  const width = Number(step['width']);
  const bytes = littleEndian(
    values.map((value: Json) => variables.number(value)),
    width,
  );
  if (!isMapped(va, bytes.length)) return failure('SIGSEGV');
  const written = await process.store(va, width, bytes);
  return written.ok ? done() : signalOf(written.errno);
}

async function fill({ step, task }: StepContext): Promise<Outcome> {
  const va = address(task.variables, step['addr']);
  const length = task.variables.small(step['len']);
  if (!isMapped(va, length)) return failure('SIGSEGV');
  const [start, pace] = [Number(step['start']), Number(step['step'] ?? 0)];
  for (let at = 0; at < length; at += MAX_DMA) {
    const piece = new Uint8Array(Math.min(MAX_DMA, length - at));
    piece.forEach((_, i) => {
      const k = at + i;
      piece[i] = start + pace * (k >> 8) + (pace ? k : 0);
    });
    const written = await task.process.write(va + at, piece);
    if (!written.ok) return signalOf(written.errno);
  }
  return done();
}

async function waitMmio({ step, task }: StepContext): Promise<Outcome> {
  const { variables, process } = task;
  const va = address(variables, step['addr']);
  const width = Number(step['width']);
  if (!isMapped(va, width)) return failure('SIGSEGV');
  const [mask, unwanted] = [variables.number(step['mask']), variables.number(step['while'])];
  const { ports } = process.link;
  const until = ports.now() + Number(step['timeout_ms'] ?? WAIT_MS);
  for (;;) {
    const bytes = await process.load(va, width);
    if (!bytes.ok) return signalOf(bytes.errno);
    if ((valueOf(bytes.value) & mask) !== unwanted) return done();
    if (ports.now() >= until) return failure('BLOCKED');
    await ports.sleep(LOOK_EVERY_MS);
  }
}

const valueOf = (bytes: Uint8Array): bigint => bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);

export const memorySteps: Readonly<Record<string, StepRunner>> = {
  mmap,
  munmap,
  mprotect,
  madvise: ({ step }) => lacking(`madvise(${textOf(step, 'advice')})`),
  mlock,
  peek,
  poke,
  fill,
  wait_mmio: waitMmio,
};

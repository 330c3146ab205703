/**
 * What an ioctl touches in its caller's memory: found by the definition of the request on that kind of file.
 *
 * Words: a *segment* is a piece of memory that the call may read or write; *bringing* one is reading it before the call.
 * Rule: memory that cannot be read is not brought, so that the service answers EFAULT exactly when the kernel would.
 */
import { MAX_DMA, PAGES, pagesApi, type FdArgument, type Segment } from '@vfiolab/core';
import {
  type AnyIoctlDef,
  compatIoctls,
  containerIoctls,
  decode,
  deviceIoctls,
  type FdSlot,
  groupIoctls,
  type IoctlDef,
  iommufdIoctls,
  type IoctlSet,
  kvmDeviceIoctls,
  kvmIoctls,
  kvmVmIoctls,
  labIoctls,
  migrationIoctls,
  type PlainIoctlDef,
  type Result,
  ok,
  spaprIoctls,
  type1Ioctls,
  udmabufIoctls,
  uiommuIoctls,
} from '@vfiolab/uapi';
import { MAX_FETCH } from './arguments.js';
import type { Link } from './link.js';

const PAGE = 4096;

const byNumber = (...sets: IoctlSet[]): ReadonlyMap<number, AnyIoctlDef> =>
  new Map(sets.flatMap((set) => Object.values(set).map((def) => [def.nr, def] as const)));

const DEFINITIONS: Readonly<Record<string, ReadonlyMap<number, AnyIoctlDef>>> = {
  iommufd: byNumber(compatIoctls, iommufdIoctls),
  container: byNumber(containerIoctls, type1Ioctls),
  spapr: byNumber(containerIoctls, spaprIoctls),
  group: byNumber(groupIoctls),
  device: byNumber(deviceIoctls, uiommuIoctls),
  uiommu: byNumber(uiommuIoctls),
  migration: byNumber(migrationIoctls),
  udmabuf: byNumber(udmabufIoctls),
  kvm: byNumber(kvmIoctls),
  'kvm-vm': byNumber(kvmVmIoctls, labIoctls),
  'kvm-device': byNumber(kvmDeviceIoctls),
};

/** What a request means on a kind of file; undefined when that kind does not know it. */
export const definitionOn = (kind: string, request: number): AnyIoctlDef | undefined => DEFINITIONS[kind]?.get(request);

/** The segment with the byte at `va`. */
export const holding = (segments: readonly Segment[], va: number): Segment | undefined =>
  segments.find((s) => va >= s.va && va < s.va + s.bytes.length);

/** Reads memory in pieces that fit a message. EFAULT. */
export async function readMemory(link: Link, va: number, length: number): Promise<Result<Uint8Array>> {
  const all = new Uint8Array(length);
  for (let at = 0; at < length; at += MAX_DMA) {
    const size = Math.min(MAX_DMA, length - at);
    const piece = await link.call(PAGES, pagesApi.memRead, { va: va + at, length: size });
    if (!piece.ok) return piece;
    all.set(piece.value, at);
  }
  return ok(all);
}

/** Brings [va, va + length) unless it is there. Memory the call may write is tried for writing, which changes nothing. */
async function bring(link: Link, segments: Segment[], va: number, length: number, written: boolean): Promise<void> {
  if (length === 0 || !Number.isSafeInteger(va + length) || holding(segments, va)) return;
  const bytes = await readPrefix(link, va, length);
  if (bytes.length === 0) return;
  segments.push({ va, writable: written && (await isWritable(link, va, bytes)), bytes });
}

/** What can be read from `va` on: the kernel meets the end of memory only when it gets there. */
async function readPrefix(link: Link, va: number, length: number): Promise<Uint8Array> {
  const whole = await readMemory(link, va, length);
  if (whole.ok) return whole.value;
  const read = new Uint8Array(length);
  let at = 0;
  while (at < length) {
    const page = await readMemory(link, va + at, Math.min(PAGE - ((va + at) % PAGE), length - at));
    if (!page.ok) break;
    read.set(page.value, at);
    at += page.value.length;
  }
  return read.slice(0, at);
}

/** Writes the bytes that are there: only the first and the last, which is enough to meet every page of a small range. */
async function isWritable(link: Link, va: number, bytes: Uint8Array): Promise<boolean> {
  for (const at of new Set([0, bytes.length - 1])) {
    const tried = await link.call(PAGES, pagesApi.memWrite, { va: va + at, data: bytes.slice(at, at + 1) });
    if (!tried.ok) return false;
  }
  return true;
}

/** The argument as the kernel would find it. */
export interface Argument {
  readonly segments: Segment[];
  /** fd numbers that the argument names, in order, at most as many as were brought. */
  readonly fdNumbers: readonly number[];
  readonly returnsFile: boolean;
  /** Offset of an fd number that the call writes into the argument. */
  readonly fdAt: number | undefined;
}

/** Adds to `segments` what the request needs beyond them. */
export async function bringArgument(link: Link, def: AnyIoctlDef, arg: number, segments: Segment[]): Promise<Argument> {
  return def.kind === 'plain' ? bringPlain(link, def, arg, segments) : bringStruct(link, def, arg, segments);
}

/** Bytes that a plain argument can point at; a string ends with its page, or is not needed behind it. */
const PLAIN_LENGTH = { none: 0, value: 0, s32: 4, u32: 4, string: PAGE } as const;

async function bringPlain(link: Link, def: PlainIoctlDef, arg: number, segments: Segment[]): Promise<Argument> {
  const length = Math.min(PLAIN_LENGTH[def.arg], def.arg === 'string' ? PAGE - (arg % PAGE) : 4);
  if (def.arg !== 'none' && def.arg !== 'value') await bring(link, segments, arg, length, false);
  const fdNumbers = def.argIsFd ? numbersAt(bytesFrom(segments, arg), { offset: 0, count: 1, direction: 'in' }) : [];
  return { segments, fdNumbers, returnsFile: def.returnsFd, fdAt: undefined };
}

async function bringStruct(link: Link, def: IoctlDef, arg: number, segments: Segment[]): Promise<Argument> {
  await bring(link, segments, arg, def.struct.size, def.copyBack !== 'none');
  const bytes = bytesFrom(segments, arg);
  const cmd = decode(def.struct, bytes);
  const context = { arg: BigInt(arg), tail: bytes.subarray(def.struct.size) };
  for (const range of def.memory?.(cmd, context) ?? []) {
    if (range.access === 'pin' || range.va > BigInt(Number.MAX_SAFE_INTEGER)) continue;
    const length = Number(range.length < BigInt(MAX_FETCH) ? range.length : BigInt(MAX_FETCH));
    await bring(link, segments, Number(range.va), length, range.access !== 'in');
  }
  const slots = def.fds?.(cmd, context) ?? [];
  const made = slots.find((slot) => slot.direction === 'out');
  return {
    segments,
    fdNumbers: slots
      .filter((slot) => slot.direction === 'in')
      .flatMap((slot) => numbersAt(slot.va === undefined ? bytes : bytesFrom(segments, Number(slot.va)), slot)),
    returnsFile: made !== undefined || (def.returnsFd?.(cmd) ?? false),
    fdAt: made?.offset,
  };
}

const bytesFrom = (segments: readonly Segment[], va: number): Uint8Array => {
  const s = holding(segments, va);
  return s ? s.bytes.subarray(va - s.va) : new Uint8Array(0);
};

function numbersAt(bytes: Uint8Array, { offset, count }: FdSlot): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: number[] = [];
  for (let i = 0, at = offset; i < count && at + 4 <= bytes.length; i++, at += 4) found.push(view.getInt32(at, true));
  return found;
}

/** The capabilities behind fd numbers; numbers without a file are left out, and the service answers EBADF. */
export function capabilities(
  numbers: readonly number[],
  fileOf: (fd: number) => { readonly token: string; readonly owner: string } | undefined,
): FdArgument[] {
  return [...new Set(numbers)].flatMap((fd) => {
    const file = fileOf(fd);
    return file ? [{ fd, token: file.token, owner: file.owner }] : [];
  });
}

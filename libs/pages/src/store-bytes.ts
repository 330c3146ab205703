/**
 * The CPU's way to bytes of a store: what a driver inside the kernel does, without a device (semantics B7.4).
 *
 * Words: the *fast* way goes through the owner's address space and sees what is mapped there now; the *slow* way goes
 * through pages: held slots as they are held, the rest as the owner has them now.
 * Rule: all bytes or none: who may touch what is decided before the first byte moves.
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import { PAGE } from './frame-bytes.js';
import type { Frames } from './frames.js';
import type { Piece } from './run-map.js';
import type { Store } from './store.js';

export interface StoreBytes {
  /** Byte of the store, counted from its first page. */
  readonly at: number;
  readonly length: number;
  /** The caller is the owner of the memory and asks for nothing else than the fast way. */
  readonly fast: boolean;
}

/** EFAULT: a byte cannot be read (EINVAL in a file); ENOMEM: the host has no frame for it. */
export function readStore(store: Store, frames: Frames, { at, length, fast }: StoreBytes): Result<Uint8Array> {
  const { space } = store.payer.process;
  if (fast) return asFault(space.read(store.page * PAGE + at, length));
  const pieces = slowPieces(store, at, length, false);
  if (!pieces.ok) return pieces;
  const out = new Uint8Array(length);
  eachPart(pieces.value, at, length, (address, from, to) => frames.bytes.read(address, out.subarray(from, to)));
  return ok(out);
}

export function writeStore(store: Store, frames: Frames, where: StoreBytes, data: Uint8Array): Result<void> {
  const { space } = store.payer.process;
  if (where.fast) return asFault(space.write(store.page * PAGE + where.at, data));
  const pieces = slowPieces(store, where.at, data.length, true);
  if (!pieces.ok) return pieces;
  eachPart(pieces.value, where.at, data.length, (address, from, to) =>
    frames.bytes.write(address, data.subarray(from, to)),
  );
  return ok(undefined);
}

/** What would be SIGBUS for a program is EFAULT for the kernel's own copy. */
const asFault = <T>(copied: Result<T>): Result<T> => (!copied.ok && copied.errno === 'EIO' ? fail('EFAULT') : copied);

/**
 * The frames of the slots. A single page of a process is looked up in its memory as long as that exists; several, and pages
 * of files, go the way of a pin: held slots first, the rest with the store's own intent.
 */
function slowPieces(store: Store, at: number, length: number, write: boolean): Result<Piece[]> {
  const first = Math.floor(at / PAGE);
  const end = Math.ceil((at + length) / PAGE);
  const { source } = store;
  const single = end - first === 1 && !store.file && !store.payer.process.ended;
  const pages = { first: first + store.page, end: end + store.page };
  const missing = single ? [pages] : store.unpinnedPages(first, end);
  const writable = single ? write : store.writable;
  if (!missing.every((span) => source.pinnable(span.first, span.end, writable))) return fail(source.refusal);
  if (!source.populate(missing)) return fail('ENOMEM');
  return ok(single ? store.sourcePieces(first, end) : store.pieces(first, end));
}

/** The parts of [at, at + length) with their physical addresses; `from` and `to` count from `at`. */
function eachPart(
  pieces: readonly Piece[],
  at: number,
  length: number,
  visit: (address: number, from: number, to: number) => void,
): void {
  for (const { page, frame, count } of pieces) {
    const from = Math.max(page * PAGE - at, 0);
    const to = Math.min((page + count) * PAGE - at, length);
    visit(frame * PAGE + at + from - page * PAGE, from, to);
  }
}

/**
 * dma-bufs of /dev/udmabuf: pages of memfds, pinned where they are.
 *
 * Words: a *piece* is a range of whole pages of one memfd.
 * Rule: a dma-buf keeps its memfds and pins every page of its own from its making to its last close; nobody is charged.
 */
import {
  decode,
  fail,
  type Fail,
  ok,
  type Result,
  type StructOf,
  UDMABUF_CREATE,
  UDMABUF_CREATE_LIST,
  udmabuf_create,
  udmabuf_create_item,
  udmabuf_create_list,
  UDMABUF_LIST_LIMIT,
  UDMABUF_PAGE_LIMIT,
  type UserMemory,
} from '@vfiolab/uapi';
import { F_SEAL_FUTURE_WRITE, F_SEAL_SHRINK, F_SEAL_WRITE, type Run } from '@vfiolab/core';
import { PAGE } from './frame-bytes.js';
import type { Frames } from './frames.js';
import type { MemoryFile } from './memory-file.js';

/** Pages [first, end) of a file, and the frames that they had when they were pinned. */
export interface DmabufPiece {
  readonly file: MemoryFile;
  readonly first: number;
  readonly end: number;
  readonly frames: readonly Run[];
}

export class Udmabuf {
  constructor(readonly pieces: readonly DmabufPiece[]) {}

  get bytes(): number {
    return this.pieces.reduce((sum, { first, end }) => sum + (end - first) * PAGE, 0);
  }

  release(frames: Frames): void {
    for (const piece of this.pieces) {
      for (const run of piece.frames) frames.unpin(run);
      piece.file.letGo();
    }
  }
}

type Item = Pick<StructOf<typeof udmabuf_create>, 'memfd' | 'offset' | 'size'>;

/** What an ioctl of /dev/udmabuf asks for. EFAULT; EINVAL: the list is too long; ENOTTY: no ioctl of this device. */
export function itemsAsked(cmd: number, arg: bigint, user: UserMemory): Result<Item[]> {
  if (cmd === UDMABUF_CREATE.nr) {
    const bytes = user.read(arg, udmabuf_create.size);
    return bytes ? ok([decode(udmabuf_create, bytes)]) : fail('EFAULT');
  }
  if (cmd !== UDMABUF_CREATE_LIST.nr) return fail('ENOTTY');
  const head = user.read(arg, udmabuf_create_list.size);
  if (!head) return fail('EFAULT');
  const { count } = decode(udmabuf_create_list, head);
  if (count > UDMABUF_LIST_LIMIT) return fail('EINVAL');
  const { size } = udmabuf_create_item;
  const items = user.read(arg + BigInt(udmabuf_create_list.size), count * size);
  if (!items) return fail('EFAULT');
  return ok(Array.from({ length: count }, (_, i) => decode(udmabuf_create_item, items.subarray(i * size))));
}

/**
 * In the kernel's order: EINVAL: not whole pages, none, or over UDMABUF_PAGE_LIMIT; then of each piece EBADFD: no file in
 * memory; EINVAL: it may shrink, or is sealed against writing, or is shorter; ENOMEM.
 */
export function makeUdmabuf(
  items: readonly Item[],
  fileOf: (fd: number) => MemoryFile | undefined,
  frames: Frames,
): Result<Udmabuf> {
  const page = BigInt(PAGE);
  const limit = page * BigInt(UDMABUF_PAGE_LIMIT);
  let bytes = 0n;
  for (const { offset, size } of items) {
    bytes += size;
    if (offset % page !== 0n || size % page !== 0n || bytes > limit) return fail('EINVAL');
  }
  if (bytes === 0n) return fail('EINVAL');
  const pieces: DmabufPiece[] = [];
  for (const item of items) {
    const piece = pinPiece(item, fileOf(item.memfd), frames);
    if (!piece.ok) return undo(pieces, frames, piece);
    pieces.push(piece.value);
  }
  return ok(new Udmabuf(pieces));
}

function undo(pieces: readonly DmabufPiece[], frames: Frames, refusal: Fail): Fail {
  new Udmabuf(pieces).release(frames);
  return refusal;
}

function pinPiece({ offset, size }: Item, file: MemoryFile | undefined, frames: Frames): Result<DmabufPiece> {
  if (!file) return fail('EBADFD');
  if ((file.seals & F_SEAL_SHRINK) === 0 || file.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return fail('EINVAL');
  if (size === 0n || offset + size > BigInt(file.size)) return fail('EINVAL');
  const first = Number(offset) / PAGE;
  const end = first + Number(size) / PAGE;
  if (!file.populate([{ first, end }])) return fail('ENOMEM');
  const runs = file.pieces(first, end).map(({ frame, count }) => ({ frame, count }));
  for (const run of runs) frames.pin(run);
  file.use();
  return ok({ file, first, end, frames: runs });
}

/**
 * Commands of the I/O queues: the NVM command set (NVM Express 1.4, section 6).
 *
 * Rule: a range that does not lie in the namespace is refused before anything is moved; a write stores nothing unless all of
 * its data came.
 */
import type { Op } from '@vfiolab/core';
import type { Command, Outcome } from './command.js';
import type { Controller } from './controller.js';
import { NAMESPACE } from './identify.js';
import { BLOCK, BLOCKS } from './media.js';
import { MAX_TRANSFER } from './registers.js';
import * as status from './status.js';

type Handler = (on: Controller, command: Command) => Outcome | Op<Outcome>;

const refuse = (why: number): Outcome => ({ status: why });
const OK: Outcome = { status: status.SUCCESS };

/** In bytes. */
interface Range {
  readonly at: number;
  readonly length: number;
}

/** The blocks that a command names in dwords 10 to 12; a number: why they cannot be. */
function rangeOf(command: Command): Range | number {
  const first = command.dword(11) * 2 ** 32 + command.dword(10);
  return inNamespace(first, (command.dword(12) & 0xffff) + 1);
}

const inNamespace = (first: number, blocks: number): Range | number =>
  first + blocks > BLOCKS ? status.LBA_OUT_OF_RANGE : { at: first * BLOCK, length: blocks * BLOCK };

/** The same for commands that move data. */
function transferOf(command: Command): Range | number {
  const range = rangeOf(command);
  if (typeof range === 'number') return range;
  return range.length > MAX_TRANSFER || !command.usesPrps ? status.INVALID_FIELD : range;
}

function* read(on: Controller, command: Command): Op<Outcome> {
  const range = transferOf(command);
  if (typeof range === 'number') return refuse(range);
  return refuse(yield* on.host.send(command, on.media.read(range.at, range.length)));
}

function* write(on: Controller, command: Command): Op<Outcome> {
  const range = transferOf(command);
  if (typeof range === 'number') return refuse(range);
  const data = yield* on.host.fetch(command, range.length);
  if (typeof data === 'number') return refuse(data);
  on.media.write(range.at, data);
  return OK;
}

function writeZeroes(on: Controller, command: Command): Outcome {
  const range = rangeOf(command);
  if (typeof range === 'number') return refuse(range);
  on.media.clear(range.at, range.length);
  return OK;
}

const RANGE_BYTES = 16;
const DEALLOCATE = 4;

/** Dataset management: ranges of blocks that are not needed any more read zero; other hints are taken and forgotten. */
function* manage(on: Controller, command: Command): Op<Outcome> {
  const count = (command.dword(10) & 0xff) + 1;
  const list = yield* on.host.fetch(command, count * RANGE_BYTES);
  if (typeof list === 'number') return refuse(list);
  if (!(command.dword(11) & DEALLOCATE)) return OK;
  const view = new DataView(list.buffer, list.byteOffset, list.length);
  const ranges = Array.from({ length: count }, (_, i) => {
    const first = view.getBigUint64(i * RANGE_BYTES + 8, true);
    const blocks = view.getUint32(i * RANGE_BYTES + 4, true);
    return first > BigInt(BLOCKS) ? status.LBA_OUT_OF_RANGE : inNamespace(Number(first), blocks);
  });
  if (ranges.some((range) => typeof range === 'number')) return refuse(status.LBA_OUT_OF_RANGE);
  for (const range of ranges as Range[]) on.media.clear(range.at, range.length);
  return OK;
}

const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  // Flush: what was completed is stored already.
  [0x00, () => OK],
  [0x01, write],
  [0x02, read],
  [0x08, writeZeroes],
  [0x09, manage],
]);

export function ioCommand(on: Controller, command: Command): Outcome | Op<Outcome> {
  const handler = HANDLERS.get(command.opcode);
  if (!handler) return refuse(status.INVALID_OPCODE);
  const all = command.opcode === 0 && command.namespace === 0xffffffff;
  return command.namespace === NAMESPACE || all ? handler(on, command) : refuse(status.INVALID_NAMESPACE);
}

/**
 * A command's data in host memory: physical region pages (section 4.3).
 *
 * Words: PRP 1 is the first page, from any offset on. What does not end there is in the page of PRP 2, or, when it is more
 * than one page, in the pages of a list that PRP 2 points at; the last entry of a full list page leads to the next.
 * Rule: pieces that lie side by side are one DMA. A piece that does not get through ends the transfer.
 */
import type { Op } from '@vfiolab/core';
import { type ModelBus, PENDING } from '../model.js';
import type { Command } from './command.js';
import { DATA_TRANSFER_ERROR, PRP_OFFSET_INVALID, SUCCESS } from './status.js';

interface Piece {
  readonly address: bigint;
  readonly length: number;
}

const ENTRY = 8;

export class HostData {
  constructor(
    private readonly bus: ModelBus,
    private readonly pageShift: number,
  ) {}

  /** Sends bytes to the driver. Answers a status. */
  *send(command: Command, bytes: Uint8Array): Op<number> {
    const pieces = yield* this.pieces(command, bytes.length);
    if (typeof pieces === 'number') return pieces;
    let at = 0;
    for (const { address, length } of pieces) {
      const part = length === bytes.length ? bytes : bytes.slice(at, at + length);
      if ((yield* this.bus.dmaWrite(address, part)) !== true) return DATA_TRANSFER_ERROR;
      at += length;
    }
    return SUCCESS;
  }

  /** Fetches bytes from the driver; a number: the status of what went wrong. */
  *fetch(command: Command, length: number): Op<Uint8Array | number> {
    const pieces = yield* this.pieces(command, length);
    if (typeof pieces === 'number') return pieces;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      const read = yield* this.bus.dmaRead(piece.address, piece.length);
      if (!read || read === PENDING) return DATA_TRANSFER_ERROR;
      bytes.set(read, at);
      at += piece.length;
    }
    return bytes;
  }

  private *pieces({ prp1, prp2 }: Command, length: number): Op<Piece[] | number> {
    const page = 1 << this.pageShift;
    const first = Math.min(length, page - this.offsetIn(prp1));
    const pieces = [{ address: prp1, length: first }];
    const left = length - first;
    if (left === 0) return pieces;
    const pages = left <= page ? [prp2] : yield* this.list(prp2, Math.ceil(left / page));
    if (typeof pages === 'number') return pages;
    if (pages.some((address) => this.offsetIn(address) !== 0)) return PRP_OFFSET_INVALID;
    pages.forEach((address, i) => pieces.push({ address, length: Math.min(page, left - i * page) }));
    return joined(pieces);
  }

  /** `count` pages of a list that begins anywhere in its page and goes on in others. */
  private *list(start: bigint, count: number): Op<bigint[] | number> {
    if (this.offsetIn(start) % ENTRY !== 0) return PRP_OFFSET_INVALID;
    const pages: bigint[] = [];
    let at = start;
    while (pages.length < count) {
      const room = ((1 << this.pageShift) - this.offsetIn(at)) / ENTRY;
      const left = count - pages.length;
      const entries = yield* this.entries(at, Math.min(room, left));
      if (!entries) return DATA_TRANSFER_ERROR;
      const leads = left > room;
      pages.push(...(leads ? entries.slice(0, -1) : entries));
      if (!leads) continue;
      at = entries.at(-1)!;
      if (this.offsetIn(at) !== 0) return PRP_OFFSET_INVALID;
    }
    return pages;
  }

  private *entries(address: bigint, count: number): Op<bigint[] | undefined> {
    const bytes = yield* this.bus.dmaRead(address, count * ENTRY);
    if (!bytes || bytes === PENDING) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return Array.from({ length: count }, (_, i) => view.getBigUint64(i * ENTRY, true));
  }

  private offsetIn(address: bigint): number {
    return Number(address & BigInt((1 << this.pageShift) - 1));
  }
}

function joined(pieces: readonly Piece[]): Piece[] {
  const out: Piece[] = [];
  for (const piece of pieces) {
    const last = out.at(-1);
    if (last && last.address + BigInt(last.length) === piece.address)
      out[out.length - 1] = { address: last.address, length: last.length + piece.length };
    else out.push(piece);
  }
  return out;
}

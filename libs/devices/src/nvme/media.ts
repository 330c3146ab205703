/**
 * What a controller stores: one namespace of logical blocks.
 *
 * Rule: blocks that were never written read zero and take no memory. The media outlives resets and drivers.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';

export const BLOCK_SHIFT = 9;
export const BLOCK = 1 << BLOCK_SHIFT;
/** 64 MiB. */
export const BLOCKS = (64 * 1024 * 1024) / BLOCK;

const PAGE = 4096;
export const BLOCKS_PER_PAGE = PAGE / BLOCK;
const PAGES = (BLOCKS * BLOCK) / PAGE;

export class Media {
  /** Pages with something in them, by number. */
  private pages = new Map<number, Uint8Array>();

  /** `at` and `length` in bytes, inside of the media. */
  read(at: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (const { page, from, to, offset } of spans(at, length)) {
      const held = this.pages.get(page);
      if (held) out.set(held.subarray(from, to), offset);
    }
    return out;
  }

  write(at: number, data: Uint8Array): void {
    for (const { page, from, to, offset } of spans(at, data.length)) {
      const held = this.pages.get(page) ?? new Uint8Array(PAGE);
      held.set(data.subarray(offset, offset + to - from), from);
      this.pages.set(page, held);
    }
  }

  /** The bytes read zero from now on. */
  clear(at: number, length: number): void {
    for (const { page, from, to } of spans(at, length))
      if (to - from === PAGE) this.pages.delete(page);
      else this.pages.get(page)?.fill(0, from, to);
  }

  /** Pages with something in them. */
  get used(): number {
    return this.pages.size;
  }

  encode(w: ByteWriter): void {
    w.u32(this.pages.size);
    for (const page of [...this.pages.keys()].sort((a, b) => a - b)) {
      w.u32(page);
      w.bytes(this.pages.get(page)!);
    }
  }

  decode(r: ByteReader): void {
    this.pages = new Map();
    for (let left = r.u32(); left > 0; left--) {
      const page = r.u32();
      this.pages.set(page, r.bytes().slice());
    }
  }

  check(): string[] {
    const wrong = [...this.pages].filter(([page, { length }]) => page >= PAGES || length !== PAGE);
    return wrong.map(([page]) => `page ${page} is none of the media`);
  }
}

interface Span {
  readonly page: number;
  /** Bytes inside of the page. */
  readonly from: number;
  readonly to: number;
  /** Where they are in the whole. */
  readonly offset: number;
}

function* spans(at: number, length: number): Generator<Span> {
  for (let offset = 0; offset < length;) {
    const page = Math.floor((at + offset) / PAGE);
    const from = (at + offset) % PAGE;
    const to = Math.min(PAGE, from + length - offset);
    yield { page, from, to, offset };
    offset += to - from;
  }
}

/**
 * Memory inside of a device: of a disk, of a graphics card.
 *
 * Words: a *page* is 4 KiB of it. Pages that were never written read zero and take no room.
 * Rule: it holds so many pages and no more; a write for which there is no room changes nothing.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';

export const MEMORY_PAGE = 4096;

export class SparseMemory {
  /** Pages with something in them, by number. */
  private pages = new Map<number, Uint8Array>();

  /** `bytes`: its size, whole pages. */
  constructor(
    readonly bytes: number,
    private readonly mostPages = bytes / MEMORY_PAGE,
  ) {}

  /** `at` and `length` in bytes, inside of the memory. */
  read(at: number, length: number): Uint8Array {
    const first = at % MEMORY_PAGE;
    if (first + length <= MEMORY_PAGE) return this.readInPage((at - first) / MEMORY_PAGE, first, length);
    const out = new Uint8Array(length);
    for (const { page, from, to, offset } of spans(at, length)) {
      const held = this.pages.get(page);
      if (held) out.set(held.subarray(from, to), offset);
    }
    return out;
  }

  private readInPage(page: number, at: number, length: number): Uint8Array {
    return this.pages.get(page)?.slice(at, at + length) ?? new Uint8Array(length);
  }

  /** False: there is no room for what is new. */
  write(at: number, data: Uint8Array): boolean {
    const pieces = [...spans(at, data.length)];
    const fresh = pieces.filter(({ page }) => !this.pages.has(page)).length;
    if (this.pages.size + fresh > this.mostPages) return false;
    for (const { page, from, to, offset } of pieces) {
      const held = this.pages.get(page) ?? new Uint8Array(MEMORY_PAGE);
      held.set(data.subarray(offset, offset + to - from), from);
      this.pages.set(page, held);
    }
    return true;
  }

  /** The bytes read zero from now on. */
  clear(at: number, length: number): void {
    for (const { page, from, to } of spans(at, length))
      if (to - from === MEMORY_PAGE) this.pages.delete(page);
      else this.pages.get(page)?.fill(0, from, to);
  }

  /** All of it reads zero. */
  empty(): void {
    this.pages = new Map();
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
    const pages = this.bytes / MEMORY_PAGE;
    const wrong = [...this.pages].filter(([page, { length }]) => page >= pages || length !== MEMORY_PAGE);
    const full = this.pages.size > this.mostPages ? [`${this.pages.size} pages are held`] : [];
    return [...full, ...wrong.map(([page]) => `page ${page} is none of the memory`)];
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
    const page = Math.floor((at + offset) / MEMORY_PAGE);
    const from = (at + offset) % MEMORY_PAGE;
    const to = Math.min(MEMORY_PAGE, from + length - offset);
    yield { page, from, to, offset };
    offset += to - from;
  }
}

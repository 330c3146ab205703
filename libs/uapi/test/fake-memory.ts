/** A caller's memory for tests: pages that exist or do not, each readable and perhaps writable. */
import type { UserMemory } from '../src/user-memory.js';
import { PAGE_SIZE } from '../src/user-memory.js';

export class FakeMemory implements UserMemory {
  private readonly pages = new Map<bigint, { bytes: Uint8Array; writable: boolean }>();
  /** Longest single read asked for, bytes. */
  longestRead = 0;

  /** Maps whole pages that cover [va, va + length). */
  map(va: bigint, length: number, writable = true): this {
    for (let page = va / 4096n; page * 4096n < va + BigInt(length); page++) {
      this.pages.set(page, { bytes: new Uint8Array(PAGE_SIZE), writable });
    }
    return this;
  }

  /** Places bytes so that they end exactly where an unmapped page begins; returns their address. */
  placeAtEnd(bytes: Uint8Array, writable = true): bigint {
    const va = 0x10_0000n - BigInt(bytes.length);
    this.map(va, bytes.length);
    this.write(va, bytes);
    for (const page of this.pages.values()) page.writable = writable;
    return va;
  }

  read(va: bigint, length: number): Uint8Array | undefined {
    this.longestRead = Math.max(this.longestRead, length);
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      const at = va + BigInt(i);
      const page = this.pages.get(at / 4096n);
      if (!page) return undefined;
      out[i] = page.bytes[Number(at % 4096n)]!;
    }
    return out;
  }

  write(va: bigint, bytes: Uint8Array): boolean {
    const places = [...bytes].map((_, i) => va + BigInt(i));
    if (!places.every((at) => this.pages.get(at / 4096n)?.writable)) return false;
    places.forEach((at, i) => (this.pages.get(at / 4096n)!.bytes[Number(at % 4096n)] = bytes[i]!));
    return true;
  }
}

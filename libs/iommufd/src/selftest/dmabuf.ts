/**
 * dma-bufs of the self-test: memory that an exporter lends out and can take back.
 *
 * Words: a *store* over a dma-buf is what one MAP_FILE of it put behind an area; *revoking* takes the memory away from
 * every store that there is, for good (semantics B8.3).
 * Rule: a dma-buf lives while a file or a store has it. Its memory is device memory: frames of its own behind all that a
 * process can have, never pinned and charged to nobody.
 */
import { fail, ok, PAGE_SIZE, type Result } from '@vfiolab/uapi';
import type { ByteReader, ByteWriter, Run, View } from '@vfiolab/core';
import type { Store } from '../ioas.js';

/** dma-bufs of one host; one more is ENOMEM. */
export const MAX_DMABUFS = 4096;
/** Pages of one dma-buf (trace c070). */
export const MAX_DMABUF_PAGES = 512;
/** Stores over one dma-buf; one more is ENOMEM. */
export const MAX_DMABUF_STORES = 1 << 16;
/** The last frames that a page table with the mock's half pages can name. */
const FIRST_FRAME = 2 ** 31 - MAX_DMABUFS * MAX_DMABUF_PAGES;

export class Dmabuf {
  readonly kind = 'mock';
  /** Only mock devices reach it. */
  readonly mock = true;
  revoked = false;
  fileOpen = true;
  readonly stores = new Map<number, Store>();
  nextStore = 1;

  constructor(
    /** Which of the MAX_DMABUFS places its frames are in. */
    readonly slot: number,
    readonly pages: number,
    private readonly forget: (dmabuf: Dmabuf) => void,
  ) {}

  get bytes(): bigint {
    return BigInt(this.pages * PAGE_SIZE);
  }

  /** Its frames [first, first + count). */
  runs(first: number, count: number): Run[] {
    if (first + count > this.pages) throw new Error(`pages ${first} + ${count} of a dma-buf of ${this.pages}`);
    return [{ frame: FIRST_FRAME + this.slot * MAX_DMABUF_PAGES + first, count }];
  }

  /**
   * A store over bytes [va, va + length), with one reference, which is the caller's. How the file was opened does not matter
   * (trace c070). EINVAL: empty, or not all inside; ENODEV: revoked (c071); ENOMEM: there are MAX_DMABUF_STORES.
   */
  open(client: string, va: bigint, length: bigint, writable: boolean): Result<Store> {
    if (length === 0n || va + length > this.bytes) return fail('EINVAL');
    if (this.revoked) return fail('ENODEV');
    if (this.stores.size >= MAX_DMABUF_STORES) return fail('ENOMEM');
    const store = { id: this.nextStore++, client, va, writable, areas: 1, unpinning: 0, dmabuf: this, revoked: false };
    this.stores.set(store.id, store);
    return ok(store);
  }

  /** The store has no references any more. */
  release(store: Store): void {
    this.stores.delete(store.id);
    this.settle();
  }

  closeFile(): void {
    this.fileOpen = false;
    this.settle();
  }

  /** From now on maps are refused; stores that exist lose the memory and never get it back. */
  revoke(): void {
    this.revoked = true;
    for (const store of this.stores.values()) store.revoked = true;
  }

  private settle(): void {
    if (!this.fileOpen && this.stores.size === 0) this.forget(this);
  }
}

/** All of a host, by their slots. */
export class Dmabufs {
  private readonly slots = new Map<number, Dmabuf>();

  get size(): number {
    return this.slots.size;
  }

  /** A dma-buf whose file is open, in the lowest free slot. ENOMEM: there are MAX_DMABUFS. */
  make(pages: number): Result<Dmabuf> {
    if (this.size >= MAX_DMABUFS) return fail('ENOMEM');
    let slot = 0;
    while (this.slots.has(slot)) slot++;
    return ok(this.put(slot, pages));
  }

  private put(slot: number, pages: number): Dmabuf {
    const dmabuf = new Dmabuf(slot, pages, () => this.slots.delete(slot));
    this.slots.set(slot, dmabuf);
    return dmabuf;
  }

  /** Of a slot that is known to be taken. */
  at(slot: number): Dmabuf {
    return this.slots.get(slot)!;
  }

  private all(): Dmabuf[] {
    return [...this.slots.values()].sort((a, b) => a.slot - b.slot);
  }

  encode(w: ByteWriter, view: View): void {
    w.list(this.all(), (d) => {
      w.u32(d.slot);
      w.u32(d.pages);
      w.bool(d.revoked);
      w.bool(d.fileOpen);
      if (view === 'snapshot') w.num(d.nextStore);
    });
  }

  /** Stores come back with the areas that show them. */
  decode(r: ByteReader): void {
    r.list(() => {
      const dmabuf = this.put(r.u32(), r.u32());
      dmabuf.revoked = r.bool();
      dmabuf.fileOpen = r.bool();
      dmabuf.nextStore = r.num();
    });
  }

  check(): string[] {
    return this.all().flatMap((d) => checkDmabuf(d).map((broken) => `dma-buf ${d.slot}: ${broken}`));
  }

  describe(): string[] {
    return this.all().map(
      (d) => `dma-buf ${d.slot}: ${d.pages} pages, ${d.stores.size} stores${d.revoked ? ', revoked' : ''}`,
    );
  }
}

function checkDmabuf({ fileOpen, stores, revoked }: Dmabuf): string[] {
  const broken: string[] = [];
  const all = [...stores.values()];
  if (!fileOpen && all.length === 0) broken.push('I24: nobody has it');
  if (all.some(({ areas }) => areas <= 0)) broken.push('I24: a store without areas is left');
  if (revoked && !all.every((store) => store.revoked)) broken.push('I02: it is revoked, and a store of it is not');
  return broken;
}

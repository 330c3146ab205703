/**
 * Memory that processes have registered for DMA (semantics B4.2). It belongs to the process: its containers share it.
 *
 * Words: `used` counts the containers that have registered it, and what the kernel leaks; `mapped` counts the TCEs over it.
 * Rule: registrations of one process do not overlap. One that is mapped is not let go: its last user's UNREGISTER only loses
 * count, so it and its charge stay until the process ends (SURPRISES 60); the kernel then loses the pages, the lab does not.
 */
import type { ByteReader, ByteWriter, Run, View } from '@vfiolab/core';

export interface Registration {
  readonly id: number;
  readonly client: string;
  /** What pays for it, at `pages`. */
  readonly mm: number;
  readonly va: bigint;
  readonly bytes: bigint;
  readonly store: number;
  /** Its frames of 4 KiB, in order. */
  readonly runs: readonly Run[];
  /** log2 of the largest IOMMU page that fits its pages. */
  readonly pageShift: number;
  used: number;
  mapped: number;
}

export class Registrations {
  private readonly byId = new Map<number, Registration>();
  private nextId = 1;

  get size(): number {
    return this.byId.size;
  }

  [Symbol.iterator](): Iterator<Registration> {
    return this.byId.values();
  }

  /** Takes out what a process that has ended left behind. */
  takeAll(client: string): Registration[] {
    const left = [...this.byId.values()].filter((r) => r.client === client);
    for (const each of left) this.remove(each);
    return left;
  }

  /** One that a container or a TCE named. */
  existing(id: number): Registration {
    const found = this.byId.get(id);
    if (!found) throw new Error(`registration ${id} does not exist`);
    return found;
  }

  /** The registration of exactly this range. */
  exact(client: string, va: bigint, bytes: bigint): Registration | undefined {
    return this.find((r) => r.client === client && r.va === va && r.bytes === bytes);
  }

  /** The registration that has all of the range. */
  containing(client: string, va: bigint, bytes: bigint): Registration | undefined {
    return this.find((r) => r.client === client && r.va <= va && va + bytes <= r.va + r.bytes);
  }

  overlaps(client: string, va: bigint, bytes: bigint): boolean {
    return this.find((r) => r.client === client && r.va < va + bytes && va < r.va + r.bytes) !== undefined;
  }

  private find(is: (r: Registration) => boolean): Registration | undefined {
    for (const each of this.byId.values()) if (is(each)) return each;
    return undefined;
  }

  add(made: Omit<Registration, 'id'>): Registration {
    const registration = { id: this.nextId++, ...made };
    this.byId.set(registration.id, registration);
    return registration;
  }

  remove({ id }: Registration): void {
    this.byId.delete(id);
  }

  encode(w: ByteWriter, view: View): void {
    w.list([...this.byId.values()], ({ id, client, mm, va, bytes, store, runs, pageShift, used, mapped }) => {
      w.str(client);
      w.u64(va);
      w.u64(bytes);
      w.u8(pageShift);
      w.num(used);
      w.num(mapped);
      if (view === 'meaning') return;
      w.num(id);
      w.num(mm);
      w.num(store);
      w.list([...runs], ({ frame, count }) => (w.num(frame), w.num(count)));
    });
    if (view === 'snapshot') w.num(this.nextId);
  }

  decode(r: ByteReader): void {
    for (const each of r.list(() => decodeOne(r))) this.byId.set(each.id, each);
    this.nextId = r.num();
  }
}

function decodeOne(r: ByteReader): Registration {
  const [client, va, bytes, pageShift] = [r.str(), r.u64(), r.u64(), r.u8()];
  const [used, mapped, id, mm, store] = [r.num(), r.num(), r.num(), r.num(), r.num()];
  const runs = r.list((): Run => ({ frame: r.num(), count: r.num() }));
  return { id, client, mm, va, bytes, store, runs, pageShift, used, mapped };
}

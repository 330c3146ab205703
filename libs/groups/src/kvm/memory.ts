/**
 * Memory slots of a VM: which memory of the process is which memory of the guest. [kvm_main.c, __kvm_set_memory_region]
 *
 * Words: a slot's number has the address space in its high half. The guest's addresses of one address space do not overlap.
 * Rule: checks in the kernel's order; a slot moves or changes its flags, but never its memory.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { fail, type kvm_userspace_memory_region, ok, type Result, type StructOf } from '@vfiolab/uapi';
import type { KvmTraits } from './arch.js';

type Region = StructOf<typeof kvm_userspace_memory_region>;

const KVM_MEM_LOG_DIRTY_PAGES = 1;
const KVM_MEM_READONLY = 2;
/** Slots of one address space, with the kernel's own. */
const MAX_SLOTS = 32767;
const MAX_PAGES = (1n << 31n) - 1n;
/** Where addresses of programs end. */
const END_OF_USERS = 1n << 47n;

interface Slot {
  readonly flags: number;
  readonly guest: bigint;
  readonly bytes: bigint;
  readonly va: bigint;
}

export class GuestMemory {
  private readonly slots = new Map<number, Slot>();

  /** EINVAL: flags, pages, addresses, number, nothing to delete, other memory than before; EEXIST: it overlaps another. */
  set(region: Region, { readOnlySlots, addressSpaces }: KvmTraits, pageShift: number): Result<undefined> {
    const { slot, flags, guest_phys_addr: guest, memory_size: bytes, userspace_addr: va } = region;
    const known = KVM_MEM_LOG_DIRTY_PAGES | (readOnlySlots ? KVM_MEM_READONLY : 0);
    const mask = (1n << BigInt(pageShift)) - 1n;
    if (flags & ~known || ((bytes | guest | va) & mask) !== 0n) return fail('EINVAL');
    if (va + bytes > END_OF_USERS) return fail('EINVAL');
    if (slot >>> 16 >= addressSpaces || (slot & 0xffff) >= MAX_SLOTS) return fail('EINVAL');
    if (guest + bytes >= 1n << 64n || bytes >> BigInt(pageShift) > MAX_PAGES) return fail('EINVAL');
    const old = this.slots.get(slot);
    if (bytes === 0n) return this.slots.delete(slot) ? ok(undefined) : fail('EINVAL');
    if (old && (old.va !== va || old.bytes !== bytes || (old.flags ^ flags) & KVM_MEM_READONLY)) return fail('EINVAL');
    if (old?.guest !== guest && this.overlaps(slot, guest, bytes)) return fail('EEXIST');
    this.slots.set(slot, { flags, guest, bytes, va });
    return ok(undefined);
  }

  private overlaps(slot: number, guest: bigint, bytes: bigint): boolean {
    for (const [other, each] of this.slots)
      if (
        other !== slot &&
        other >>> 16 === slot >>> 16 &&
        each.guest < guest + bytes &&
        guest < each.guest + each.bytes
      )
        return true;
    return false;
  }

  /** The process's address of a guest's, in the first address space; undefined: no memory is there. */
  addressOf(guest: bigint): bigint | undefined {
    for (const [slot, each] of this.slots)
      if (slot >>> 16 === 0 && each.guest <= guest && guest < each.guest + each.bytes)
        return each.va + (guest - each.guest);
    return undefined;
  }

  encode(w: ByteWriter): void {
    w.list(
      [...this.slots].sort(([a], [b]) => a - b),
      ([slot, { flags, guest, bytes, va }]) => {
        w.u32(slot);
        w.u32(flags);
        w.u64(guest);
        w.u64(bytes);
        w.u64(va);
      },
    );
  }

  decode(r: ByteReader): void {
    r.list(() => this.slots.set(r.u32(), { flags: r.u32(), guest: r.u64(), bytes: r.u64(), va: r.u64() }));
  }
}

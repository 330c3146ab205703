/**
 * KVM's VMs as far as VFIO meets them, and their VFIO device. [virt/kvm/kvm_main.c, vfio.c]
 *
 * Why here: what a VM holds of VFIO is files of groups and of devices, and what it asks of them (which devices, behind which
 * IOMMU) this service knows; only one call to a device's actor is needed for a device's file. There is no guest: no virtual
 * CPUs, no interrupts, no memory of its own.
 * Words: the VM's *VFIO device* holds files (semantics A5.2), or before Linux 5.19 groups (A5.1). A VM is *noncoherent* while
 * one of them may do DMA past the caches: then KVM lets the guest use instructions like wbinvd.
 * Rule: a VM lives while one of its files is open or a device keeps it, from first open to last close.
 */
import { type Address, type ByteReader, type ByteWriter, Lock, type View } from '@vfiolab/core';
import type { VfioGroup } from '../vfio-group.js';
import { GuestMemory } from './memory.js';
import { GuestTceTable } from './tce-table.js';

/** What the VFIO device holds: a group, by its file or as an external user; or a device's file. */
export type Held =
  | { readonly kind: 'group'; readonly group: VfioGroup }
  | { readonly kind: 'device'; readonly owner: Address; readonly file: number };

export const isSame = (a: Held, b: Held): boolean =>
  a.kind === 'group' ? b.kind === 'group' && a.group === b.group : sameFile(a, b);

const sameFile = (a: { owner: Address; file: number }, b: Held): boolean =>
  b.kind === 'device' && a.owner === b.owner && a.file === b.file;

export class VfioDeviceOfVm {
  /** Held by every call on it. */
  readonly lock = new Lock();
  held: readonly Held[] = [];
  noncoherent = false;
}

export class Vm {
  /** Taken while its devices come and go. */
  readonly lock = new Lock();
  vfio: VfioDeviceOfVm | undefined;
  readonly memory = new GuestMemory();
  /** By LIOBN. */
  readonly tables = new Map<bigint, GuestTceTable>();
  /** One hypercall at a time, and no link comes or goes during it. */
  readonly hypercalls = new Lock();

  constructor(
    readonly id: number,
    /** The process that made it, and may use it. */
    readonly client: Address,
  ) {}

  encode(w: ByteWriter, view: View): void {
    if (view === 'snapshot') w.num(this.id);
    w.str(this.client);
    this.memory.encode(w);
    w.list(this.tables, ([, table]) => table.encode(w, view));
    w.bool(this.vfio !== undefined);
    if (!this.vfio) return;
    w.bool(this.vfio.noncoherent);
    w.list(this.vfio.held, (held) => encodeHeld(w, held, view));
  }

  static decode(r: ByteReader, groupOf: (minor: number) => VfioGroup): Vm {
    const vm = new Vm(r.num(), r.str());
    vm.memory.decode(r);
    for (const table of r.list(() => GuestTceTable.decode(r))) vm.tables.set(table.shape.liobn, table);
    if (!r.bool()) return vm;
    vm.vfio = new VfioDeviceOfVm();
    vm.vfio.noncoherent = r.bool();
    vm.vfio.held = r.list(() => decodeHeld(r, groupOf));
    return vm;
  }
}

function encodeHeld(w: ByteWriter, held: Held, view: View): void {
  w.bool(held.kind === 'group');
  if (held.kind === 'group') return view === 'snapshot' ? w.num(held.group.minor) : w.str(held.group.name);
  w.str(held.owner);
  if (view === 'snapshot') w.num(held.file);
}

function decodeHeld(r: ByteReader, groupOf: (minor: number) => VfioGroup): Held {
  if (r.bool()) return { kind: 'group', group: groupOf(r.num()) };
  return { kind: 'device', owner: r.str(), file: r.num() };
}

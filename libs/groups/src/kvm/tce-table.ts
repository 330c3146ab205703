/**
 * TCE tables of guests on POWER, and the windows that they are linked to. [arch/powerpc/kvm/book3s_64_vio.c]
 *
 * Words: a *LIOBN* is the number by which a guest names a table; a *link* leads from a table to a window of a container.
 * Rule: what a guest writes into a table goes into every window that it is linked to, or (H_TOO_HARD) into none. What an emulated
 * device would read of a table is not kept: there is none.
 */
import { type ByteReader, type ByteWriter, call, CONTAINER, containerApi, type Op, type View } from '@vfiolab/core';
import { fail, H_PARAMETER, H_SUCCESS, H_TOO_HARD, ok, type Result, TCE_PCI_READ, TCE_PCI_WRITE } from '@vfiolab/uapi';
import type { VfioGroup } from '../vfio-group.js';
import type { Vm } from './vm.js';

interface Link {
  readonly container: number;
  readonly window: number;
  /** How often it was made. */
  readonly count: number;
}

/** As KVM_CREATE_SPAPR_TCE_64 has it. */
export interface TableShape {
  readonly liobn: bigint;
  readonly pageShift: number;
  readonly offset: bigint;
  readonly size: bigint;
}

export class GuestTceTable {
  links: readonly Link[] = [];

  constructor(
    readonly shape: TableShape,
    /** Memory that pays for it, at `pages`, and with how many frames of 4 KiB. */
    readonly mm: number,
    readonly frames: number,
  ) {}

  /** To the window of the group's container that fits. EINVAL: there is none. */
  *link({ backing }: VfioGroup): Op<Result<undefined>> {
    if (backing.kind !== 'container') return fail('EINVAL');
    const { container } = backing;
    const { pageShift, offset, size } = this.shape;
    const found = yield* call(CONTAINER, containerApi.tceWindow, { container, pageShift, offset, size });
    if (!found.ok) return found;
    const { window } = found.value;
    const known = this.links.find((each) => each.container === container && each.window === window);
    const others = this.links.filter((each) => each !== known);
    this.links = [...others, { container, window, count: (known?.count ?? 0) + 1 }];
    return ok(undefined);
  }

  /** A group is taken from the VM: links to its windows are one less. */
  unlink({ backing }: VfioGroup): void {
    if (backing.kind !== 'container') return;
    const { container } = backing;
    const fewer = ({ count, ...link }: Link): Link => ({
      ...link,
      count: count - (link.container === container ? 1 : 0),
    });
    this.links = this.links.map(fewer).filter(({ count }) => count > 0);
  }

  /** H_PUT_TCE, once its table is found. Answers H_*. */
  *put(vm: Vm, ioba: bigint, tce: bigint): Op<number> {
    const { pageShift, offset, size } = this.shape;
    const mask = (1n << BigInt(pageShift)) - 1n;
    const page = ioba >> BigInt(pageShift);
    if ((ioba & mask) !== 0n || page < offset || page - offset >= size) return H_PARAMETER;
    const prot = protOf(tce);
    const guest = tce & ~BigInt(TCE_PCI_READ | TCE_PCI_WRITE);
    const va = prot === 0 ? 0n : (guest & mask) === 0n ? vm.memory.addressOf(guest) : undefined;
    if (va === undefined) return H_TOO_HARD;
    const { client } = vm;
    if (prot !== 0)
      for (const { container, window } of this.links)
        if (!(yield* call(CONTAINER, containerApi.tceRegistered, { container, window, client, va }))) return H_TOO_HARD;
    for (const { container, window } of this.links) {
      const wanted = { container, window, client, pageShift, entry: Number(page), va, prot };
      if (!(yield* call(CONTAINER, containerApi.tcePut, wanted))) return H_TOO_HARD;
    }
    return H_SUCCESS;
  }

  encode(w: ByteWriter, view: View): void {
    const { liobn, pageShift, offset, size } = this.shape;
    w.u64(liobn);
    w.u8(pageShift);
    w.u64(offset);
    w.u64(size);
    w.num(this.frames);
    w.num(this.links.length);
    if (view === 'meaning') return;
    w.num(this.mm);
    w.list(this.links, ({ container, window, count }) => {
      w.num(container);
      w.num(window);
      w.num(count);
    });
  }

  static decode(r: ByteReader): GuestTceTable {
    const shape = { liobn: r.u64(), pageShift: r.u8(), offset: r.u64(), size: r.u64() };
    const frames = r.num();
    r.num();
    const table = new GuestTceTable(shape, r.num(), frames);
    table.links = r.list(() => ({ container: r.num(), window: r.num(), count: r.num() }));
    return table;
  }
}

/** Bits of a TCE are PROT_READ and PROT_WRITE of the iommu protocol: 1 lets the device read, 2 write. */
const protOf = (tce: bigint): number => Number(tce & BigInt(TCE_PCI_READ | TCE_PCI_WRITE));

const [MIN_SHIFT, MAX_SHIFT] = [12, 34];
const U64_MAX = (1n << 64n) - 1n;

export const isShape = ({ pageShift, offset, size }: TableShape): boolean =>
  size !== 0n &&
  pageShift >= MIN_SHIFT &&
  pageShift <= MAX_SHIFT &&
  BigInt.asUintN(64, offset + size) <= U64_MAX >> BigInt(pageShift);

/** Bytes of the kernel's struct without its array of pages, and the most that it gives out at once. */
const [HEAD, LARGEST] = [120n, 1n << 24n];

const pagesIn = (bytes: bigint, pageShift: number): bigint =>
  (bytes + (1n << BigInt(pageShift)) - 1n) >> BigInt(pageShift);

/** Frames of 4 KiB that a table is charged, with its list of pages; `fits`: the list can be had. */
export function tableCost({ size }: TableShape, pageShift: number): { frames: number; fits: boolean } {
  const tables = pagesIn(BigInt.asUintN(64, size * 8n), pageShift);
  const list = HEAD + tables * 8n;
  const pages = tables + pagesIn(list, pageShift);
  return { frames: Number(pages) * 2 ** (pageShift - MIN_SHIFT), fits: list <= LARGEST };
}

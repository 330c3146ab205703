/**
 * Page tables of processes as far as they map BARs: which accesses fault, and how large a piece each fault brings in.
 *
 * Words: the *order* of a piece is log2 of its 4 KiB pages. A *zap* takes all pieces of a device's BARs away.
 * Rule: a piece is as large as address, offset in the BAR and ends of the mapping allow [vfio_pci_core.c, huge_fault]. BARs
 * lie on multiples of their size, so the offset is as aligned as the physical address.
 */
import { FAULT_ORDERS, type FaultOrder } from './costs.js';

const PAGE = 4096;
/** File offset of the next region. */
const REGION = 2 ** 40;

interface BarMapping {
  readonly device: string;
  /** The process, and the file that it has mapped. */
  readonly client: string;
  readonly token: string;
  readonly va: number;
  readonly length: number;
  readonly offset: number;
  /** Addresses of the pieces that are in the page table, by their order. */
  readonly present: Map<number, FaultOrder>;
}

export class BarFaults {
  private mappings: BarMapping[] = [];

  constructor(private readonly largest: number) {}

  /** A mapping that the device has just agreed to. */
  add(mapping: Omit<BarMapping, 'present'>): void {
    this.mappings.push({ ...mapping, length: Math.ceil(mapping.length / PAGE) * PAGE, present: new Map() });
  }

  /** munmap(2): mappings that are gone as a whole; of others the pieces inside. */
  remove(client: string, va: number, length: number): void {
    const end = va + Math.ceil(length / PAGE) * PAGE;
    this.mappings = this.mappings.filter((m) => m.client !== client || m.va < va || m.va + m.length > end);
    for (const { client: of, present } of this.mappings)
      if (of === client) for (const at of [...present.keys()]) if (at >= va && at < end) present.delete(at);
  }

  forget(client: string): void {
    this.mappings = this.mappings.filter((m) => m.client !== client);
  }

  zap(device: string): void {
    for (const m of this.mappings) if (m.device === device) m.present.clear();
  }

  /** An access through a mapping. The order of the piece that its fault brings in; undefined: it is there already. */
  touch(device: string, client: string, token: string, offset: number): FaultOrder | undefined {
    const found = this.mappings.find(
      (m) =>
        m.device === device &&
        m.client === client &&
        m.token === token &&
        offset >= m.offset &&
        offset < m.offset + m.length,
    );
    if (!found) return undefined;
    const at = found.va + (offset - found.offset);
    for (const order of FAULT_ORDERS) if (found.present.get(startOf(at, order)) === order) return undefined;
    const order = FAULT_ORDERS.find((each) => each <= this.largest && fits(found, at, each))!;
    found.present.set(startOf(at, order), order);
    return order;
  }
}

const startOf = (at: number, order: FaultOrder): number => at - (at % (PAGE * 2 ** order));

function fits({ va, length, offset }: BarMapping, at: number, order: FaultOrder): boolean {
  const size = PAGE * 2 ** order;
  const start = startOf(at, order);
  const inBar = (offset % REGION) + (start - va);
  return order === 0 || (start >= va && start + size <= va + length && inBar % size === 0);
}

/** Random use of what SPAPR containers have of their own: registered memory, windows, and switches. */
import {
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
} from '@vfiolab/uapi';
import { range } from './memory-moves.js';
import { any, hasBackend, likely, type Move } from './moves.js';
import type { Program } from './program.js';

export async function register(
  p: Program,
  container = likely(p.chance, p.model.containers, hasBackend),
): Promise<void> {
  const { chance } = p;
  const known = any(chance, container.registered);
  if (known && chance.once(3)) {
    const fields = { vaddr: known.va, size: known.bytes };
    const { errno } = await p.ioctl(container.fd, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, fields);
    if (!errno) container.registered = container.registered.filter((each) => each !== known);
    return;
  }
  const { va, bytes, plain } = range(p);
  const { errno } = await p.ioctl(container.fd, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, { vaddr: va, size: bytes });
  if (!errno) container.registered.push({ va, bytes, plain });
}

async function windows(p: Program): Promise<void> {
  const { chance, model } = p;
  const container = likely(chance, model.containers, hasBackend);
  if (chance.once(2)) {
    const start_addr = any(chance, container.windows) ?? 0n;
    const { errno } = await p.ioctl(container.fd, VFIO_IOMMU_SPAPR_TCE_REMOVE, { start_addr });
    if (errno) return;
    container.windows = container.windows.filter((each) => each !== start_addr);
    for (const m of container.space.maps) m.stale = true;
    return;
  }
  const fields = { page_shift: chance.pick([12, 16, 16, 24]), window_size: 1n << BigInt(20 + chance.below(10)) };
  const { errno, out } = await p.ioctl(container.fd, VFIO_IOMMU_SPAPR_TCE_CREATE, { ...fields, levels: 1 });
  if (!errno) container.windows.push(out.start_addr);
}

async function switchPower(p: Program): Promise<void> {
  const { chance, model } = p;
  const container = likely(chance, model.containers, hasBackend);
  const turn = chance.below(3);
  if (turn === 0) {
    for (const m of container.space.maps) m.stale = true;
    await p.plain(container.fd, VFIO_IOMMU_DISABLE);
  } else if (turn === 1) await p.plain(container.fd, VFIO_IOMMU_ENABLE);
  else await p.ioctl(container.fd, VFIO_EEH_PE_OP, { op: chance.below(11) });
}

const has: Move['has'] = ({ containers }, { yard }) => yard.power && containers.length > 0;

export const SPAPR_MOVES: readonly Move[] = [
  { name: 'spapr register', weight: 8, has, run: (p) => register(p) },
  { name: 'spapr windows', weight: 4, has, run: windows },
  { name: 'spapr switch', weight: 2, has, run: switchPower },
];

/**
 * Programs on POWER hosts: see container-lab.ts.
 *
 * Rule: a page of the kernel has 64 KiB, a page of the default window 4 KiB.
 */
import {
  type Errno,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
} from '@vfiolab/uapi';
import { ContainerLab, type ContainerLabOptions, type VfioProgram } from './container-lab.js';

export const ALONE = '0000:01:00.0';
export const OTHER = '0002:03:00.0';
/** Behind a bridge from PCI Express to PCI. */
export const BRIDGED = ['0003:02:01.0', '0003:02:02.0'] as const;
export const [V1, V2] = [2, 7];
export const KERNEL_PAGE = 0x10000;
export const TCE = 0x1000n;

export const powerLab = (
  machine: ContainerLabOptions['machine'] = 'P-powernv9',
  more: Pick<ContainerLabOptions, 'kvm' | 'iommu'> = {},
) => ContainerLab.boot({ machine, profile: '6.12', ...more });

/** The start of a new window, or the errno. */
export async function createWindow(p: VfioProgram, container: number, pageShift: number, size: bigint) {
  const fields = { page_shift: pageShift, window_size: size, levels: 1 };
  const { errno, out } = await p.ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, fields);
  return errno ?? out.start_addr;
}

export const removeWindow = async (p: VfioProgram, container: number, start: bigint): Promise<Errno | undefined> =>
  (await p.ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, { start_addr: start })).errno;

/** New memory, registered with the container. */
export async function registeredMemory(p: VfioProgram, container: number, pages: number, fill?: number) {
  const va = await p.memory(pages * KERNEL_PAGE, fill);
  const fields = { vaddr: va, size: BigInt(pages * KERNEL_PAGE) };
  const { ret, errno } = await p.ioctl(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, fields);
  if (ret !== 0 || errno) throw new Error(`REGISTER_MEMORY: ${ret} ${errno}`);
  return va;
}

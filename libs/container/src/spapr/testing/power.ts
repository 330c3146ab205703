/**
 * A POWER host for tests of DMA windows: see testing/bench.ts.
 *
 * The machine has two host bridges: one with two functions (0000:00:1e.0, 0000:00:1e.1), one with a single function.
 */
import {
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
} from '@vfiolab/uapi';
import { CONTAINER } from '@vfiolab/core';
import type { Credentials } from '@vfiolab/client';
import { Bench, type TestGroup } from '../../testing/bench.js';

const edu = { vendor: '0x1234', device: '0x11e8', class: '0x00ff00', header_type: 0, driver: 'vfio-pci' };
const machine = JSON.stringify({
  format: 'pci-topology-fixture/1',
  id: 'power',
  functions: [
    { bdf: '0000:00:1e.0', ...edu, multifunction: true },
    { bdf: '0000:00:1e.1', ...edu, multifunction: true },
    { bdf: '0001:00:12.0', ...edu },
  ],
});

export const FIRST: TestGroup = { group: 0, members: ['0000:00:1e.0', '0000:00:1e.1'], noiommu: false };
export const SECOND: TestGroup = { group: 1, members: ['0001:00:12.0'], noiommu: false };
export const [V1, V2] = [2, 7];
/** The kernel's page. */
export const PAGE = 0x10000n;
/** A page of the default window. */
export const TCE = 0x1000n;
export const SECOND_WINDOW = 1n << 59n;
export const [GET_INFO, CREATE, REMOVE, REGISTER, UNREGISTER, EEH] = [
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
  VFIO_EEH_PE_OP,
];

export interface PowerOptions {
  readonly iommu?: string;
  readonly pageShift?: number;
  readonly groups?: readonly TestGroup[];
  readonly credentials?: Credentials;
}

/** A container of this version with its groups, and memory of 8 pages of the kernel. */
export async function power(type: number, { iommu = 'ppc64-pnv', pageShift = 16, ...more }: PowerOptions = {}) {
  const b = await Bench.boot({ machine, iommu, pageShift }, more.credentials);
  const ready = await b.ready(type, more.groups ?? [FIRST]);
  return { b, ...ready, va: await b.memory(Number(8n * PAGE)) };
}

/** The same with all of the memory registered. */
export async function registered(options: PowerOptions = {}) {
  const made = await power(V2, options);
  const { ret, errno } = await made.b.ioctl(made.fd, REGISTER, { vaddr: made.va, size: 8n * PAGE });
  if (ret !== 0 || errno) throw new Error(`REGISTER_MEMORY: ${ret} ${errno}`);
  return made;
}

/** The container service for people, as one text. */
export const described = (b: Bench): string => b.host.host.actor(CONTAINER)!.machine.core.describe().join('\n');

/** What the services find wrong, and whether the state survives being written and read. */
export const wholeness = (b: Bench) => ({ broken: b.host.broken(), reread: b.reread() });
export const WHOLE = { broken: [], reread: true };

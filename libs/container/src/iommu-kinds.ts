/**
 * What containers must know of an IOMMU kind.
 *
 * Rule: a difference between kinds is a row here, never a comparison of names.
 */
import type { Errno } from '@vfiolab/uapi';
import type { TcePlatform } from './spapr/platform.js';
import { POWERNV } from './spapr/powernv.js';
import { PSERIES } from './spapr/pseries.js';

export interface IommuTraits {
  /** MSI writes of a device reach only interrupts that were routed to it (semantics A2.8). */
  readonly isolatesMsi: boolean;
  /** What a group's attach to a nested type1 container answers. */
  readonly nestedAttach: Errno;
  /** POWER: containers have DMA windows, and type1 is not there (trace p010). */
  readonly tce?: TcePlatform;
}

const PLAIN: IommuTraits = { isolatesMsi: true, nestedAttach: 'EINVAL' };
// Its domains are made for a device, and then it is too late to choose the second stage.
const ARM: IommuTraits = { ...PLAIN, nestedAttach: 'EPERM' };

const KINDS: ReadonlyMap<string, IommuTraits> = new Map([
  ['arm-smmu-v3', ARM],
  ['arm-smmu-v3-s2', ARM],
  ['arm-smmu-v3-nested', ARM],
  ['arm-smmu-v3-canwbs', ARM],
  ['arm-smmu-v3-cmdqv', ARM],
  ['arm-smmu-v3-full', ARM],
  ['virtio-iommu', { ...PLAIN, isolatesMsi: false }],
  ['ppc64-pnv', { ...PLAIN, tce: POWERNV }],
  ['ppc64-pnv-full', { ...PLAIN, tce: POWERNV }],
  ['ppc64-pseries', { ...PLAIN, tce: PSERIES }],
]);

export const traitsOf = (kind: string): IommuTraits => KINDS.get(kind) ?? PLAIN;

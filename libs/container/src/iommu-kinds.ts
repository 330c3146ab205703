/**
 * What containers must know of an IOMMU kind.
 *
 * Rule: a difference between kinds is a row here, never a comparison of names.
 */
import type { Errno } from '@vfiolab/uapi';

export interface IommuTraits {
  /** MSI writes of a device reach only interrupts that were routed to it (semantics A2.8). */
  readonly isolatesMsi: boolean;
  /** Domains can block DMA that is not coherent, and type1 always asks for it (trace b017). */
  readonly enforcesCoherency: boolean;
  /** What a group's attach to a nested type1 container answers. */
  readonly nestedAttach: Errno;
}

const PLAIN: IommuTraits = { isolatesMsi: true, enforcesCoherency: false, nestedAttach: 'EINVAL' };

const KINDS: ReadonlyMap<string, IommuTraits> = new Map([
  ['intel-vtd', PLAIN],
  ['intel-vtd-39', PLAIN],
  ['amd-vi', { ...PLAIN, enforcesCoherency: true }],
  // Its domains are made for a device, and then it is too late to choose the second stage.
  ['arm-smmu-v3', { ...PLAIN, nestedAttach: 'EPERM' }],
  ['virtio-iommu', { ...PLAIN, isolatesMsi: false }],
]);

export const traitsOf = (kind: string): IommuTraits => KINDS.get(kind) ?? PLAIN;

/**
 * What the groups service must know of an IOMMU kind. A host is made with one of these kinds.
 *
 * Rule: a difference between kinds is a row here, never a comparison of names.
 */
import type { EndpointUnit } from '@vfiolab/pci';

export interface IommuKindTraits {
  /** Its machines are PCs: vfio-pci knows of VGA and of Intel graphics there. */
  readonly x86: boolean;
  /** False: no function is behind an IOMMU and no group exists. */
  readonly translates: boolean;
  /** MSI writes of a device reach only interrupts that were routed to it (interrupt remapping, ITS). (A2.8) */
  readonly isolatesMsi: boolean;
  /** Messages are writes that the IOMMU translates (semantics C2.3). */
  readonly translatesMsi?: boolean;
  /** A function whose requests look like another's is not behind it: they have a stream each. */
  readonly separatesStreams?: boolean;
  /** Text of iommu_groups/N/type: the flush queue is the default on x86 only. */
  readonly defaultDomain: string;
  /** Interrupt controllers can add MSI-X vectors of a function that has some (semantics D5.1). */
  readonly msixGrows: boolean;
  /** Kernels of its machines were built to export BARs as dma-bufs (trace b064: not on Arm). */
  readonly exportsBars: boolean;
  /** Where functions write their messages to: the local APIC, or the ITS behind the software window (C2.2, C2.3). */
  readonly msiAddress: bigint;
  /** Groups are POWER's partitionable endpoints, and there are no nodes of single devices (A1.10, capability 9). */
  readonly endpoints?: EndpointUnit;
  /** The model behind functions; `dma-engine` when left out. */
  readonly model?: string;
  /** IOMMUs below /sys/class/iommu: `name` with a number from 0, below `parent`; undefined: nobody wrote them down here. */
  readonly unit?: { readonly name: string; readonly many: boolean; parent(name: string): string };
}

const virtual = (name: string) => ({ name, many: true, parent: () => 'virtual' });
/** The self-test registers its IOMMU where there is no other (a051). */
const SELFTEST = { name: 'iommufd_selftest_iommu.', many: false, parent: (name: string) => `platform/${name}` };

const LOCAL_APIC = 0xfee00000n;
/** Where PHB4 takes messages of 32 bits; in QEMU also under a hypervisor. */
const PHB_DOORBELL = 0xffff0000n;
const ITS_DOORBELL = 0x8000040n;

const X86: IommuKindTraits = {
  x86: true,
  translates: true,
  isolatesMsi: true,
  defaultDomain: 'DMA-FQ',
  msixGrows: true,
  exportsBars: true,
  msiAddress: LOCAL_APIC,
};

const VTD: IommuKindTraits = { ...X86, unit: virtual('dmar') };
const AMD: IommuKindTraits = { ...X86, unit: virtual('ivhd') };
const ARM: IommuKindTraits = {
  x86: false,
  separatesStreams: true,
  translates: true,
  translatesMsi: true,
  isolatesMsi: true,
  defaultDomain: 'DMA',
  msixGrows: false,
  exportsBars: false,
  msiAddress: ITS_DOORBELL,
};

/** Interrupts are isolated by the PE, but the kernel does not say so (SURPRISES 69); its groups have no type (71). */
const POWER: IommuKindTraits = {
  x86: false,
  translates: true,
  isolatesMsi: false,
  defaultDomain: 'unknown',
  msixGrows: false,
  exportsBars: false,
  msiAddress: PHB_DOORBELL,
  model: 'dma-engine-big-endian',
};

export const IOMMU_KINDS: ReadonlyMap<string, IommuKindTraits> = new Map([
  ['intel-vtd', VTD],
  ['intel-vtd-39', VTD],
  ['intel-vtd-sm', VTD],
  ['intel-vtd-fs', VTD],
  ['intel-vtd-scalable', VTD],
  ['amd-vi', AMD],
  ['amd-vi-hd', AMD],
  ['arm-smmu-v3', ARM],
  ['arm-smmu-v3-s2', ARM],
  ['arm-smmu-v3-nested', ARM],
  ['arm-smmu-v3-canwbs', ARM],
  ['arm-smmu-v3-cmdqv', ARM],
  ['arm-smmu-v3-full', ARM],
  ['virtio-iommu', { ...X86, isolatesMsi: false }],
  ['ppc64-pnv', { ...POWER, endpoints: 'bus' }],
  ['ppc64-pseries', { ...POWER, endpoints: 'host-bridge' }],
  ['none', { ...X86, translates: false, isolatesMsi: false, defaultDomain: '', unit: SELFTEST }],
]);

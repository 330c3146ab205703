/**
 * What the groups service must know of an IOMMU kind. A host is made with one of these kinds.
 *
 * Rule: a difference between kinds is a row here, never a comparison of names.
 */
import { type MessageForm, ZPCI } from '@vfiolab/core';
import type { EndpointUnit } from '@vfiolab/pci';
import type { Processors } from './kvm/arch.js';

export interface IommuKindTraits {
  /** Of its machines. */
  readonly processors: Processors;
  /** False: no function is behind an IOMMU and no group exists. */
  readonly translates: boolean;
  /** MSI writes of a device reach only interrupts that were routed to it (interrupt remapping, ITS). (A2.8) */
  readonly isolatesMsi: boolean;
  /** Messages are writes that the IOMMU translates (semantics C2.3). */
  readonly translatesMsi?: boolean;
  /** A function whose requests look like another's is not behind it: they have a stream each. */
  readonly separatesStreams?: boolean;
  /** Firmware names the IOMMU of each function: a kernel can bring it to its IOMMU as late as when a driver meets it. */
  readonly namedByFirmware?: boolean;
  /** Text of iommu_groups/N/type: the flush queue is the default on x86 only. */
  readonly defaultDomain: string;
  /** Interrupt controllers can add MSI-X vectors of a function that has some (semantics D5.1). */
  readonly msixGrows: boolean;
  /** Kernels of its machines were built to export BARs as dma-bufs (trace b064: not on Arm). */
  readonly exportsBars: boolean;
  /** Where functions write their messages to: the local APIC, or the ITS behind the software window (C2.2, C2.3). */
  readonly msiAddress: bigint;
  /** What messages name; their number when left out. */
  readonly messages?: MessageForm;
  /** Firmware keeps functions on the first bus below a host bridge awake (OPAL, trace d046). */
  readonly fixesPower?: boolean;
  /** Firmware manages PCI Express ports, so the kernel's driver for them is not there (OPAL). */
  readonly firmwarePorts?: boolean;
  /** Firmware has a device tree, in which functions without a class are called that. */
  readonly unclassified?: string;
  /** Functions come from the device tree, which says of no ROM that it is prefetchable. */
  readonly windowsFromTree?: boolean;
  /** Misc devices that the platform registers before any driver does: they have the first numbers. */
  readonly platformMisc?: readonly string[];
  /** Groups are POWER's partitionable endpoints, and there are no nodes of single devices (A1.10, capability 9). */
  readonly endpoints?: EndpointUnit;
  /** Functions of s390: each is a group, and says more of itself than PCI has (A1.10). */
  readonly zpci?: boolean;
  /** A partitionable endpoint that has an error is frozen (semantics C10.5). */
  readonly freezes?: boolean;
  /** The model behind functions; `dma-engine` when left out. */
  readonly model?: string;
  /**
   * IOMMUs below /sys/class/iommu: `name` with a number from 0, below `parent`; `many`: one for each unit, or for each PCI domain,
   * whose number it has then in 4 digits; undefined: nobody wrote them down here.
   */
  readonly unit?: { readonly name: string; readonly many: false | 'units' | 'domains'; parent(name: string): string };
}

const virtual = (name: string, many: 'units' | 'domains' = 'units') => ({ name, many, parent: () => 'virtual' });
/** The self-test registers its IOMMU where there is no other (a051). */
const SELFTEST = {
  name: 'iommufd_selftest_iommu.',
  many: false as const,
  parent: (name: string) => `platform/${name}`,
};

const LOCAL_APIC = 0xfee00000n;
/** Where PHB4 takes messages of 64 bits (trace d053), and where QEMU's hypervisor does. */
const PHB_DOORBELL = 1n << 60n;
const HYPERVISOR_DOORBELL = 1n << 42n;
const ITS_DOORBELL = 0x8000040n;

const X86: IommuKindTraits = {
  processors: 'x86',
  translates: true,
  isolatesMsi: true,
  defaultDomain: 'DMA-FQ',
  msixGrows: true,
  exportsBars: true,
  msiAddress: LOCAL_APIC,
};

const VTD: IommuKindTraits = { ...X86, messages: 'handle', unit: virtual('dmar') };
/** Without interrupt remapping. */
const PLAIN_APIC: IommuKindTraits = { ...X86, isolatesMsi: false, messages: 'vector' };
const AMD: IommuKindTraits = { ...X86, unit: virtual('ivhd') };
const ARM: IommuKindTraits = {
  processors: 'arm64',
  separatesStreams: true,
  namedByFirmware: true,
  translates: true,
  translatesMsi: true,
  isolatesMsi: true,
  defaultDomain: 'DMA',
  msixGrows: false,
  exportsBars: false,
  msiAddress: ITS_DOORBELL,
};

/** Every interrupt goes through the function's own adapter. Bridges are not seen. */
const S390: IommuKindTraits = {
  processors: 's390',
  translates: true,
  isolatesMsi: true,
  defaultDomain: 'DMA-FQ',
  msixGrows: false,
  exportsBars: true,
  msiAddress: ZPCI.msiAddress,
  zpci: true,
};

/** Interrupts are isolated by the PE, but the kernel does not say so (SURPRISES 69); its groups have no type (71). */
const POWER: IommuKindTraits = {
  processors: 'power',
  translates: true,
  isolatesMsi: false,
  defaultDomain: 'unknown',
  msixGrows: false,
  exportsBars: false,
  msiAddress: PHB_DOORBELL,
  model: 'dma-engine-big-endian',
  unit: virtual('iommu-phb', 'domains'),
};

const POWERNV: IommuKindTraits = {
  ...POWER,
  endpoints: 'bus',
  fixesPower: true,
  firmwarePorts: true,
  unclassified: 'device',
};
const PSERIES: IommuKindTraits = {
  ...POWER,
  endpoints: 'host-bridge',
  msiAddress: HYPERVISOR_DOORBELL,
  unclassified: 'legacy-device',
  windowsFromTree: true,
  platformMisc: ['papr-sysparm'],
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
  ['virtio-iommu', { ...PLAIN_APIC, namedByFirmware: true }],
  ['s390', S390],
  ['ppc64-pnv', POWERNV],
  ['ppc64-pnv-full', { ...POWERNV, freezes: true }],
  ['ppc64-pseries', PSERIES],
  ['none', { ...PLAIN_APIC, translates: false, defaultDomain: '', unit: SELFTEST }],
]);

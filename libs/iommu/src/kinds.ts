/**
 * Kinds of IOMMU: which page tables a driver makes for which flags, and what else its hardware can do.
 *
 * Words: a *kind* names the IOMMU of a host, as an operator does; a *table* pairs a format with the flags of
 * IOMMU_HWPT_ALLOC under which the driver makes it; a *guest table* is one that a guest writes itself.
 * Rule: facts are those of recorded kernels (b091, c007, n001 to n012, d002, d019) and of semantics C3; kinds that nobody
 * recorded (`intel-vtd-scalable`, `amd-vi-hd`, `arm-smmu-v3-full`, `ppc64-pnv-full`) are the same drivers on hardware with every bit set, and
 * `arm-smmu-v3-cmdqv` is Tegra241's. What differs between releases is named in `profile-flags.ts`.
 */
import { DOMAIN_DIRTY_TRACKING, DOMAIN_NEST_PARENT, DOMAIN_PASID, type ReservedRegion, ZPCI } from '@vfiolab/core';
import * as formats from './formats.js';
import type { Format } from './formats.js';
import { amdInfo, cmdqvInfo, type Info, NO_INFO, smmuInfo, vtdInfo } from './hardware-info.js';
import type { DriverFlags } from './profile-flags.js';

export interface Table {
  readonly format: Format;
  /** Exactly these sets of flags. */
  readonly takes: readonly number[];
}

/** Guest tables: on a parent HWPT, or on a virtual IOMMU. */
export type GuestTable = 'vtd' | 'smmu';

export interface Kind {
  readonly name: string;
  /** The first that takes the flags is made. */
  readonly tables: readonly Table[];
  /** DMA windows in the place of paging domains: see `windowsAlloc` of the protocol. */
  readonly windows?: Format;
  readonly reserved: readonly ReservedRegion[];
  readonly info: Info;
  /** Told only to those who ask for its type. */
  readonly moreInfo?: readonly Info[];
  readonly guestTable?: GuestTable;
  /** The driver has an operation for guest tables on a HWPT, whether or not the hardware can. */
  readonly nestsOnHwpt: boolean;
  /** Types of virtual IOMMU on offer. */
  readonly viommus: readonly number[];
  /** log2 of the PASIDs of a device at most; 0: none. */
  readonly pasidBits: number;
  /** Page requests: `required`: a device without them cannot be attached to a HWPT with a fault queue; `stall`: every device has them. */
  readonly pageRequests: 'required' | 'optional' | 'stall';
  /** An error freezes the group that it comes from (POWER). */
  readonly freezes?: boolean;
  /** ms that its driver waits for a device to answer an invalidation; left out: for as long as the device is there. */
  readonly atsPatience?: number;
  /** Entries have dirty bits. */
  readonly dirty: boolean;
  /** Can make every access cache-coherent, whatever the device asks for. */
  readonly snoopControl: boolean;
  /** A domain belongs to the unit that it was made for. */
  readonly ownUnit: boolean;
  /** Hardware ids of domains in one unit, and whether attaching takes one or making. */
  readonly domainIds: number;
  readonly idsAt: 'attach' | 'alloc';
}

const [NEST, DIRTY, PASID] = [DOMAIN_NEST_PARENT, DOMAIN_DIRTY_TRACKING, DOMAIN_PASID];

const region = (start: bigint, last: bigint, type: ReservedRegion['type']): ReservedRegion => ({ start, last, type });
/** Writes here are interrupts on x86 (semantics C2.2). */
const X86_MSI = region(0xfee00000n, 0xfeefffffn, 'msi');
/** HyperTransport's window on AMD (semantics C2.2). */
const HYPERTRANSPORT = region(0xfd00000000n, 0xffffffffffn, 'reserved');
/** Where the kernel places doorbell pages on Arm (semantics C2.3). */
const ARM_SW_MSI = region(0x8000000n, 0x80fffffn, 'sw-msi');

const PLAIN = {
  info: NO_INFO,
  nestsOnHwpt: false,
  viommus: [],
  pasidBits: 0,
  pageRequests: 'optional',
  dirty: false,
  snoopControl: false,
  ownUnit: false,
  domainIds: 65536,
  idsAt: 'alloc',
} as const satisfies Partial<Kind>;

const vtd = (name: string, tables: readonly Table[], info: Info, more: Partial<Kind> = {}): Kind => ({
  ...PLAIN,
  name,
  tables,
  reserved: [X86_MSI],
  info,
  nestsOnHwpt: true,
  pageRequests: 'required',
  idsAt: 'attach',
  ...more,
});

const smmu = (name: string, stages: { s1: boolean; s2: boolean }, f: DriverFlags, more: Partial<Kind> = {}): Kind => {
  const s1 = {
    format: f.largePages ? formats.SMMU_S1_64K : formats.SMMU_S1,
    takes: f.smmuMakesTables ? [0, PASID] : [0],
  };
  const s2 = { format: f.largePages ? formats.SMMU_S2_64K : formats.SMMU_S2, takes: stages.s1 ? [] : [0] };
  const nested = stages.s1 && stages.s2 && f.smmuMakesTables;
  const below = nested ? { ...s2, takes: [NEST] } : s2;
  return {
    ...PLAIN,
    name,
    tables: [...(stages.s1 ? [s1] : []), ...(stages.s2 ? [below] : [])],
    reserved: [ARM_SW_MSI],
    info: f.smmuTellsRegisters ? smmuInfo(stages) : NO_INFO,
    nestsOnHwpt: f.everyDriverNestsOnHwpt,
    ownUnit: true,
    atsPatience: SMMU_PATIENCE,
    ...more,
  };
};

const [ARM_VIOMMU, CMDQV_VIOMMU] = [1, 2];
/** 100,000 looks of 1 us each [amd/iommu.c]; a second for a CMD_SYNC [arm-smmu-v3.c]. */
const [AMD_PATIENCE, SMMU_PATIENCE] = [100, 1000];

/** What the kernel of a profile makes of the IOMMUs of these names. */
const makers: Readonly<Record<string, (f: DriverFlags) => Kind>> = {
  'intel-vtd': (f) =>
    vtd('intel-vtd', [{ format: secondStage(f), takes: [0, PASID] }], vtdInfo(0xd2008c222f0606n, 'legacy')),
  'intel-vtd-39': (f) =>
    vtd(
      'intel-vtd-39',
      [{ format: f.vtdWriteReads ? formats.VTD_39_WRITE_READS : formats.VTD_39, takes: [0, PASID] }],
      vtdInfo(0xd2008c22260206n, 'legacy'),
    ),
  'intel-vtd-sm': (f) =>
    vtd('intel-vtd-sm', [{ format: secondStage(f), takes: [0, PASID] }], vtdInfo(0xd2008c222f0606n, 'second-stage')),
  'intel-vtd-fs': () =>
    vtd(
      'intel-vtd-fs',
      [{ format: formats.VTD_FIRST, takes: [0, PASID] }],
      vtdInfo(0x1d2008c222f0606n, 'first-stage'),
      { pasidBits: 20 },
    ),
  'intel-vtd-scalable': () =>
    vtd(
      'intel-vtd-scalable',
      [
        { format: formats.VTD_FIRST, takes: [0, PASID] },
        {
          format: formats.VTD_48,
          takes: [NEST, DIRTY, NEST | DIRTY, NEST | PASID, DIRTY | PASID, NEST | DIRTY | PASID],
        },
      ],
      vtdInfo(0x1d2008c222f0606n, 'full'),
      { guestTable: 'vtd', pasidBits: 20, dirty: true, snoopControl: true },
    ),
  'amd-vi': (f) => amd('amd-vi', [{ format: amdV1(f), takes: [0] }], f),
  'amd-vi-hd': (f) =>
    amd(
      'amd-vi-hd',
      [
        { format: amdV1(f), takes: [0, DIRTY, NEST, NEST | DIRTY] },
        { format: formats.AMD_V2, takes: [PASID] },
      ],
      f,
      { dirty: true, pasidBits: 20, info: f.amdTellsRegisters ? amdInfo('full') : NO_INFO },
    ),
  'arm-smmu-v3': (f) => smmu('arm-smmu-v3', { s1: true, s2: false }, f),
  'arm-smmu-v3-s2': (f) => smmu('arm-smmu-v3-s2', { s1: false, s2: true }, f),
  'arm-smmu-v3-nested': (f) => smmu('arm-smmu-v3-nested', { s1: true, s2: true }, f),
  'arm-smmu-v3-canwbs': (f) => smmu('arm-smmu-v3-canwbs', { s1: true, s2: true }, f, { ...arm(f), snoopControl: true }),
  'arm-smmu-v3-cmdqv': (f) => {
    const base = smmu('arm-smmu-v3-cmdqv', { s1: true, s2: true }, f, { ...arm(f), snoopControl: true });
    return f.smmuMakesTables ? { ...base, viommus: [ARM_VIOMMU, CMDQV_VIOMMU], moreInfo: [cmdqvInfo()] } : base;
  },
  'arm-smmu-v3-full': (f) => {
    const base = smmu('arm-smmu-v3-full', { s1: true, s2: true }, f);
    const [first] = base.tables;
    const tables = base.tables.map((t) =>
      t === first && f.smmuMakesTables ? { ...t, takes: [0, PASID, DIRTY, DIRTY | PASID] } : t,
    );
    const info = f.smmuTellsRegisters ? smmuInfo({ s1: true, s2: true, full: true }) : NO_INFO;
    const hardware = { dirty: f.smmuMakesTables, pasidBits: 20, pageRequests: 'stall', snoopControl: true } as const;
    return { ...base, ...arm(f), tables, info, ...hardware };
  },
  'ppc64-pnv': () => power('ppc64-pnv', formats.TCE_POWERNV),
  'ppc64-pnv-full': () => ({ ...power('ppc64-pnv-full', formats.TCE_POWERNV), freezes: true }),
  'ppc64-pseries': () => power('ppc64-pseries', formats.TCE_PSERIES),
  s390: () => ({
    ...PLAIN,
    name: 's390',
    tables: [{ format: formats.S390, takes: [0] }],
    reserved: [region(0n, ZPCI.startDma - 1n, 'reserved'), region(ZPCI.endDma + 1n, formats.S390.last, 'reserved')],
  }),
  'virtio-iommu': () => ({
    ...PLAIN,
    name: 'virtio-iommu',
    tables: [{ format: formats.VIRTIO, takes: [0] }],
    reserved: [X86_MSI],
  }),
};

const power = (name: string, windows: Format): Kind => ({ ...PLAIN, name, tables: [], windows, reserved: [] });
const secondStage = (f: DriverFlags): Format => (f.vtdWriteReads ? formats.VTD_48_WRITE_READS : formats.VTD_48);
const amdV1 = (f: DriverFlags): Format => (f.amdKnows48Bits ? formats.AMD_V1_48 : formats.AMD_V1);
/** Guest tables through a virtual IOMMU need a kernel that has them. */
const arm = (f: DriverFlags): Partial<Kind> => (f.smmuMakesTables ? { guestTable: 'smmu', viommus: [ARM_VIOMMU] } : {});

const amd = (name: string, tables: readonly Table[], f: DriverFlags, more: Partial<Kind> = {}): Kind => ({
  ...PLAIN,
  name,
  tables,
  reserved: [X86_MSI, HYPERTRANSPORT],
  info: f.amdTellsRegisters ? amdInfo('recorded') : NO_INFO,
  nestsOnHwpt: f.everyDriverNestsOnHwpt,
  snoopControl: true,
  atsPatience: AMD_PATIENCE,
  ...more,
});

/** The kind of a name; undefined for hosts without an IOMMU ('none') and kinds that nobody wrote down here. */
export const kindOf = (name: string, flags: DriverFlags): Kind | undefined =>
  Object.hasOwn(makers, name) ? makers[name]!(flags) : undefined;

/** The table that the driver makes for the flags; undefined: EOPNOTSUPP. */
export const tableFor = ({ tables }: Kind, flags: number): Format | undefined =>
  tables.find(({ takes }) => takes.includes(flags))?.format;

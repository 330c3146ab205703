/**
 * Where kernel releases differ in their IOMMU drivers, as named facts.
 *
 * Rule: no other file of this library compares releases. Source: the same programs run on 6.12.117 and 7.2.13.
 */

export interface DriverFlags {
  /** The kernel has pages of 64 KiB, a choice of its build, and asks IOMMUs for none that are smaller. */
  readonly largePages: boolean;
  /** VT-d: an entry that may be written may be read (DIFF 18). */
  readonly vtdWriteReads: boolean;
  /** AMD-Vi: apertures end at 2^48 (DIFF 18b). */
  readonly amdKnows48Bits: boolean;
  readonly amdTellsRegisters: boolean;
  readonly smmuTellsRegisters: boolean;
  /** SMMUv3: flags of IOMMU_HWPT_ALLOC, guest tables and virtual IOMMUs (c007). */
  readonly smmuMakesTables: boolean;
  /** A group's doorbell is mapped wherever the group goes, and vectors need a domain (SURPRISES 73). */
  readonly keepsDoorbells: boolean;
  /** Every driver that takes flags is asked for a guest table on a HWPT, so the parent is judged first (DIFF 18c). */
  readonly everyDriverNestsOnHwpt: boolean;
}

const BEFORE: Omit<DriverFlags, 'largePages'> = {
  vtdWriteReads: true,
  amdKnows48Bits: false,
  amdTellsRegisters: false,
  smmuTellsRegisters: false,
  smmuMakesTables: false,
  keepsDoorbells: false,
  everyDriverNestsOnHwpt: true,
};

const SINCE_7_2: Omit<DriverFlags, 'largePages'> = {
  vtdWriteReads: false,
  amdKnows48Bits: true,
  amdTellsRegisters: true,
  smmuTellsRegisters: true,
  smmuMakesTables: true,
  keepsDoorbells: true,
  everyDriverNestsOnHwpt: false,
};

export const driverFlagsOf = (profile: string, pageShift = 12): DriverFlags => ({
  ...(profile === '6.12' ? BEFORE : SINCE_7_2),
  largePages: pageShift > 12,
});

/**
 * What IOMMU_GET_HW_INFO hands out: the raw registers of an IOMMU, from which a VMM derives what its guest may have.
 *
 * Rule: registers and abilities of a kind agree (semantics C3.3): a bit is set exactly when the lab does what it promises.
 */
import { CMDQV } from '@vfiolab/core';

export interface Info {
  readonly type: number;
  readonly data: Uint8Array;
}

/** A driver that has nothing to say. */
export const NO_INFO: Info = { type: 0, data: new Uint8Array(0) };

const bit = (n: number): bigint => 1n << BigInt(n);
/** QI, interrupt remapping, pass-through and the rest of QEMU's model (b091). */
const VTD_ECAP = 0xf00f4an;
const [VTD_SC, VTD_NEST, VTD_PRS, VTD_SRS] = [bit(7), bit(26), bit(29), bit(31)];
const [VTD_PASID, VTD_SMTS, VTD_SSADS, VTD_SSTS, VTD_FSTS] = [bit(40), bit(43), bit(45), bit(46), bit(47)];
/** 20 bits of PASID. */
const VTD_PSS = 19n << 35n;

const VTD_ECAPS = {
  legacy: VTD_ECAP,
  'second-stage': VTD_ECAP | VTD_SRS | VTD_SMTS | VTD_SSTS,
  'first-stage': VTD_ECAP | VTD_PSS | VTD_PASID | VTD_SMTS | VTD_FSTS,
  full:
    VTD_ECAP | VTD_SC | VTD_NEST | VTD_PRS | VTD_SRS | VTD_PSS | VTD_PASID | VTD_SMTS | VTD_SSADS | VTD_SSTS | VTD_FSTS,
} as const;
/** Nest parents must map read-only pages writable: an erratum of the recorded machines' model number. */
const ERRATUM = 1;

/** {u32 flags, u32 0, u64 CAP, u64 ECAP} */
export function vtdInfo(cap: bigint, ecap: keyof typeof VTD_ECAPS): Info {
  const data = new Uint8Array(24);
  const view = new DataView(data.buffer);
  view.setUint32(0, ecap === 'full' ? 0 : ERRATUM, true);
  view.setBigUint64(8, cap, true);
  view.setBigUint64(16, VTD_ECAPS[ecap], true);
  return { type: 1, data };
}

const AMD_EFR = 0x29d3n;
/** Hardware access and dirty bits: HASup and HDSup. */
const AMD_HAD = bit(49) | bit(52);

/** {u64 EFR, u64 EFR2} */
export function amdInfo(efr: 'recorded' | 'full'): Info {
  const data = new Uint8Array(16);
  new DataView(data.buffer).setBigUint64(0, efr === 'full' ? AMD_EFR | AMD_HAD : AMD_EFR, true);
  return { type: 4, data };
}

const [S2P, S1P] = [1, 2];
/** IDR0 without its stages, IDR1, IDR3 and IDR5 of the recorded machines (n001). */
const IDR0 = 0x0d441018;
const [IDR1, IDR3, IDR5, AIDR] = [0x02730010, 0x1414, 0x74, 1];
/** HTTU = 2: access and dirty bits. STALL_MODEL = 2: every transaction can stall. */
const HTTU = 2 << 6;
const STALL_MASK = 3 << 24;
const STALL_FORCED = 2 << 24;
/** IDR1.SSIDSIZE = 20. */
const SSIDSIZE = 20 << 6;

/** {u32 flags, u32 0, u32 IDR0 to IDR5, u32 IIDR, u32 AIDR} */
export function smmuInfo({ s1, s2, full = false }: { s1: boolean; s2: boolean; full?: boolean }): Info {
  const data = new Uint8Array(40);
  const view = new DataView(data.buffer);
  const stages = IDR0 | (s1 ? S1P : 0) | (s2 ? S2P : 0);
  view.setUint32(8, full ? (stages & ~STALL_MASK) | STALL_FORCED | HTTU : stages, true);
  view.setUint32(12, full ? IDR1 | SSIDSIZE : IDR1, true);
  view.setUint32(20, IDR3, true);
  view.setUint32(28, IDR5, true);
  view.setUint32(36, AIDR, true);
  return { type: 2, data };
}

/** {u32 flags, u8 version, u8 log2 of queues, u8 log2 of stream ids, u8 0}: what a guest may use of a CMDQV. */
export function cmdqvInfo(): Info {
  const data = Uint8Array.of(0, 0, 0, 0, CMDQV.version, CMDQV.log2Vcmdqs, CMDQV.log2Vsids, 0);
  return { type: 3, data };
}

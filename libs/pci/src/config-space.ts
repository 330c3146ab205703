/**
 * Facts from the bytes of a function's configuration space (PCI Local Bus 3.0 chapter 6, PCI Express Base chapter 7).
 *
 * Words: the *standard* list starts at the pointer in byte 0x34, the *extended* list at 0x100.
 * Rule: bytes may be short, looped or all ones; a walk ends at the first step that leaves the dump or repeats.
 */
import { LIMITS } from './limits.js';
import type { Acs, BridgeBuses, Capability, PcieType, Sriov } from './pci-function.js';

const CAP_ID = { subsystem: 0x0d, express: 0x10 } as const;
const EXT_CAP_ID = { acs: 0x000d, sriov: 0x0010 } as const;

export interface ConfigFacts {
  /** 0xffff on VFs, whose real ids are the PF's vendor and the VF device id of its SR-IOV capability. */
  readonly vendor: number;
  readonly device: number;
  readonly classCode: number;
  readonly revision: number;
  readonly headerType: 0 | 1 | 2;
  /** Bit 7 of the header type. */
  readonly multifunction: boolean;
  readonly subsystem: { readonly vendor: number; readonly device: number } | null;
  readonly buses: BridgeBuses | null;
  /** Standard capabilities, or null when the dump is too short to hold them. */
  readonly express: { readonly type: PcieType | null } | null;
  readonly hasStandardCaps: boolean;
  readonly hasExtendedCaps: boolean;
  readonly caps: readonly Capability[];
  readonly acs: Acs | null;
  readonly sriov: Sriov | null;
}

const u16 = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
const u32 = (bytes: Uint8Array, at: number): number => (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0;

/** Null when the device did not answer (all ones, powered down) or the dump has no full 64-byte header. */
export function decodeConfig(bytes: Uint8Array): ConfigFacts | null {
  if (bytes.length < 64) return null;
  const header = bytes[0x0e] ?? 0;
  const headerType = header & 0x7f;
  if (headerType > 2 || bytes.subarray(0, 64).every((byte) => byte === 0)) return null;
  const standard = standardCaps(bytes);
  const extended = extendedCaps(bytes);
  const at = (list: readonly Capability[], id: number): number | null => list.find((c) => c.id === id)?.offset ?? null;
  const express = at(standard, CAP_ID.express);
  return {
    vendor: u16(bytes, 0),
    device: u16(bytes, 2),
    revision: bytes[8] ?? 0,
    classCode: u32(bytes, 8) >>> 8,
    headerType: headerType as 0 | 1 | 2,
    multifunction: (header & 0x80) !== 0,
    subsystem: subsystemOf(bytes, headerType, at(standard, CAP_ID.subsystem)),
    buses: headerType === 0 ? null : busesOf(bytes),
    express: express === null ? null : { type: PORT_TYPES[(u16(bytes, express + 2) >> 4) & 0xf] ?? null },
    hasStandardCaps: bytes.length >= 256,
    hasExtendedCaps: bytes.length >= 4096,
    caps: [...standard, ...extended],
    acs: acsAt(bytes, at(extended, EXT_CAP_ID.acs)),
    sriov: sriovAt(bytes, at(extended, EXT_CAP_ID.sriov)),
  };
}

/** Device/port type, bits 7:4 of the Express flags word. */
export const PORT_TYPES: Readonly<Record<number, PcieType>> = {
  0: 'endpoint',
  1: 'legacy_endpoint',
  4: 'root_port',
  5: 'upstream',
  6: 'downstream',
  7: 'pcie_to_pci_bridge',
  8: 'pci_to_pcie_bridge',
  9: 'rciep',
  10: 'rcec',
};

/** Capabilities of the first 256 bytes, in the order of their list. */
export function standardCaps(bytes: Uint8Array): Capability[] {
  const hasList = (u16(bytes, 0x06) & 0x10) !== 0;
  const pointerAt = ((bytes[0x0e] ?? 0) & 0x7f) === 2 ? 0x14 : 0x34;
  const caps: Capability[] = [];
  const seen = new Set<number>();
  let offset = hasList ? (bytes[pointerAt] ?? 0) & 0xfc : 0;
  while (offset >= 0x40 && offset + 1 < bytes.length && !seen.has(offset)) {
    seen.add(offset);
    const id = bytes[offset] ?? 0xff;
    if (id === 0xff) break;
    caps.push({ offset, id, extended: false, name: null });
    offset = (bytes[offset + 1] ?? 0) & 0xfc;
  }
  return caps;
}

function extendedCaps(bytes: Uint8Array): Capability[] {
  const caps: Capability[] = [];
  const seen = new Set<number>();
  let offset = bytes.length >= LIMITS.configBytes ? 0x100 : 0;
  while (offset >= 0x100 && offset + 3 < bytes.length && !seen.has(offset)) {
    seen.add(offset);
    const header = u32(bytes, offset);
    if (header === 0 || header === 0xffffffff) break;
    caps.push({ offset, id: header & 0xffff, extended: true, name: null });
    offset = (header >>> 20) & 0xffc;
  }
  return caps;
}

/** Bridges keep their subsystem ids in a capability, CardBus bridges at 0x40, all others at 0x2c. */
function subsystemOf(bytes: Uint8Array, headerType: number, cap: number | null): ConfigFacts['subsystem'] {
  const at = headerType === 0 ? 0x2c : headerType === 2 ? 0x40 : cap === null ? null : cap + 4;
  if (at === null || at + 4 > bytes.length) return null;
  const vendor = u16(bytes, at);
  return vendor === 0 || vendor === 0xffff ? null : { vendor, device: u16(bytes, at + 2) };
}

function busesOf(bytes: Uint8Array): BridgeBuses {
  return { primary: bytes[0x18] ?? 0, secondary: bytes[0x19] ?? 0, subordinate: bytes[0x1a] ?? 0 };
}

function acsAt(bytes: Uint8Array, offset: number | null): Acs | null {
  if (offset === null) return null;
  const [cap, ctrl, dwordCtrl] = [u16(bytes, offset + 4), u16(bytes, offset + 6), u32(bytes, offset + 8)];
  return { offset, cap, ctrl, dwordCtrl, inferred: false };
}

function sriovAt(bytes: Uint8Array, offset: number | null): Sriov | null {
  if (offset === null) return null;
  const enabled = (u16(bytes, offset + 0x08) & 1) === 1;
  return {
    initialVfs: u16(bytes, offset + 0x0c),
    totalVfs: u16(bytes, offset + 0x0e),
    numVfs: enabled ? u16(bytes, offset + 0x10) : 0,
    offset: u16(bytes, offset + 0x14),
    stride: u16(bytes, offset + 0x16),
    vfDevice: u16(bytes, offset + 0x1a),
  };
}

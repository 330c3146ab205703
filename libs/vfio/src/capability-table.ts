/**
 * Config space virtualisation as a table: for each capability its length and what happens to its fields.
 *
 * Words, for one bit of config space: *virtual* = its value lives with us and not in the function; *writable* = a client
 * may change it; *kept* = the emulated function's hardware holds what is written to it (a bit that is not kept is
 * hard-wired). Masks count from the field's least significant bit.
 * Rule (semantics D3): a capability's header is virtual and not writable; a bit of it that no field names is read from the
 * function, and writes to it are lost. A capability of length 0 is hidden.
 */
import { read16 } from './little-endian.js';
import * as pci from './pci-registers.js';

export interface ConfigField {
  readonly at: number;
  readonly bytes: 1 | 2 | 4;
  readonly virtual: number;
  readonly writable: number;
  readonly kept: number;
}

export interface CapabilityRow {
  readonly name: string;
  /** Bytes from the header on, in the config space `b` with the capability at `at`. */
  length(b: Uint8Array, at: number): number;
  fields(b: Uint8Array, at: number): readonly ConfigField[];
}

const ALL8 = 0xff;
const ALL16 = 0xffff;
const ALL32 = 0xffffffff;

const field = (at: number, bytes: 1 | 2 | 4, virtual: number, writable: number, kept = 0): ConfigField => ({
  at,
  bytes,
  virtual,
  writable,
  kept,
});

/** Which command bits an emulated function has (trace b044: all ones written read back as 0x507). */
const COMMAND_KEPT =
  pci.COMMAND_IO | pci.COMMAND_MEMORY | pci.COMMAND_MASTER | pci.COMMAND_SERR | pci.COMMAND_INTX_DISABLE;

const BAR_FIELDS = [0, 1, 2, 3, 4, 5].map((i) => field(pci.BAR0 + 4 * i, 4, ALL32, ALL32));

/** The 64 bytes before any capability. */
export const HEADER_FIELDS: readonly ConfigField[] = [
  field(pci.VENDOR_ID, 2, ALL16, 0),
  field(pci.DEVICE_ID, 2, ALL16, 0),
  field(pci.COMMAND, 2, pci.COMMAND_INTX_DISABLE, ALL16, COMMAND_KEPT),
  field(pci.STATUS, 2, pci.STATUS_CAPABILITY_LIST, 0),
  field(pci.CACHE_LINE, 1, 0, ALL8, ALL8),
  field(pci.LATENCY_TIMER, 1, 0, ALL8),
  field(pci.BIST, 1, 0, ALL8),
  ...BAR_FIELDS,
  field(pci.ROM_BAR, 4, ALL32, ALL32),
  field(pci.CAPABILITY_POINTER, 1, ALL8, 0),
  field(pci.INTERRUPT_LINE, 1, ALL8, ALL8),
  field(pci.INTERRUPT_PIN, 1, ALL8, 0),
];

const PM_FIELDS = [
  field(pci.PM_CAPABILITIES, 2, pci.PM_CAP_PME, 0),
  // The state bits are not written through: writing them moves the function to that state (ConfigSpace).
  field(
    pci.PM_CONTROL,
    2,
    pci.PM_PME_ENABLE | pci.PM_PME_STATUS,
    ALL16 & ~(pci.PM_PME_ENABLE | pci.PM_PME_STATUS | pci.PM_STATE),
    0x1e00,
  ),
];

const VPD_FIELDS = [field(2, 2, ALL16, ALL16), field(4, 4, ALL32, ALL32)];

const EXPRESS_V1 = [
  field(
    pci.EXPRESS_DEVICE_CONTROL,
    2,
    pci.EXPRESS_FLR | pci.EXPRESS_PAYLOAD | pci.EXPRESS_READ_REQUEST,
    ALL16 & ~pci.EXPRESS_PHANTOM,
  ),
];
const EXPRESS_V2 = [...EXPRESS_V1, field(pci.EXPRESS_DEVICE_CONTROL2, 2, 0, ALL16 & ~pci.EXPRESS_ARI)];
const expressVersion = (b: Uint8Array, at: number): number => b[at + pci.EXPRESS_FLAGS]! & 0xf;

const AF_FIELDS = [field(pci.AF_CONTROL, 1, pci.AF_FLR, pci.AF_FLR)];

const msiControl = (b: Uint8Array, at: number): number => read16(b, at + pci.MSI_CONTROL);

/** 10 bytes, 4 more for 64-bit addresses, 10 more for masking. */
function msiLength(b: Uint8Array, at: number): number {
  const control = msiControl(b, at);
  return 10 + (control & pci.MSI_64 ? 4 : 0) + (control & pci.MSI_MASKABLE ? 10 : 0);
}

function msiFields(b: Uint8Array, at: number): ConfigField[] {
  const control = msiControl(b, at);
  const data = control & pci.MSI_64 ? 12 : 8;
  const fields = [field(pci.MSI_CONTROL, 1, ALL8, ALL8), field(4, 4, ALL32, ALL32), field(data, 2, ALL16, ALL16)];
  if (control & pci.MSI_64) fields.push(field(8, 4, ALL32, ALL32));
  if (control & pci.MSI_MASKABLE) fields.push(field(data + 4, 4, 0, ALL32, ALL32), field(data + 8, 4, 0, ALL32));
  return fields;
}

const none = (): readonly ConfigField[] => [];
const fixed = (name: string, length: number, fields: readonly ConfigField[] = []): CapabilityRow => ({
  name,
  length: () => length,
  fields: () => fields,
});

/** Capabilities of the first 256 bytes that are shown; every other id is hidden. */
export const CAPABILITIES: ReadonlyMap<number, CapabilityRow> = new Map([
  [pci.CAP_PM, fixed('power management', 8, PM_FIELDS)],
  [pci.CAP_AGP, fixed('AGP', 12)],
  [pci.CAP_VPD, fixed('VPD', 8, VPD_FIELDS)],
  [pci.CAP_MSI, { name: 'MSI', length: msiLength, fields: msiFields }],
  [pci.CAP_PCIX, fixed('PCI-X', 8, [field(2, 2, 0, ALL16)])],
  [pci.CAP_HT, fixed('HyperTransport', 8)],
  [pci.CAP_VENDOR, { name: 'vendor specific', length: (b: Uint8Array, at: number) => b[at + 2]!, fields: none }],
  [
    pci.CAP_EXPRESS,
    {
      name: 'PCI Express',
      length: (b: Uint8Array, at: number) => (expressVersion(b, at) === 1 ? 20 : 44),
      fields: (b: Uint8Array, at: number) => (expressVersion(b, at) === 1 ? EXPRESS_V1 : EXPRESS_V2),
    },
  ],
  [pci.CAP_MSIX, fixed('MSI-X', 12)],
  [pci.CAP_SATA, fixed('SATA', 8)],
  [pci.CAP_AF, fixed('advanced features', 6, AF_FIELDS)],
]);

/** Extended capabilities that are shown, all of them read-only; every other id is hidden. */
export const EXTENDED_SHOWN: ReadonlySet<number> = new Set([
  0x01, 0x02, 0x03, 0x04, 0x08, 0x09, 0x0b, 0x0d, 0x0e, 0x0f, 0x10, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x23,
]);

/**
 * The config space that a function shows to tools on the machine, when nobody drives it: the recorded bytes, and where the
 * source had none, bytes made from the facts.
 *
 * Words: the *image* is 256 bytes, or 4,096 where the function has PCI Express.
 * Rule: recorded bytes are kept as they are; bytes are made only where the recording ends. Made bytes hold what the facts
 * say and nothing else: no capability is invented.
 */
import type { Acs, BridgeBuses, PciFunction, PcieType, Sriov } from './pci-function.js';
import { PORT_TYPES } from './config-space.js';

const HEADER = 64;
const STANDARD = 256;
const EXTENDED = 4096;

/** Registers of the header. */
const STATUS_LOW = 0x06;
const CLASS = 0x08;
const HEADER_TYPE = 0x0e;
const BAR0 = 0x10;
const BUSES = 0x18;
const SUBSYSTEM = 0x2c;
const CARDBUS_SUBSYSTEM = 0x40;
const CAP_POINTER = 0x34;
const CARDBUS_CAP_POINTER = 0x14;
const HAS_CAPABILITIES = 0x10;
const MULTIFUNCTION = 0x80;

/** Where made capabilities go. */
const EXPRESS_AT = 0x60;
const SUBSYSTEM_AT = 0xa0;
const EXTENDED_AT = 0x100;
const SRIOV_AT = 0x140;

export function configImage(f: PciFunction): Uint8Array {
  const recorded = f.config ?? new Uint8Array(0);
  const image = new Uint8Array(Math.max(recorded.length, f.pcieType === null ? STANDARD : EXTENDED));
  const view = new DataView(image.buffer);
  if (recorded.length < HEADER) makeHeader(image, view, f);
  else image.set(recorded);
  if (recorded.length < STANDARD) makeCapabilities(image, view, f);
  if (recorded.length < EXTENDED && f.pcieType !== null) makeExtended(view, f);
  return image;
}

function makeHeader(image: Uint8Array, view: DataView, f: PciFunction): void {
  view.setUint16(0, f.isVf ? 0xffff : (f.vendor ?? 0xffff), true);
  view.setUint16(2, f.isVf ? 0xffff : (f.device ?? 0xffff), true);
  view.setUint32(CLASS, (((f.classCode ?? 0) << 8) | (f.revision ?? 0)) >>> 0, true);
  image[HEADER_TYPE] = f.headerType | (f.multifunction ? MULTIFUNCTION : 0);
  if (f.headerType !== 0 && f.buses) setBuses(image, f.buses, f.bus);
  if (f.headerType !== 1) {
    const at = f.headerType === 2 ? CARDBUS_SUBSYSTEM : SUBSYSTEM;
    view.setUint16(at, f.subsystemVendor ?? 0, true);
    view.setUint16(at + 2, f.subsystemDevice ?? 0, true);
  }
  for (const { index, kind, bits, prefetchable, vf } of f.bars)
    if (!vf && index < 6) image[BAR0 + 4 * index] = kind === 'io' ? 1 : (bits === 64 ? 4 : 0) | (prefetchable ? 8 : 0);
}

function setBuses(image: Uint8Array, { primary, secondary, subordinate }: BridgeBuses, bus: number): void {
  image.set([primary ?? bus, secondary, subordinate], BUSES);
}

/** PCI Express with the port's type, and a bridge's subsystem. */
function makeCapabilities(image: Uint8Array, view: DataView, f: PciFunction): void {
  const pointer = f.headerType === 2 ? CARDBUS_CAP_POINTER : CAP_POINTER;
  image[pointer] = 0;
  const link = (at: number, id: number): void => {
    image.set([id, image[pointer]!], at);
    image[pointer] = at;
  };
  if (f.headerType === 1 && f.subsystemVendor !== null) {
    link(SUBSYSTEM_AT, 0x0d);
    view.setUint16(SUBSYSTEM_AT + 4, f.subsystemVendor, true);
    view.setUint16(SUBSYSTEM_AT + 6, f.subsystemDevice ?? 0, true);
  }
  if (f.pcieType !== null) {
    link(EXPRESS_AT, 0x10);
    view.setUint16(EXPRESS_AT + 2, (portType(f.pcieType) << 4) | 2, true);
  }
  image[STATUS_LOW] =
    image[pointer] === 0 ? image[STATUS_LOW]! & ~HAS_CAPABILITIES : image[STATUS_LOW]! | HAS_CAPABILITIES;
}

const portType = (wanted: PcieType): number =>
  Number(Object.entries(PORT_TYPES).find(([, type]) => type === wanted)![0]);

function makeExtended(view: DataView, { acs, sriov }: PciFunction): void {
  const header = (id: number, next: number): number => ((next << 20) | (1 << 16) | id) >>> 0;
  // The list begins at 0x100: without ACS an entry without a meaning leads on.
  if (acs || sriov) view.setUint32(EXTENDED_AT, header(acs ? 0x0d : 0, sriov ? SRIOV_AT : 0), true);
  if (acs) setAcs(view, acs);
  if (sriov) setSriov(view, sriov, header(0x10, 0));
}

function setAcs(view: DataView, { cap, ctrl }: Acs): void {
  view.setUint16(EXTENDED_AT + 4, cap ?? 0, true);
  view.setUint16(EXTENDED_AT + 6, ctrl ?? 0, true);
}

function setSriov(view: DataView, sriov: Sriov, header: number): void {
  view.setUint32(SRIOV_AT, header, true);
  view.setUint16(SRIOV_AT + 0x08, sriov.numVfs > 0 ? 1 : 0, true);
  const words = [sriov.initialVfs, sriov.totalVfs, sriov.numVfs, 0, sriov.offset, sriov.stride, 0, sriov.vfDevice ?? 0];
  words.forEach((word, i) => view.setUint16(SRIOV_AT + 0x0c + 2 * i, word, true));
}

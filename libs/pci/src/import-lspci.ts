/**
 * Import of `lspci -Dnnvvvxxxx` output, the form in which people already have their machines.
 *
 * Rule: where hex is present, what the bytes hold is the truth and text fills the rest; VFs keep their printed ids,
 * because their bytes read ffff. All or nothing: on a TopologyError no Topology exists.
 */
import { compareAddress, parseBdf, type PciAddress } from './bdf.js';
import { decodeConfig, type ConfigFacts } from './config-space.js';
import { LIMITS } from './limits.js';
import { parseDetails, parseHeader, type DetailFacts, type HeaderFacts } from './lspci-details.js';
import { inferTypes, markVfs, multifunctionSlots, slotOf, type Draft } from './lspci-inference.js';
import { splitLspci, type LspciRecord } from './lspci-lines.js';
import type { Acs, Capability, PciFunctionInit, Sriov } from './pci-function.js';
import { TopologyError } from './topology-error.js';
import { Topology } from './topology.js';

/** One function on its way in: facts still open to inference, and those that are not. */
interface Entry {
  readonly draft: Draft;
  readonly facts: PciFunctionInit;
  /** Header bit 7 from bytes; null when no bytes showed it. */
  readonly multifunctionBit: boolean | null;
  /** False: an ACS capability, if there is one, could not be seen. */
  readonly acsShown: boolean;
}

export function importLspci(text: string): Topology {
  checkLength(text);
  const records = splitLspci(text);
  if (records.length > LIMITS.functions) {
    const at = { line: records[LIMITS.functions]?.header.number ?? 0 };
    throw new TopologyError(`More than ${LIMITS.functions} PCI functions`, at, 'Split the file by PCI domain.');
  }
  const parsed = records.map(parseRecord);
  const verbose = parsed.some(({ details }) => details.caps.length > 0 || details.capsDenied);
  const entries = parsed.map((each) => readRecord(each, verbose)).sort((a, b) => compareAddress(a.draft, b.draft));
  const drafts = entries.map((entry) => entry.draft);
  markVfs(drafts);
  const warnings = warningsFor(entries);
  inferTypes(drafts);
  const slots = multifunctionSlots(drafts);
  return new Topology({ functions: entries.map((entry) => finish(entry, slots)), warnings });
}

function checkLength(text: string): void {
  if (text.length <= LIMITS.textLength) return;
  const what = `The text has ${text.length} characters; at most ${LIMITS.textLength} are accepted`;
  throw new TopologyError(what, { line: 1 }, 'Split the file by PCI domain.');
}

/** One record with its three sources of facts: header line, detail lines, bytes (null: none, or no answer). */
interface Parsed {
  readonly record: LspciRecord;
  readonly header: HeaderFacts;
  readonly details: DetailFacts;
  readonly bytes: ConfigFacts | null;
}

const parseRecord = (record: LspciRecord): Parsed => ({
  record,
  header: parseHeader(record.header),
  details: parseDetails(record.details),
  bytes: record.config ? decodeConfig(record.config) : null,
});

function readRecord(parsed: Parsed, verbose: boolean): Entry {
  const { record, header, details, bytes } = parsed;
  const capsPrinted = verbose && answered(parsed) && !details.capsDenied;
  return {
    draft: draftOf(parsed, capsPrinted),
    facts: {
      ...identity(header, details, bytes),
      bdf: record.bdf,
      origin: { line: record.header.number },
      acs: acsOf(details, bytes),
      numaNode: details.numaNode === -1 ? null : details.numaNode,
      physicalSlot: details.physicalSlot,
      driver: details.driver,
      iommuGroup: details.iommuGroup,
      bars: details.bars,
      caps: capsOf(details, bytes),
      config: bytes ? record.config : null,
    },
    multifunctionBit: bytes ? bytes.multifunction : null,
    acsShown: capsPrinted || bytes?.hasExtendedCaps === true,
  };
}

/** False for a device that read all ones, powered down or gone. */
const answered = ({ record, header, bytes }: Parsed): boolean =>
  record.config === null ? header.revision !== 0xff : bytes !== null;

type Identity = Pick<PciFunctionInit, 'vendor' | 'device' | 'revision' | 'subsystemVendor' | 'subsystemDevice'>;

function identity(header: HeaderFacts, details: DetailFacts, bytes: ConfigFacts | null): Identity {
  const idsInBytes = bytes !== null && bytes.vendor !== 0xffff;
  const subsystem = bytes?.subsystem ?? details.subsystem;
  return {
    vendor: idsInBytes ? bytes.vendor : header.vendor,
    device: idsInBytes ? bytes.device : header.device,
    revision: bytes?.revision ?? header.revision,
    subsystemVendor: subsystem?.vendor ?? null,
    subsystemDevice: subsystem?.device ?? null,
  };
}

function draftOf({ record, header, details, bytes }: Parsed, capsPrinted: boolean): Draft {
  const classCode = bytes?.classCode ?? header.classCode;
  return {
    ...addressOf(record.bdf),
    bdf: record.bdf,
    classCode,
    headerType: bytes?.headerType ?? headerTypeOf(classCode, details),
    buses: bytes ? bytes.buses : details.buses,
    sriov: sriovOf(details, bytes),
    capsShown: bytes?.hasStandardCaps === true || capsPrinted,
    pcieType: bytes?.hasStandardCaps ? (bytes.express?.type ?? null) : (details.express?.type ?? null),
    isVf: header.namedVf || bytes?.vendor === 0xffff,
    vfOf: null,
  };
}

const addressOf = (bdf: string): PciAddress => parseBdf(bdf) ?? { domain: 0, bus: 0, dev: 0, fn: 0 };

function headerTypeOf(classCode: number | null, details: DetailFacts): 0 | 1 | 2 {
  const classOnly = classCode === null ? null : classCode >> 8;
  if (classOnly === 0x0607) return 2;
  return classOnly === 0x0604 || classOnly === 0x0609 || details.buses ? 1 : 0;
}

function acsOf(details: DetailFacts, bytes: ConfigFacts | null): Acs | null {
  if (bytes?.hasExtendedCaps) return bytes.acs;
  return details.acs ? { ...details.acs, dwordCtrl: null, inferred: false } : null;
}

const sriovOf = (details: DetailFacts, bytes: ConfigFacts | null): Sriov | null =>
  bytes?.hasExtendedCaps ? bytes.sriov : details.sriov;

/** Names from the text, ids from the bytes, matched by offset. */
function capsOf(details: DetailFacts, bytes: ConfigFacts | null): Capability[] {
  const caps = new Map(details.caps.map((cap) => [cap.offset, cap]));
  for (const cap of bytes?.caps ?? []) caps.set(cap.offset, { ...cap, name: caps.get(cap.offset)?.name ?? null });
  return [...caps.values()].sort((a, b) => (a.offset ?? 0) - (b.offset ?? 0));
}

function finish({ draft, facts, multifunctionBit }: Entry, slots: ReadonlySet<string>): PciFunctionInit {
  const { classCode, headerType, buses, sriov, pcieType, isVf, vfOf } = draft;
  const multifunction = multifunctionBit ?? slots.has(slotOf(draft.bdf));
  return { ...facts, classCode, headerType, buses, sriov, pcieType, isVf, vfOf, multifunction };
}

function warningsFor(entries: readonly Entry[]): string[] {
  const bridges = entries.filter(({ draft }) => draft.headerType !== 0);
  const hidden = bridges.filter(({ acsShown }) => !acsShown).length;
  const flat = bridges.filter(({ draft }) => draft.buses === null).length;
  const nameless = entries.filter(({ facts }) => facts.vendor === null || facts.device === null).length;
  const warnings: [count: number, text: string][] = [
    [
      hidden,
      'bridge(s) do not show whether they have ACS: it counts as absent, and an unknown type follows from the bus tree. Run lspci as root with -vvv.',
    ],
    [flat, 'bridge(s) show no bus numbers: what is behind them appears on root buses. Run lspci with -v.'],
    [nameless, 'function(s) show no ids: kernel quirks for them may be missed. Run lspci with -nn.'],
  ];
  return warnings.filter(([count]) => count > 0).map(([count, text]) => `${count} ${text}`);
}

/**
 * Meaning of lspci's header and detail lines, as far as this library uses them.
 *
 * Rule: a line whose key is known must have the known form, else TopologyError; a line with an unknown key is passed
 * over, because every version of pciutils prints more than the one before.
 */
import { ACS } from './acs.js';
import { LIMITS } from './limits.js';
import type { Line } from './lspci-lines.js';
import { classByName, deviceByName, vendorByName } from './lspci-names.js';
import type { Bar, BridgeBuses, Capability, PcieType } from './pci-function.js';
import { TopologyError, quote } from './topology-error.js';

export interface HeaderFacts {
  readonly vendor: number | null;
  readonly device: number | null;
  /** 24 bits; the programming interface is 0 when it was not printed. */
  readonly classCode: number | null;
  /** lspci leaves out revision 0. */
  readonly revision: number;
  /** The printed name says that this is an SR-IOV virtual function. */
  readonly namedVf: boolean;
}

/** `Class [cccc]: Name [vvvv:dddd] (rev rr) (prog-if pp [..])`, `cccc: vvvv:dddd (rev rr)` or names alone. */
export function parseHeader(line: Line): HeaderFacts {
  const byName = /^([^:[]+?)(?: \[[0-9a-f]{4}\])?: (.*)$/i.exec(line.text);
  const byNumber = /^(?:Class )?([0-9a-f]{4}): ([0-9a-f]{4}):([0-9a-f]{4})(?![0-9a-f])/i.exec(line.text);
  if (!byName && !byNumber) {
    const what = `The device header ${quote(line.text)} has no class and device`;
    throw new TopologyError(
      what,
      { line: line.number },
      'Expected "Class [cccc]: Vendor Device [vvvv:dddd] (rev rr)".',
    );
  }
  const ids = [...line.text.matchAll(/\[([0-9a-f]{4}):([0-9a-f]{4})\]/gi)].at(-1);
  const name = byName?.[2] ?? '';
  const classText = byNumber?.[1] ?? /\[([0-9a-f]{4})\]:/i.exec(line.text)?.[1];
  const subclass = classText === undefined ? classByName(byName?.[1] ?? '') : parseInt(classText, 16);
  const progIf = hexOf(/\(prog-if ([0-9a-f]{2})/i.exec(line.text)?.[1]) ?? 0;
  return {
    vendor: hexOf(byNumber?.[2] ?? ids?.[1]) ?? vendorByName(name),
    device: hexOf(byNumber?.[3] ?? ids?.[2]) ?? deviceByName(name.replace(/ \(rev.*$/, '')),
    classCode: subclass === null ? null : subclass * 256 + progIf,
    revision: hexOf(/\(rev ([0-9a-f]{2})\)/i.exec(line.text)?.[1]) ?? 0,
    namedVf: /Virtual Function/i.test(name),
  };
}

/** What the detail lines of one function said. Filled line by line. */
export interface DetailFacts {
  subsystem: { vendor: number; device: number } | null;
  buses: BridgeBuses | null;
  numaNode: number | null;
  iommuGroup: number | null;
  driver: string | null;
  physicalSlot: string | null;
  bars: Bar[];
  caps: Capability[];
  capsDenied: boolean;
  /** Set by an Express capability; `type` null for one whose type is not known. */
  express: { type: PcieType | null } | null;
  acs: { offset: number | null; cap: number | null; ctrl: number | null } | null;
  sriov: {
    initialVfs: number;
    totalVfs: number;
    numVfs: number;
    offset: number;
    stride: number;
    vfDevice: number;
  } | null;
}

export function parseDetails(lines: readonly Line[]): DetailFacts {
  const facts: DetailFacts = {
    subsystem: null,
    buses: null,
    numaNode: null,
    iommuGroup: null,
    driver: null,
    physicalSlot: null,
    bars: [],
    caps: [],
    capsDenied: false,
    express: null,
    acs: null,
    sriov: null,
  };
  for (const line of lines) {
    for (const [key, read] of READERS) if (line.text.startsWith(key)) read(facts, line);
  }
  return facts;
}

type Reader = (facts: DetailFacts, line: Line) => void;

const READERS: readonly (readonly [key: string, read: Reader])[] = [
  ['Subsystem:', readSubsystem],
  ['Bus: primary', readBuses],
  ['NUMA node:', (facts, line) => (facts.numaNode = numberAfter(line, /^NUMA node: (-?\d{1,9})$/, 'NUMA node: 0'))],
  [
    'IOMMU group:',
    (facts, line) => (facts.iommuGroup = numberAfter(line, /^IOMMU group: (\d{1,9})$/, 'IOMMU group: 12')),
  ],
  ['Kernel driver in use:', (facts, line) => (facts.driver = nameAfter(line))],
  ['Physical Slot:', (facts, line) => (facts.physicalSlot = nameAfter(line))],
  ['Region ', readBar],
  ['Capabilities:', readCapability],
  ['ACSCap:', (facts, line) => readAcs(facts, line, 'cap')],
  ['ACSCtl:', (facts, line) => readAcs(facts, line, 'ctrl')],
  ['Initial VFs:', readVfCounts],
  ['VF offset:', readVfLayout],
];

function readSubsystem(facts: DetailFacts, { text }: Line): void {
  const match =
    /\[([0-9a-f]{4}):([0-9a-f]{4})\]$/i.exec(text) ?? /^Subsystem: ([0-9a-f]{4}):([0-9a-f]{4})$/i.exec(text);
  if (match) facts.subsystem = { vendor: hexOf(match[1]) ?? 0, device: hexOf(match[2]) ?? 0 };
}

function readBuses(facts: DetailFacts, line: Line): void {
  const match = /^Bus: primary=([0-9a-f]{2}), secondary=([0-9a-f]{2}), subordinate=([0-9a-f]{2})(?:,|$)/i.exec(
    line.text,
  );
  if (!match) throw broken(line, 'Bus: primary=00, secondary=01, subordinate=01, sec-latency=0');
  const [primary, secondary, subordinate] = [hexOf(match[1]), hexOf(match[2]) ?? 0, hexOf(match[3]) ?? 0];
  facts.buses = { primary, secondary, subordinate };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40, P: 2 ** 50 };

function readBar(facts: DetailFacts, line: Line): void {
  const match = /^Region (\d{1,2}): (?:\[\w+\] )*(Memory|I\/O ports) at /.exec(line.text);
  if (!match) throw broken(line, 'Region 0: Memory at fc000000 (64-bit, prefetchable) [size=16M]');
  const size = /\[size=(\d{1,15})([KMGTP]?)\]/.exec(line.text);
  const memory = match[2] === 'Memory';
  const bar: Bar = {
    index: Number(match[1]),
    kind: memory ? 'mem' : 'io',
    bits: /\(64-bit/.test(line.text) ? 64 : /\(32-bit/.test(line.text) ? 32 : null,
    prefetchable: memory && /prefetchable\)/.test(line.text) ? !/non-prefetchable\)/.test(line.text) : null,
    size: size ? Number(size[1]) * (UNITS[size[2] ?? ''] ?? 1) : null,
    vf: inSriov(facts),
  };
  if (facts.bars.length === LIMITS.bars) throw broken(line, `at most ${LIMITS.bars} regions a device`);
  facts.bars.push(bar);
}

/** Regions that follow the SR-IOV capability are those of the VFs. */
const inSriov = (facts: DetailFacts): boolean => /SR-IOV/.test(facts.caps.at(-1)?.name ?? '');

/** `Capabilities: [40] Name`, `Capabilities: [100 v1] Name`, `Capabilities: <access denied>`. */
function readCapability(facts: DetailFacts, line: Line): void {
  if (/^Capabilities: <(access denied|available only to root)>$/i.test(line.text)) {
    facts.capsDenied = true;
    return;
  }
  const match = /^Capabilities: \[([0-9a-f]{2,3})(?: v\w+)?\] (.*)$/i.exec(line.text);
  if (!match) throw broken(line, 'Capabilities: [40] Express (v2) Endpoint, MSI 00');
  const offset = hexOf(match[1]) ?? 0;
  const name = match[2] ?? '';
  if (facts.caps.length === LIMITS.capabilities)
    throw broken(line, `at most ${LIMITS.capabilities} capabilities a device`);
  facts.caps.push({ offset, id: null, extended: offset >= 0x100, name });
  if (offset < 0x100 && name.startsWith('Express')) facts.express ??= { type: expressType(name) };
  if (isAcs(offset, name)) facts.acs ??= { offset, cap: null, ctrl: null };
}

/** pciutils before 3.1 knew the capability by its number only: `#0d [0018]`. */
const isAcs = (offset: number, name: string): boolean =>
  offset >= 0x100 && (name.startsWith('Access Control Services') || /^#0d\b/i.test(name));

/** Longer names first: `Endpoint` ends two of the others. */
const EXPRESS_NAMES: readonly (readonly [name: string, type: PcieType])[] = [
  ['Root Complex Integrated Endpoint', 'rciep'],
  ['Root Complex Event Collector', 'rcec'],
  ['Legacy Endpoint', 'legacy_endpoint'],
  ['Endpoint', 'endpoint'],
  ['Root Port', 'root_port'],
  ['Upstream Port', 'upstream'],
  ['Downstream Port', 'downstream'],
  ['PCI/PCI-X to PCI-Express Bridge', 'pci_to_pcie_bridge'],
  ['PCI-Express to PCI/PCI-X Bridge', 'pcie_to_pci_bridge'],
  ['PCI/PCI-X Bridge', 'pcie_to_pci_bridge'],
];

const expressType = (name: string): PcieType | null => EXPRESS_NAMES.find(([text]) => name.includes(text))?.[1] ?? null;

const ACS_FLAGS: Readonly<Record<string, number>> = {
  SrcValid: ACS.sourceValidation,
  TransBlk: ACS.translationBlocking,
  ReqRedir: ACS.requestRedirect,
  CmpltRedir: ACS.completionRedirect,
  UpstreamFwd: ACS.upstreamForwarding,
  EgressCtrl: ACS.egressControl,
  DirectTrans: ACS.directTranslated,
};

function readAcs(facts: DetailFacts, line: Line, register: 'cap' | 'ctrl'): void {
  const flags = [...line.text.matchAll(/(\w+)([+-])(?=\s|$)/g)];
  if (!flags.some(([, name = '']) => name in ACS_FLAGS)) throw broken(line, 'ACSCtl: SrcValid+ TransBlk- ReqRedir+');
  const bits = flags.reduce((sum, [, name = '', sign]) => (sign === '+' ? sum | (ACS_FLAGS[name] ?? 0) : sum), 0);
  facts.acs ??= { offset: null, cap: null, ctrl: null };
  facts.acs[register] = bits;
}

function readVfCounts(facts: DetailFacts, line: Line): void {
  const match = /^Initial VFs: (\d{1,5}), Total VFs: (\d{1,5}), Number of VFs: (\d{1,5})/.exec(line.text);
  if (!match) throw broken(line, 'Initial VFs: 8, Total VFs: 8, Number of VFs: 0');
  const [initialVfs, totalVfs, numVfs] = [Number(match[1]), Number(match[2]), Number(match[3])];
  facts.sriov = { offset: 0, stride: 0, vfDevice: 0, ...facts.sriov, initialVfs, totalVfs, numVfs };
}

function readVfLayout(facts: DetailFacts, line: Line): void {
  const match = /^VF offset: (\d{1,5}), stride: (\d{1,5}), Device ID: ([0-9a-f]{4})/i.exec(line.text);
  if (!match) throw broken(line, 'VF offset: 2, stride: 1, Device ID: 1018');
  const [offset, stride, vfDevice] = [Number(match[1]), Number(match[2]), hexOf(match[3]) ?? 0];
  facts.sriov = { initialVfs: 0, totalVfs: 0, numVfs: 0, ...facts.sriov, offset, stride, vfDevice };
}

function numberAfter(line: Line, form: RegExp, example: string): number {
  const match = form.exec(line.text);
  if (!match) throw broken(line, example);
  return Number(match[1]);
}

const nameAfter = (line: Line): string | null => line.text.slice(line.text.indexOf(':') + 1).trim() || null;

const hexOf = (digits: string | undefined): number | null => (digits === undefined ? null : parseInt(digits, 16));

function broken(line: Line, example: string): TopologyError {
  const what = `${quote(line.text)} is not in the form lspci prints`;
  return new TopologyError(what, { line: line.number }, `Expected ${quote(example)}.`);
}

/**
 * Splits lspci output into records: one device header line, its indented detail lines, its rows of hex.
 *
 * Rule: every line is understood, known noise, or a TopologyError with its number. Details are only cut out here; what
 * they mean is in lspci-details.ts.
 */
import { parseBdf, formatBdf } from './bdf.js';
import { LIMITS } from './limits.js';
import { TopologyError, quote } from './topology-error.js';

export interface Line {
  /** 1-based. */
  readonly number: number;
  /** Trimmed text. */
  readonly text: string;
}

export interface LspciRecord {
  readonly bdf: string;
  /** The header line, without the address. */
  readonly header: Line;
  readonly details: readonly Line[];
  /** Bytes of all hex rows, null when there are none. */
  readonly config: Uint8Array | null;
}

interface OpenRecord {
  readonly bdf: string;
  readonly header: Line;
  readonly details: Line[];
  readonly bytes: number[];
}

const SLOT = /^((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])\s+(\S.*)$/i;
const HEX_ROW = /^([0-9a-f]{2,3}):((?: [0-9a-f]{2})+)$/i;
/** Begins like an address or a row of hex, or has ids in brackets: never noise, but a line that was damaged. */
const HEADER_LIKE = /^[0-9a-f]+:|^\S{1,5}:\S{2}[.:]|\[[0-9a-f]{4}(?::[0-9a-f]{4})?\]/i;
/** Lines that stand around lspci output in logs: commands and messages of the tool, prompts, fences, rulers. */
const NOISE = [/\blspci\b/, /^pcilib:/, /[#$%]$/, /^(```|~~~|\*\*\*|___|--|===)/];

/** Cuts `text` into records in file order. */
export function splitLspci(text: string): LspciRecord[] {
  const lines = unquote(text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/));
  const state: SplitState = { records: [], title: null };
  lines.forEach((raw, index) => readLine(state, raw, index + 1));
  if (state.records.length === 0) {
    throw new TopologyError('The text holds no PCI device', { line: 1 }, 'Give the output of `lspci -Dnnvvvxxxx`.');
  }
  return state.records.map((open) => close(open));
}

interface SplitState {
  readonly records: OpenRecord[];
  /** The last line before the first device that was passed over as a title; it may turn out to be a broken header. */
  title: Line | null;
}

/** Takes the quote marks off text that was copied from a mail ("> 00:00.0 ..."). */
function unquote(lines: string[]): string[] {
  const filled = lines.filter((line) => line.trim() !== '');
  const quoted = filled.length > 0 && filled.every((line) => line.startsWith('>'));
  return quoted ? lines.map((line) => line.replace(/^> ?/, '')) : lines;
}

function readLine(state: SplitState, raw: string, number: number): void {
  if (raw.length > LIMITS.lineLength) {
    const what = `The line has ${raw.length} characters; at most ${LIMITS.lineLength} are accepted`;
    throw new TopologyError(what, { line: number }, 'This is not lspci output.');
  }
  const line: Line = { number, text: raw.trim() };
  if (line.text === '') return;
  if (/^\s/.test(raw)) currentRecord(state, line).details.push(line);
  else if (HEX_ROW.test(line.text)) readHexRow(currentRecord(state, line), line);
  else if (SLOT.test(line.text)) state.records.push(openRecord(line));
  else readOther(state, line);
}

/** Titles may stand before the first device; between devices only the noise of tools and logs may. */
function readOther(state: SplitState, line: Line): void {
  if (HEADER_LIKE.test(line.text)) throw notUnderstood(line);
  if (NOISE.some((pattern) => pattern.test(line.text))) return;
  if (state.records.length > 0) throw notUnderstood(line);
  state.title = line;
}

function currentRecord(state: SplitState, line: Line): OpenRecord {
  const open = state.records.at(-1);
  if (open) return open;
  if (state.title) throw notUnderstood(state.title);
  const what = `${quote(line.text)} comes before any device`;
  throw new TopologyError(
    what,
    { line: line.number },
    'Start the file at a device header such as "00:00.0 Host bridge".',
  );
}

function openRecord(line: Line): OpenRecord {
  const [, slot = '', rest = ''] = SLOT.exec(line.text) ?? [];
  const address = parseBdf(slot);
  if (!address) {
    const what = `${quote(slot)} is not a PCI address`;
    throw new TopologyError(what, { line: line.number }, 'Expected dddd:bb:dd.f with device 00-1f and function 0-7.');
  }
  return { bdf: formatBdf(address), header: { number: line.number, text: rest }, details: [], bytes: [] };
}

/** Rows follow each other without gaps, 16 bytes each: `00: ff ...`, `10: ...`, up to `ff0: ...`. */
function readHexRow(open: OpenRecord, line: Line): void {
  const at = { line: line.number };
  const [, offset = '', body = ''] = HEX_ROW.exec(line.text) ?? [];
  const bytes = body.trim().split(' ');
  const expected = open.bytes.length;
  if (parseInt(offset, 16) !== expected) {
    const what = `The hex row of ${open.bdf} starts at ${offset}, but ${expected.toString(16).padStart(2, '0')} is next`;
    throw new TopologyError(what, at, 'Rows must be complete and in order; dump the device again.');
  }
  if (bytes.length !== 16 || expected + 16 > LIMITS.configBytes) {
    const what = `The hex row ${offset} of ${open.bdf} has ${bytes.length} bytes`;
    throw new TopologyError(what, at, 'Expected rows of 16 bytes, at most 4096 bytes a device.');
  }
  for (const byte of bytes) open.bytes.push(parseInt(byte, 16));
}

function notUnderstood({ number, text }: Line): TopologyError {
  const what = `${quote(text)} is not a device header, a detail line or a row of hex`;
  const hint =
    'Expected "dddd:bb:dd.f Class [cccc]: Vendor Device [vvvv:dddd]", an indented line, or "00: " and 16 bytes.';
  return new TopologyError(what, { line: number }, hint);
}

function close(open: OpenRecord): LspciRecord {
  if (open.bytes.length > 0 && open.bytes.length < 64) {
    const what = `The hex dump of ${open.bdf} ends after ${open.bytes.length} bytes`;
    throw new TopologyError(what, { line: open.header.number }, 'A header has 64 bytes; dump the device again.');
  }
  return { ...open, config: open.bytes.length === 0 ? null : Uint8Array.from(open.bytes) };
}

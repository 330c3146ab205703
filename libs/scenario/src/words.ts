/**
 * Calls and answers in words, in the manner of strace.
 *
 * Rule: what the author wrote by name or with a unit is shown that way; everything else by its value, addresses in hex.
 */
import { constantNames } from './values.js';
import type { Num } from './scenario.js';

const SIZES = [
  ['TiB', 1n << 40n],
  ['GiB', 1n << 30n],
  ['MiB', 1n << 20n],
  ['KiB', 1n << 10n],
] as const;

export const hex = (value: bigint): string => (value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);

/** `16 GiB`, `1 MiB + 64 KiB`. */
export function size(bytes: bigint): string {
  const parts: string[] = [];
  let rest = bytes;
  for (const [unit, factor] of SIZES) {
    if (rest >= factor) parts.push(`${rest / factor} ${unit}`);
    rest %= factor;
  }
  if (rest > 0n) parts.push(`${rest} bytes`);
  return parts.length === 0 ? '0' : parts.join(' + ');
}

/** Fields whose values are addresses or bit masks, whatever their size. */
const IN_HEX = /^(?!num_).*((^|_)(flags|va|start|last|offset|phys)$|iova)/;

/** A value under the name of its field. */
export const named = (name: string, value: bigint): string =>
  value === 0n || (value > -4096n && value < 4096n && !IN_HEX.test(name)) ? String(value) : hex(value);

/** A number as written, where that says more than its value. `prefix` is dropped from names: the call says it already. */
export function written(name: string, raw: Num, value: bigint, prefix = ''): string {
  if (typeof raw !== 'string') return named(name, value);
  const names = constantNames(raw);
  if (names.length > 0) return withoutPrefix(names, prefix).join('|');
  return /^[0-9]+([KMGT]i)?B$/.test(raw) ? raw : named(name, value);
}

/** Flags without what all of them begin with, up to an underscore. */
function withoutPrefix(names: readonly string[], prefix: string): string[] {
  const [first = ''] = names;
  const common = names.length > 1 ? first.slice(0, commonLength(names)) : '';
  const dropped = names.every((name) => prefix !== '' && name.startsWith(prefix)) ? prefix : common;
  return names.map((name) => name.slice(dropped.length));
}

function commonLength(names: readonly string[]): number {
  const [first = '', ...others] = names;
  let length = 0;
  for (let i = 0; i < first.length && others.every((name) => name[i] === first[i]); i++)
    if (first[i] === '_') length = i + 1;
  return length;
}

const PRINTABLE = /^[\x20-\x7e\n\t]*$/;

/** Bytes as a quoted text when they are one, else in hex; long ones are cut. */
export function bytesInWords(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes).replace(/\0+$/, '');
  if (text !== '' && PRINTABLE.test(text)) return quoted(text);
  const shown = Array.from(bytes.subarray(0, 16), (b) => b.toString(16).padStart(2, '0')).join(' ');
  return bytes.length > 16 ? `${shown} ... (${bytes.length} bytes)` : shown;
}

export function quoted(text: string): string {
  const shown = text.length > 100 ? `${text.slice(0, 97)}...` : text;
  return JSON.stringify(shown);
}

/** A shorter part of a name says nothing. */
const LEAST_PART = 4;

/** The nearest of some names to a mistyped or cut one; undefined when none is near. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const each of known) {
    const far = distance(name.toLowerCase(), each.toLowerCase(), least);
    if (far < least) [best, least] = [each, far];
  }
  return (
    best ?? [...known].find((each) => name.length >= LEAST_PART && each.toLowerCase().includes(name.toLowerCase()))
  );
}

/** How many letters must be added, removed, changed or swapped with the next; `limit` or more when it is at least that. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, changed, swapped ? before[j - 2]! + 1 : limit));
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}

/** `Did you mean X?`, or the names that there are. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  if (near !== undefined) return `Did you mean ${near}?`;
  if (known.length === 0) return 'Nothing may stand here.';
  return known.length > 40 ? `There are ${known.length} to choose from.` : `Use one of: ${known.join(', ')}.`;
}

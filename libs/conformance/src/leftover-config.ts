/**
 * Bytes of config space that a program of the recording could find as an earlier one had left them.
 *
 * Words: an *unassigned* byte lies behind the header and in no capability; vfio-pci passes it through, and neither a close
 * nor a reset clears it. It is *left over* until the program itself has written it.
 * Rule: only unassigned bytes that the program has not written are let through; header and capabilities never are.
 */
import { functionConfig } from './machines.js';
import type { Json, Step, Trace } from './trace.js';

/** Where config space begins in a vfio-pci file: region 7. */
export const CONFIG_REGION = 7 * 2 ** 40;
const HEADER = 0x40;
const CONFIG_SIZE = 256;

/** Bytes of the capabilities that machines here have, by id; the longest form of each. */
const LENGTHS: ReadonlyMap<number, number> = new Map([
  [0x01, 8],
  [0x05, 24],
  [0x10, 60],
  [0x11, 12],
]);

/** Which of the first 256 bytes are unassigned. */
function unassigned(config: Uint8Array): boolean[] {
  const free = Array.from({ length: CONFIG_SIZE }, (_, at) => at >= HEADER);
  for (let at = config[0x34]! & ~3, links = 0; at >= HEADER && links < 48; at = config[at + 1]! & ~3, links++)
    free.fill(false, at, at + lengthAt(config, at));
  return free;
}

function lengthAt(config: Uint8Array, at: number): number {
  const id = config[at]!;
  const flags = config[at + 2]! | (config[at + 3]! << 8);
  if (id === 0x05) return 10 + (flags & 0x80 ? 4 : 0) + (flags & 0x100 ? 10 : 0);
  if (id === 0x10) return (flags & 0xf) >= 2 ? 60 : 20;
  return LENGTHS.get(id) ?? 2;
}

/** The function behind an fd variable: what it was opened as last before the step. */
function functionBehind(trace: Trace, step: Step): string | undefined {
  const name = String(step['fd']).slice(1);
  for (let i = step.i - 1; i >= 0; i--) {
    const each = trace.steps[i]!;
    if (each['as'] !== name || each['errno'] !== undefined) continue;
    if (each.op === 'dup') return functionBehind(trace, each);
    return /[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/.exec(String(each['arg'] ?? each['path']))?.[0];
  }
  return undefined;
}

/** Offsets in config space that the program had written through any fd of the function. */
function writtenBefore(trace: Trace, step: Step, bdf: string): Set<number> {
  const written = new Set<number>();
  for (const each of trace.steps.slice(0, step.i)) {
    if (each.op !== 'pwrite' || each['errno'] !== undefined || functionBehind(trace, each) !== bdf) continue;
    const at = Number(each['off']) - CONFIG_REGION;
    for (let i = 0; i < String(each['data']).length / 2; i++) written.add(at + i);
  }
  return written;
}

/** Do recorded and actual bytes of a config read differ only in leftovers? */
export function isLeftover(trace: Trace, step: Step, got: Json | undefined): boolean {
  const expected = step['data'];
  const at = Number(step['off']) - CONFIG_REGION;
  if (typeof expected !== 'string' || typeof got !== 'string' || expected.length !== got.length || at < 0) return false;
  const bdf = functionBehind(trace, step);
  const config = bdf === undefined ? undefined : functionConfig(trace.machine, bdf);
  if (bdf === undefined || !config) return false;
  const free = unassigned(config);
  const written = writtenBefore(trace, step, bdf);
  for (let i = 0; i < expected.length; i += 2) {
    const offset = at + i / 2;
    if (expected.slice(i, i + 2) !== got.slice(i, i + 2) && (!free[offset] || written.has(offset))) return false;
  }
  return true;
}

/**
 * Where the lab answers otherwise than the recorded kernel on purpose, because the recording shows what nobody can know.
 *
 * Words: a step *deviates* when it differs in nothing but such answers. A loose rule (loose.ts) is about answers that are not
 * compared; a deviation has been compared, is not the same, and is told.
 * Rule: a deviating step counts neither as matched nor as a mismatch; reports name every deviation and count its steps.
 */
import type { Difference } from './compare.js';
import { same } from './same.js';
import type { Json, JsonObject, Step, Trace } from './trace.js';

export interface Deviation {
  readonly name: string;
  readonly reason: string;
  applies(trace: Trace, step: Step, difference: Difference): boolean;
}

/** Machines with the mock devices of the self-test. */
const hasMocks = (machine: string): boolean => machine.startsWith('A-mock');

/** The bitmap of GET_DIRTY_BITMAP in a step's results, and the rest of them. */
function bitmapIn(out: Json | undefined): { readonly bits: Uint8Array; readonly rest: JsonObject } | undefined {
  if (typeof out !== 'object' || out === null || Array.isArray(out)) return undefined;
  const { data, ...rest } = out as JsonObject;
  const hex = (data as JsonObject | undefined)?.['hex'];
  return typeof hex === 'string' ? { bits: Buffer.from(hex, 'hex'), rest } : undefined;
}

/** Whether the recorded bits are runs that each hold one of the lab's, and the lab has no others. */
function widens(recorded: Uint8Array, lab: Uint8Array): boolean {
  const has = (bits: Uint8Array, i: number): boolean => (((bits[i >> 3] ?? 0) >> (i & 7)) & 1) === 1;
  let held = true;
  for (let i = 0; i < 8 * Math.max(recorded.length, lab.length); i++) {
    if (!has(recorded, i)) {
      if (!held || has(lab, i)) return false;
      continue;
    }
    if (i === 0 || !has(recorded, i - 1)) held = false;
    if (has(lab, i)) held = true;
  }
  return held;
}

export const DEVIATIONS: readonly Deviation[] = [
  {
    name: 'dirty bits of neighbouring pages',
    reason:
      "since 7.2 the mock's page table makes one entry of pages that happen to be neighbours in memory, and an entry is dirty as a whole; which pages of a recording were neighbours is not recorded, so the lab takes every page as an entry of its own",
    applies: ({ machine, kernel }, step, { field, expected, got }) => {
      if (step['req'] !== 'IOMMU_HWPT_GET_DIRTY_BITMAP' || !hasMocks(machine) || kernel.startsWith('6.12'))
        return false;
      const [recorded, lab] = [bitmapIn(expected), bitmapIn(got)];
      return field === 'out' && !!recorded && !!lab && same(recorded.rest, lab.rest) && widens(recorded.bits, lab.bits);
    },
  },
];

/** What all of a step's differences come from; undefined: there is none, or one has another cause. */
export function deviationOf(trace: Trace, step: Step, differences: readonly Difference[]): Deviation | undefined {
  if (differences.length === 0) return undefined;
  return DEVIATIONS.find((each) => differences.every((difference) => each.applies(trace, step, difference)));
}

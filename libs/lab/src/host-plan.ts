/**
 * What an operator asks for when making the host, and the checks before anything is made.
 *
 * Rule: the lab checks what belongs to no other service; machine, profile and IOMMU kind are judged by `groups`.
 */
import { labApi, PAGE_SHIFTS, type ArgsOf, type ByteReader, type ByteWriter } from '@vfiolab/core';
import { LIMITS } from './limits.js';

export type HostPlan = ArgsOf<typeof labApi.createHost>;

/** What is wrong with a plan and what to do; empty when nothing is. */
export function planError({ machine, frames, pageShift }: HostPlan): string {
  if (machine === '' || machine.length > LIMITS.machine)
    return `machine: a name of 1 to ${LIMITS.machine} characters is needed; this one has ${machine.length}.`;
  if (frames < 1 || frames > LIMITS.frames)
    return `frames: ${frames} frames of 4 KiB cannot be made. Ask for 1 to ${LIMITS.frames}.`;
  if (!PAGE_SHIFTS.includes(pageShift))
    return `pageShift: ${pageShift} is no page of ours. Use one of: ${PAGE_SHIFTS.join(', ')}.`;
  return '';
}

export const encodePlan = (w: ByteWriter, plan: HostPlan): void => labApi.createHost.args.write(w, plan);
export const decodePlan = (r: ByteReader): HostPlan => labApi.createHost.args.read(r);

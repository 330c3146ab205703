/**
 * The machine and the kernel of a trace.
 *
 * Rule: the kernel release is the trace's, not the machine's.
 */
import { machineNamed } from '@vfiolab/scenario';
import type { KernelProfile } from '@vfiolab/uapi';
import type { Trace } from './trace.js';

export { CONFORMANCE_FOLDER, type Machine, machineNamed } from '@vfiolab/scenario';

/** Config space of a function of a machine; undefined when the description has none. */
export const functionConfig = (machine: string, bdf: string): Uint8Array | undefined =>
  machineNamed(machine).configs.get(bdf);

/** The kernel profile that a trace was recorded on; undefined when the lab has none for it. */
export function profileOf({ kernel }: Trace): KernelProfile | undefined {
  const release = /^(\d+\.\d+)\b/.exec(kernel)?.[1];
  return (['6.12', '7.2', '7.3'] as const).find((each) => each === release);
}

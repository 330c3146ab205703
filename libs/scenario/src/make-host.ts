/** Making the host of a lab from a machine's description. */
import type { Link } from '@vfiolab/client';
import { LAB, labApi } from '@vfiolab/core';
import type { HostSpec } from './scenario.js';

const PAGE = 4096;
/** Characters of the machine's description in one message: even of three bytes each they fit into a frame. */
const PIECE = 200 * 1024;

export interface MadeHost {
  /** What is wrong; empty when nothing is. */
  readonly error: string;
  readonly functions: number;
  readonly groups: number;
}

/** What must be said of a host; the rest is as a machine usually is: no KVM, no designs but Linux's own, pages of 4 KiB. */
export type HostChoice = Pick<HostSpec, 'machine' | 'memory' | 'profile'> & { readonly iommu: string } & Partial<
    Omit<HostSpec, 'iommu' | 'machineFile'>
  >;

/** `text`: the machine's description. */
export async function makeHost(link: Link, host: HostChoice, text: string): Promise<MadeHost> {
  for (let part = 0; part * PIECE < Math.max(text.length, 1); part++) {
    const piece = text.slice(part * PIECE, (part + 1) * PIECE);
    const loaded = await link.call(LAB, labApi.loadMachine, { part, text: piece });
    if (!loaded.ok) {
      const error = `part ${part} of the machine's description was refused: ${loaded.errno}`;
      return { error, functions: 0, groups: 0 };
    }
  }
  const { machine, profile, iommu, memory, allowUnsafeInterrupts = false } = host;
  const { vfioContainer = 'vfio', kvm, memoryCards, teaching, pageShift = 12 } = host;
  return link.call(LAB, labApi.createHost, {
    machine,
    profile,
    iommu,
    frames: memory / PAGE,
    allowUnsafeInterrupts: allowUnsafeInterrupts ? 1 : 0,
    vfioContainer,
    kvm,
    memoryCards,
    teaching,
    pageShift,
  });
}

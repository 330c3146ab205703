/**
 * Errors of partitionable endpoints (PEs) on hosts of POWER whose bridge isolates them: enhanced error handling.
 *
 * Words: a PE is a group here; *frozen* is what it may not do any more, PE_IO or PE_DMA; a *trap* is an injected error that
 * waits for the access which it spoils.
 * Rule (semantics C10.5): the first error freezes both, for all functions of the PE, until somebody thaws them; a frozen PE
 * starts no DMA and its registers read as ones.
 */
import { type ArgsOf, type iommuApi, PE_DMA, PE_IO } from '@vfiolab/core';
import type { Group, Unit } from './unit.js';

export const FROZEN = 'frozen';
export const TRAPS = ['none', 'load', 'store'] as const;
export type Trap = (typeof TRAPS)[number];

/** An error has been seen on the bus. Other hosts go on. */
export function freeze({ driver }: Unit, group: Group): void {
  if (driver?.freezes) group.frozen = PE_IO | PE_DMA;
}

/** Answers what is frozen afterwards; of a host that freezes nothing, nothing. */
export function operate(unit: Unit, { bdf, op }: ArgsOf<typeof iommuApi.endpointOp>): number {
  const group = unit.functions.get(bdf)?.group;
  if (!group || !unit.driver?.freezes) return 0;
  if (op === 'freeze') freeze(unit, group);
  else if (op === 'thaw') group.frozen = 0;
  else if (op === 'thaw-io') group.frozen &= ~PE_IO;
  else if (op === 'thaw-dma') group.frozen &= ~PE_DMA;
  else if (op === 'trap-load') group.trap = 'load';
  else if (op === 'trap-store') group.trap = 'store';
  return group.frozen;
}

/** Does an access of the processor get through? Config space answers of a frozen PE too, but for the access that freezes it. */
export function access(unit: Unit, { bdf, config, write }: ArgsOf<typeof iommuApi.endpointAccess>): boolean {
  const group = unit.functions.get(bdf)?.group;
  if (!group) return true;
  if (!config) return (group.frozen & PE_IO) === 0;
  if (group.trap !== (write ? 'store' : 'load')) return true;
  group.trap = 'none';
  freeze(unit, group);
  return false;
}

/** SHA-256 over what a client could tell apart in a service's state. */
import { createHash } from 'node:crypto';
import type { Machine } from '@vfiolab/core';

export const stateHash = (machine: Machine): string =>
  createHash('sha256').update(machine.stateBytes('meaning')).digest('hex');

/**
 * What the parts of a network controller share: its registers, causes, counters, and its port.
 *
 * Words: a *life* ends when the driver resets the controller, while DMA may be under way: what comes back then is of no use.
 */
import type { Op } from '@vfiolab/core';
import type { ModelBus } from '../model.js';
import type { Causes } from './interrupts.js';
import type { Registers } from './registers.js';
import type { Statistics } from './statistics.js';

export interface Mac {
  readonly bus: ModelBus;
  readonly registers: Registers;
  readonly causes: Causes;
  readonly statistics: Statistics;
  readonly life: number;
  /** VLAN tags are put in and taken out. */
  readonly vlanMode: boolean;
  readonly vlanType: number;
  /** Sends a frame out of the port. */
  send(frame: Uint8Array): Op<void>;
}

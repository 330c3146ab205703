/** One SET_IRQS after its header was judged: vectors [start, start + count) exist, and the data are there. */
import type { IoctlResult, Op } from '@vfiolab/core';
import type { FdSource } from '../eventfds.js';
import type { VfioDevice } from '../vfio-device.js';

export interface IrqRequest {
  readonly index: number;
  readonly start: number;
  readonly count: number;
  /** One of VFIO_IRQ_SET_DATA_*. */
  readonly dataType: number;
  /** Empty, a byte a vector, or an s32 a vector. */
  readonly data: Uint8Array;
  readonly fds: FdSource;
}

/** Runs with the interrupt gate held. */
export type IrqAction = (device: VfioDevice, request: IrqRequest) => Op<IoctlResult>;

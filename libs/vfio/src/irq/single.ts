/**
 * SET_IRQS on the ERR and REQ indexes: one eventfd each (semantics D5.6).
 *
 * Rule: they are not kinds of interrupt, so they do not exclude INTx, MSI and MSI-X.
 */
import { DONE, type IoctlResult, type Op } from '@vfiolab/core';
import { fail, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_ERR_IRQ_INDEX } from '@vfiolab/uapi';
import { fdNumber, holdEventfd } from '../eventfds.js';
import type { SingleTrigger } from '../interrupts.js';
import type { VfioDevice } from '../vfio-device.js';
import type { IrqRequest } from './irq-request.js';

/** The header's rules leave start 0 and count 0 or 1. */
export function* triggerSingle(device: VfioDevice, r: IrqRequest): Op<IoctlResult> {
  const which: SingleTrigger = r.index === VFIO_PCI_ERR_IRQ_INDEX ? 'err' : 'req';
  if (r.dataType === VFIO_IRQ_SET_DATA_NONE) return yield* fireOrRemove(device, which, r.count);
  if (r.count === 0) return fail('EINVAL');
  if (r.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return yield* setSingle(device, which, r);
  if (r.data[0] !== 0) yield* device.irqs.signalSingle(which);
  return DONE;
}

/** Without data: one fires, zero removes, and without a trigger both are EINVAL. */
function* fireOrRemove({ irqs }: VfioDevice, which: SingleTrigger, count: number): Op<IoctlResult> {
  if (irqs.single[which] === undefined) return fail('EINVAL');
  if (count > 0) yield* irqs.signalSingle(which);
  else yield* irqs.setSingle(which, undefined);
  return DONE;
}

/** -1 removes; other negative numbers do nothing. */
function* setSingle({ irqs }: VfioDevice, which: SingleTrigger, r: IrqRequest): Op<IoctlResult> {
  const fd = fdNumber(r.data);
  if (fd === -1) yield* irqs.setSingle(which, undefined);
  if (fd < 0) return DONE;
  const held = yield* holdEventfd(r.fds, fd);
  if (!held.ok) return held;
  yield* irqs.setSingle(which, held.value);
  return DONE;
}

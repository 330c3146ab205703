/**
 * SET_IRQS on the INTx index (semantics D4, trace b050).
 *
 * Rule: INTx has one vector, so but for disabling (count 0, no data) start is 0 and count 1.
 */
import { DONE, type IoctlResult, type Op } from '@vfiolab/core';
import { fail, VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE } from '@vfiolab/uapi';
import { fdNumber, holdEventfd } from '../eventfds.js';
import type { VfioDevice } from '../vfio-device.js';
import type { IrqRequest } from './irq-request.js';

const isOne = (r: IrqRequest): boolean => r.start === 0 && r.count === 1;

/** Without data: yes. With a bool: as it says. */
const asked = (r: IrqRequest): boolean => r.dataType !== VFIO_IRQ_SET_DATA_BOOL || r.data[0] !== 0;

export function* maskIntx({ irqs }: VfioDevice, r: IrqRequest): Op<IoctlResult> {
  if (irqs.kind !== 'intx' || !isOne(r)) return fail('EINVAL');
  if (r.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return fail('ENOTTY');
  if (asked(r)) irqs.maskIntx();
  return DONE;
}

/**
 * An eventfd that unmasks when it is written to would have to wake us; nothing does yet, so it is refused as the kernel
 * refuses the one that masks. Taking one away (-1) is success: there is none.
 */
export function* unmaskIntx({ irqs }: VfioDevice, r: IrqRequest): Op<IoctlResult> {
  if (irqs.kind !== 'intx' || !isOne(r)) return fail('EINVAL');
  if (r.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return fdNumber(r.data) < 0 ? DONE : fail('ENOTTY');
  if (asked(r)) yield* irqs.unmaskIntx();
  return DONE;
}

export function* triggerIntx(device: VfioDevice, r: IrqRequest): Op<IoctlResult> {
  const { irqs } = device;
  const on = irqs.kind === 'intx';
  if (on && r.count === 0 && r.dataType === VFIO_IRQ_SET_DATA_NONE) {
    yield* irqs.disable();
    return DONE;
  }
  if (!(on || irqs.kind === 'none') || !isOne(r)) return fail('EINVAL');
  if (r.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return yield* setIntxTrigger(device, r);
  if (!on) return fail('EINVAL');
  if (asked(r)) yield* irqs.signalIntx();
  return DONE;
}

/** Enables INTx or swaps its eventfd; a negative fd leaves it enabled with none (semantics D4.3). */
function* setIntxTrigger({ irqs }: VfioDevice, r: IrqRequest): Op<IoctlResult> {
  const fd = fdNumber(r.data);
  let event: number | undefined;
  if (fd >= 0) {
    const held = yield* holdEventfd(r.fds, fd);
    if (!held.ok) return held;
    event = held.value;
  }
  if (irqs.kind !== 'intx') irqs.enable('intx', 0);
  yield* irqs.setTrigger(0, event);
  yield* irqs.deliverLine();
  return DONE;
}

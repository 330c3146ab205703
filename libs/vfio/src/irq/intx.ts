/**
 * SET_IRQS on the INTx index (semantics D4, trace b050).
 *
 * Rule: INTx has one vector, so but for disabling (count 0, no data) start is 0 and count 1.
 */
import { call, DONE, type IoctlResult, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { fail, VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE } from '@vfiolab/uapi';
import { fdNumber, holdEventfd, watchEventfd } from '../eventfds.js';
import type { Interrupts } from '../interrupts.js';
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

/** With an eventfd: every write to it unmasks. One at a time (EBUSY); a negative fd takes it away (trace b050). */
export function* unmaskIntx({ irqs }: VfioDevice, r: IrqRequest): Op<IoctlResult> {
  if (irqs.kind !== 'intx' || !isOne(r)) return fail('EINVAL');
  if (r.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return yield* setUnmask(irqs, r);
  if (asked(r)) yield* irqs.unmaskIntx();
  return DONE;
}

function* setUnmask(irqs: Interrupts, r: IrqRequest): Op<IoctlResult> {
  const fd = fdNumber(r.data);
  if (fd < 0) {
    yield* irqs.dropUnmask();
    return DONE;
  }
  const watched = yield* watchEventfd(r.fds, fd);
  if (!watched.ok) return watched;
  const { event, ready } = watched.value;
  if (irqs.unmask !== undefined) {
    yield* call(PAGES, pagesApi.eventfdUnwatch, { event });
    return fail('EBUSY');
  }
  irqs.unmask = event;
  if (ready) yield* irqs.unmaskIntx();
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

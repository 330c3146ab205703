/**
 * VFIO_DEVICE_SET_IRQS: enables, disables, masks and fires interrupts.
 *
 * Words: one *data type* (none, bool, eventfd) goes with one *action* (mask, unmask, trigger) on vectors
 * [start, start + count) of an index.
 * Rule: the header is judged first (EINVAL), then the data are fetched (EFAULT), then the action is looked up for the
 * index (ENOTTY), then it judges the rest (traces b050 to b054).
 */
import { type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import {
  copyIn,
  fail,
  irqSetDataLength,
  type StructOf,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
  vfio_irq_set,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';
import type { VfioDevice } from '../vfio-device.js';
import { maskIntx, triggerIntx, unmaskIntx } from '../irq/intx.js';
import type { IrqAction, IrqRequest } from '../irq/irq-request.js';
import { triggerMessages } from '../irq/messages.js';
import { triggerSingle } from '../irq/single.js';

type IrqSet = typeof vfio_irq_set;

const HEADER = vfio_irq_set.size;
const U32_MAX = 0xffffffff;
const KNOWN_FLAGS = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
const DATA_TYPES = [VFIO_IRQ_SET_DATA_NONE, VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD];

export function* setIrqs(c: DeviceCall<IrqSet>, cmd: StructOf<IrqSet>): Op<IoctlResult> {
  const { device } = c.file;
  if (!headerIsFine(device.irqCount(cmd.index), cmd, c.userSize)) return fail('EINVAL');
  const data = copyIn(c.user, c.arg + BigInt(HEADER), irqSetDataLength(cmd.flags, cmd.count));
  if (!data.ok) return data;
  yield* lockWrite(device.irqs.gate);
  const act = actionFor(device, cmd.index, cmd.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK);
  if (!act) return fail('ENOTTY');
  const request: IrqRequest = { ...cmd, dataType: cmd.flags & VFIO_IRQ_SET_DATA_TYPE_MASK, data: data.value, fds: c };
  return yield* act(device, request);
}

/** The rules that hold for every index and driver; count is at most the number of vectors from here on. */
export function headerIsFine(vectors: number, cmd: StructOf<IrqSet>, argsz: number): boolean {
  if (cmd.index >= VFIO_PCI_NUM_IRQS || cmd.count >= U32_MAX - cmd.start || cmd.flags & ~KNOWN_FLAGS) return false;
  if (cmd.start >= vectors || cmd.start + cmd.count > vectors) return false;
  if (!DATA_TYPES.includes(cmd.flags & VFIO_IRQ_SET_DATA_TYPE_MASK)) return false;
  return argsz - HEADER >= irqSetDataLength(cmd.flags, cmd.count);
}

/** Exactly one action, and one that the index has. */
function actionFor(device: VfioDevice, index: number, action: number): IrqAction | undefined {
  const trigger = action === VFIO_IRQ_SET_ACTION_TRIGGER;
  switch (index) {
    case VFIO_PCI_INTX_IRQ_INDEX:
      if (action === VFIO_IRQ_SET_ACTION_MASK) return maskIntx;
      if (action === VFIO_IRQ_SET_ACTION_UNMASK) return unmaskIntx;
      return trigger ? triggerIntx : undefined;
    case VFIO_PCI_MSI_IRQ_INDEX:
    case VFIO_PCI_MSIX_IRQ_INDEX:
      return trigger ? triggerMessages : undefined;
    case VFIO_PCI_ERR_IRQ_INDEX:
      return trigger && device.hasErrorIndex ? triggerSingle : undefined;
    case VFIO_PCI_REQ_IRQ_INDEX:
      return trigger ? triggerSingle : undefined;
    default:
      return undefined;
  }
}

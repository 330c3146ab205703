/**
 * VFIO_DEVICE_GET_IRQ_INFO and VFIO_DEVICE_SET_IRQS of a serial card. [samples/vfio-mdev/mtty.c]
 *
 * Rule: the indexes are there once the card has told of them (GET_INFO); INTx and MSI have one vector each, of which one is on at
 * a time. Flags that name no action, or several, do nothing.
 */
import { DONE, type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import {
  copyIn,
  fail,
  irqSetDataLength,
  ok,
  type StructOf,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  type vfio_irq_info,
  vfio_irq_set,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';
import { fdNumber, type FdSource, holdEventfd } from '../eventfds.js';
import { headerIsFine } from '../ioctl/set-irqs.js';
import type { SerialCard } from './serial-card.js';

type IrqInfo = typeof vfio_irq_info;
type IrqSet = typeof vfio_irq_set;

const INTX_INFO = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
const MSI_INFO = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;

export function getIrqInfo(c: DeviceCall<IrqInfo, SerialCard>, { index }: StructOf<IrqInfo>): IoctlResult {
  if (index >= c.file.device.irqIndexes || index > VFIO_PCI_MSI_IRQ_INDEX) return fail('EINVAL');
  const told = c.respond({ flags: index === VFIO_PCI_INTX_IRQ_INDEX ? INTX_INFO : MSI_INFO, count: 1 });
  return told.ok ? ok(0) : told;
}

interface Request {
  readonly index: number;
  readonly flags: number;
  readonly start: number;
  readonly count: number;
  readonly data: Uint8Array;
}

/** EINVAL: the header; EFAULT: the data; ENOTTY: an index or a kind of data without that action; EBADF: the eventfd. */
export function* setIrqs(c: DeviceCall<IrqSet, SerialCard>, cmd: StructOf<IrqSet>): Op<IoctlResult> {
  const card = c.file.device;
  if (!headerIsFine(card.irqIndexes, cmd, c.userSize)) return fail('EINVAL');
  const data = copyIn(c.user, c.arg + BigInt(vfio_irq_set.size), irqSetDataLength(cmd.flags, cmd.count));
  if (!data.ok) return data;
  yield* lockWrite(card.memory);
  if (cmd.index > VFIO_PCI_MSI_IRQ_INDEX) return fail('ENOTTY');
  const request = { ...cmd, data: data.value };
  const action = cmd.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
  if (action === VFIO_IRQ_SET_ACTION_TRIGGER) return yield* trigger(card, c, request);
  if (action === VFIO_IRQ_SET_ACTION_MASK) return mask(card, request, true);
  return action === VFIO_IRQ_SET_ACTION_UNMASK ? mask(card, request, false) : DONE;
}

const isOne = ({ start, count }: Request): boolean => start === 0 && count === 1;

/** No data, or a byte that says yes. */
const isAsked = ({ flags, data }: Request): boolean =>
  (flags & VFIO_IRQ_SET_DATA_NONE) !== 0 || ((flags & VFIO_IRQ_SET_DATA_BOOL) !== 0 && data[0] !== 0);

function mask(card: SerialCard, request: Request, masked: boolean): IoctlResult {
  if (request.index !== VFIO_PCI_INTX_IRQ_INDEX) return fail('ENOTTY');
  if (card.interrupt?.index !== VFIO_PCI_INTX_IRQ_INDEX || !isOne(request)) return fail('EINVAL');
  if (request.flags & VFIO_IRQ_SET_DATA_EVENTFD) return fail('ENOTTY');
  if (isAsked(request)) card.masked = masked;
  return DONE;
}

/** No vectors turn the index off. A bad eventfd has turned it off already. */
function* trigger(card: SerialCard, fds: FdSource, request: Request): Op<IoctlResult> {
  const { index, flags, count, data } = request;
  const on = card.interrupt?.index;
  if (on === index && count === 0 && flags & VFIO_IRQ_SET_DATA_NONE) {
    yield* card.disableInterrupt();
    return DONE;
  }
  if ((on !== undefined && on !== index) || !isOne(request)) return fail('EINVAL');
  if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
    yield* card.disableInterrupt();
    if (fdNumber(data) < 0) return DONE;
    const held = yield* holdEventfd(fds, fdNumber(data));
    if (!held.ok) return held;
    card.interrupt = { index, event: held.value };
    return DONE;
  }
  if (on !== index) return fail('EINVAL');
  if (isAsked(request)) yield* card.fire();
  return DONE;
}

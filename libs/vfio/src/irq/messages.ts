/**
 * SET_IRQS on the MSI and MSI-X indexes (semantics D5, traces b051 to b053).
 *
 * Rule: the first eventfds enable the index with start + count vectors. MSI cannot grow after that; MSI-X can
 * where the host's interrupt controller lets it. A vector
 * that fails takes the triggers of all vectors of the call before it away, and its own; when the call was the enabling
 * one the index is off again.
 */
import { call, DONE, IOMMU, iommuApi, type IoctlResult, type Op } from '@vfiolab/core';
import {
  fail,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_MSIX_IRQ_INDEX,
} from '@vfiolab/uapi';
import { fdNumber, holdEventfd } from '../eventfds.js';
import type { VfioDevice } from '../vfio-device.js';
import type { IrqRequest } from './irq-request.js';

export function* triggerMessages(device: VfioDevice, r: IrqRequest): Op<IoctlResult> {
  const { irqs } = device;
  const kind = r.index === VFIO_PCI_MSIX_IRQ_INDEX ? 'msix' : 'msi';
  const on = irqs.kind === kind;
  if (on && r.count === 0 && r.dataType === VFIO_IRQ_SET_DATA_NONE) {
    yield* irqs.disable();
    return DONE;
  }
  if (!(on || irqs.kind === 'none')) return fail('EINVAL');
  if (r.dataType === VFIO_IRQ_SET_DATA_EVENTFD)
    return on ? yield* setVectors(device, r) : yield* enable(device, kind, r);
  if (!on) return fail('EINVAL');
  for (let i = 0; i < r.count; i++)
    if (r.dataType !== VFIO_IRQ_SET_DATA_BOOL || r.data[i] !== 0) yield* irqs.signalVector(r.start + i);
  return DONE;
}

function* enable(device: VfioDevice, kind: 'msi' | 'msix', r: IrqRequest): Op<IoctlResult> {
  const vectors = r.start + r.count;
  // Allocating no vectors is a range error of the host's allocator (trace b052).
  if (vectors === 0) return fail('ERANGE');
  const ready = device.facts.msiTranslated ? yield* call(IOMMU, iommuApi.msiPrepare, { bdf: device.facts.bdf }) : DONE;
  if (!ready.ok) return ready;
  device.irqs.enable(kind, vectors);
  const set = yield* setVectors(device, r);
  if (!set.ok) yield* device.irqs.disable();
  return set;
}

function* setVectors(device: VfioDevice, r: IrqRequest): Op<IoctlResult> {
  for (let i = 0; i < r.count; i++) {
    const set = yield* setVector(device, r, i);
    if (set.ok) continue;
    for (let v = r.start; v < r.start + i; v++) yield* device.irqs.setTrigger(v, undefined);
    return set;
  }
  return DONE;
}

/** The old trigger goes first, whatever becomes of the new one; any negative fd is none (trace b052). */
function* setVector({ irqs, msixGrows }: VfioDevice, r: IrqRequest, i: number): Op<IoctlResult> {
  const vector = r.start + i;
  yield* irqs.setTrigger(vector, undefined);
  const fd = fdNumber(r.data, i);
  if (fd < 0) return DONE;
  if (vector >= irqs.allocated) {
    if (irqs.kind !== 'msix' || !msixGrows) return fail('EINVAL');
    irqs.allocated = vector + 1;
  }
  const held = yield* holdEventfd(r.fds, fd);
  if (!held.ok) return held;
  yield* irqs.setTrigger(vector, held.value);
  return DONE;
}

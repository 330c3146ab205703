/** VFIO_DEVICE_GET_IRQ_INFO: how many interrupts an index has, and what can be done with them (trace b040). */
import type { IoctlResult } from '@vfiolab/core';
import {
  fail,
  ok,
  type StructOf,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  type vfio_irq_info,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';
import type { VfioDevice } from '../vfio-device.js';

type IrqInfo = typeof vfio_irq_info;

export function getIrqInfo(c: DeviceCall<IrqInfo>, cmd: StructOf<IrqInfo>): IoctlResult {
  const { device } = c.file;
  if (cmd.index >= VFIO_PCI_NUM_IRQS) return fail('EINVAL');
  if (cmd.index === VFIO_PCI_ERR_IRQ_INDEX && !device.hasErrorIndex) return fail('EINVAL');
  const written = c.respond({
    flags: VFIO_IRQ_INFO_EVENTFD | abilities(device, cmd.index),
    count: device.irqCount(cmd.index),
  });
  return written.ok ? ok(0) : written;
}

/** MSI-X vectors may be added while it is on; a function without MSI-X says NORESIZE (semantics D5.1). */
function abilities(device: VfioDevice, index: number): number {
  if (index === VFIO_PCI_INTX_IRQ_INDEX) return VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
  return index === VFIO_PCI_MSIX_IRQ_INDEX && device.msixGrows ? 0 : VFIO_IRQ_INFO_NORESIZE;
}

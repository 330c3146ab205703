/**
 * From a fault's kind and parameters to what it does to a function.
 *
 * Rule: what cannot be is refused in words, and then nothing has happened. Storms are work of the model's that it never planned: they
 * end with a reset, when the function is closed, or when faults are cleared.
 */
import { call, type DeviceFault, type FaultName, IOMMU, iommuApi, lockWrite, type Op, time } from '@vfiolab/core';
import { VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX } from '@vfiolab/uapi';
import { tellMemory } from '../map-region.js';
import type { VfioDevice } from '../vfio-device.js';
import { MAX_STORMS, NEVER } from './device-faults.js';

type Effect = (device: VfioDevice, fault: DeviceFault) => Op<string>;

const EFFECTS: Readonly<Record<FaultName, Effect>> = {
  *'link-down'(device) {
    const { faults, name: bdf } = device;
    faults.gone = true;
    faults.endStorms();
    yield* device.fallSilent();
    // The IOMMU waits for nobody who is not there.
    yield* call(IOMMU, iommuApi.atsTimeout, { bdf, ms: 0 });
    return '';
  },
  *'link-up'(device) {
    const { faults } = device;
    if (!faults.gone) return '';
    yield* lockWrite(device.memory);
    yield* device.resetHardware(true);
    device.config.lose();
    faults.gone = false;
    return '';
  },
  'stuck-reset': stick,
  'slow-reset': stick,
  *'failing-reset'({ faults }, { count }) {
    faults.failing = count ?? NEVER;
    return '';
  },
  *'aer-correctable'({ faults }) {
    faults.corrected = Math.min(NEVER, faults.corrected + 1);
    return '';
  },
  *'aer-nonfatal'({ irqs }) {
    yield* irqs.signalSingle('err');
    return '';
  },
  *'aer-fatal'(device) {
    yield* device.irqs.signalSingle('err');
    yield* lockWrite(device.memory);
    yield* device.revoke();
    yield* device.resetHardware(true);
    device.config.lose();
    yield* tellMemory(device);
    return '';
  },
  'interrupt-storm': interruptStorm,
  'dma-storm': dmaStorm,
  *'ats-timeout'({ name }, { ms }) {
    yield* call(IOMMU, iommuApi.atsTimeout, { bdf: name, ms: ms ?? NEVER });
    return '';
  },
  'page-flood': pageFlood,
  *'slow-link'({ faults }, { delay, ms }) {
    faults.slow = { delay: delay!, until: ms === undefined ? NEVER : (yield* time()) + ms };
    return '';
  },
  *clear(device) {
    const { faults, name } = device;
    faults.clear();
    yield* call(IOMMU, iommuApi.atsTimeout, { bdf: name, ms: 0 });
    return '';
  },
};

/** Answers why not, in words; empty: it is so now. `fault` is well formed. */
export const cause = (device: VfioDevice, fault: DeviceFault): Op<string> =>
  EFFECTS[fault.kind as FaultName](device, fault);

function* stick({ faults, resets, name }: VfioDevice, { count, ms }: DeviceFault): Op<string> {
  if (resets.length === 0) return `${name} cannot be reset by any method now.`;
  faults.stuck = { left: count ?? NEVER, ms: ms ?? NEVER };
  return '';
}

/** Something that the function does `count` times. What is left of it goes with its model's plans. */
function* storm(device: VfioDevice, { count = 1, every = 1 }: DeviceFault, once: () => Op<unknown>): Op<string> {
  const { faults, bus, name } = device;
  if (faults.storms >= MAX_STORMS) return `${name} has ${MAX_STORMS} storms already. Clear its faults first.`;
  const { season } = faults;
  let left = count;
  const next = function* (): Op<void> {
    faults.storms--;
    if (faults.season !== season) return;
    yield* once();
    if (--left > 0 && faults.season === season) yield* plan();
  };
  const plan = function* (): Op<void> {
    faults.storms++;
    yield* bus.later(every, next, () => faults.storms--);
  };
  yield* plan();
  return '';
}

function* interruptStorm(device: VfioDevice, fault: DeviceFault): Op<string> {
  const { vector = 0 } = fault;
  const counts = [VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX].map((i) =>
    device.irqCount(i),
  );
  const most = Math.max(...counts);
  if (vector >= most) return `${device.name} has ${most} vectors, so no vector ${vector}.`;
  return yield* storm(device, fault, () => device.bus.raise(vector));
}

const STORM_BYTES = 64;

function* dmaStorm(device: VfioDevice, fault: DeviceFault): Op<string> {
  const { bytes = STORM_BYTES, write = false, pasid, iova = 0n } = fault;
  return yield* storm(device, fault, () =>
    write ? device.bus.dmaWrite(iova, new Uint8Array(bytes).fill(0xfe), pasid) : device.bus.dmaRead(iova, bytes, pasid),
  );
}

/** Requests are messages to the host: without bus master there are none. */
function* pageFlood(device: VfioDevice, { iova = 0n, write = false, pasid, count = 1 }: DeviceFault): Op<string> {
  if (!device.config.busMaster) return `${device.name} may not send anything: its bus master bit is off.`;
  if (yield* device.isSilent()) return `${device.name} does not answer, so it asks for nothing.`;
  yield* call(IOMMU, iommuApi.pageFlood, { bdf: device.name, pasid, iova, write, count });
  return '';
}

/**
 * What other services ask of a function: resets, faults, answers that it waits for, accesses of its peers.
 *
 * Rule: whoever asks after the driver has gone is told that nothing is there, and nothing happens.
 */
import { type Address, type ArgsOf, deviceApi, GROUPS, lockWrite, type Op, type Request } from '@vfiolab/core';
import { ok, type Result } from '@vfiolab/uapi';
import { ones } from './endpoint.js';
import { cause } from './faults/cause.js';
import { writeMatches } from './ioctl/ioeventfd.js';
import { tellMemory } from './map-region.js';
import { peerRead, peerWrite } from './peer-access.js';
import type { VfioDevice } from './vfio-device.js';
import { answerTo, frameArrives, noteArrives } from './wire.js';

type Args<M extends keyof typeof deviceApi> = ArgsOf<(typeof deviceApi)[M]>;

/** `of`: the function, while a driver is bound to it. */
export const ofFunction = (of: () => VfioDevice | undefined) => ({
  resetMethods(_: Request, { methods }: Args<'resetMethods'>): void {
    const device = of();
    if (device) device.resets = [...methods];
  },

  *functionReset(): Op<Result<void>> {
    const device = of();
    if (!device) return ok(undefined);
    yield* lockWrite(device.memory);
    return yield* device.resetFunction();
  },

  *endpointReset(_: Request, { phase }: Args<'endpointReset'>): Op<void> {
    const device = of();
    if (!device) return;
    yield* lockWrite(device.memory);
    yield* device.endpointReset(phase);
    yield* tellMemory(device);
  },

  /** A page that the model waits for has come, or will not. The DMA that asked has ended its register write by then. */
  *pageResponse(_: Request, { success }: Args<'pageResponse'>): Op<void> {
    const device = of();
    if (!device) return;
    yield* lockWrite(device.memory);
    if (device.model.pageResponse) yield* device.model.pageResponse(success);
  },

  /** A client has written to an eventfd that unmasks INTx or writes to registers. It may have been given back meanwhile. */
  *eventfdFired(_: Request, { event }: Args<'eventfdFired'>): Op<void> {
    const device = of();
    if (!device) return;
    if (device.irqs.unmask === event) yield* device.irqs.unmaskIntx();
    yield* writeMatches(device, event);
  },

  fault({ from }: { readonly from: Address }, fault: Args<'fault'>): Op<{ error: string }> {
    return causeIn(of(), from, fault);
  },

  frame: ({ from }: Request, { data }: Args<'frame'>): Op<void> => frameArrives(of(), from, data),
  note: ({ from }: Request, { data }: Args<'note'>): Op<void> => noteArrives(of(), from, data),
  ask: ({ from }: Request, { data }: Args<'ask'>): Uint8Array => answerTo(of(), from, data),

  *configSpace(): Op<Uint8Array> {
    const device = of();
    if (!device) return new Uint8Array(0);
    const { registers } = device.config;
    return (yield* device.isSilent()) ? ones(registers.length) : registers;
  },

  peerRead: (_: Request, { region, offset, length }: Args<'peerRead'>): Op<Uint8Array> =>
    peerRead(of(), region, offset, length),
  peerWrite: (_: Request, { region, offset, data }: Args<'peerWrite'>): Op<void> =>
    peerWrite(of(), region, offset, data),
});

function* causeIn(device: VfioDevice | undefined, from: Address, fault: Args<'fault'>): Op<{ error: string }> {
  if (from !== GROUPS) return { error: 'Only groups hands on faults.' };
  return { error: device ? yield* cause(device, fault) : `${fault.device} has no vfio-pci driver.` };
}

/**
 * What drivers of mediated devices and guests ask of containers: they come by no file, and have no ioctl.
 *
 * Rule: a device's group cannot leave while it is open, nor the backend go, so its requests need no lock of the container; waiting
 * for one would stop an unmap that waits for the driver. A guest's container may be gone.
 */
import { type Address, type ArgsOf, type containerApi, deviceOf, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Container } from './container.js';
import { isRegistered, putTce, windowFor } from './spapr/guest-tces.js';
import { copyMemory, pinPages, unpinPages } from './type1/external-pins.js';
import { Type1 } from './type1/type1.js';

type Containers = ReadonlyMap<number, Container>;
type Args<K extends keyof typeof containerApi> = ArgsOf<(typeof containerApi)[K]>;
interface From {
  readonly from: Address;
}

/** The backend of the container that a mediated device's group is in, where it is type1. */
function type1Of(containers: Containers, from: Address): Type1 | undefined {
  const name = deviceOf(from);
  for (const { backend, groups } of containers.values())
    if (backend instanceof Type1 && groups.some(({ emulated, members }) => emulated && members[0] === name))
      return backend;
  return undefined;
}

export const ofDrivers = (containers: Containers) => ({
  listen({ from }: From, { on }: Args<'listen'>): void {
    const type1 = type1Of(containers, from);
    if (!type1) return;
    const name = deviceOf(from)!;
    const others = type1.listeners.filter((each) => each !== name);
    type1.listeners = on ? [name, ...others] : others;
  },

  *pinPages({ from }: From, { first, count, prot }: Args<'pinPages'>): Op<Result<void>> {
    const type1 = type1Of(containers, from);
    return type1 ? yield* pinPages(type1, first, count, prot) : fail('ENOTTY');
  },

  *unpinPages({ from }: From, { first, count }: Args<'unpinPages'>): Op<void> {
    const type1 = type1Of(containers, from);
    if (type1) yield* unpinPages(type1, first, count);
  },

  *memoryRead({ from }: From, { client, iova, length }: Args<'memoryRead'>): Op<Result<Uint8Array>> {
    const type1 = type1Of(containers, from);
    if (!type1) return fail('ENOTTY');
    const bytes = new Uint8Array(length);
    const copied = yield* copyMemory(type1, { client, iova, write: false, bytes });
    return copied.ok ? ok(bytes) : copied;
  },

  *memoryWrite({ from }: From, { client, iova, data: bytes }: Args<'memoryWrite'>): Op<Result<void>> {
    const type1 = type1Of(containers, from);
    return type1 ? yield* copyMemory(type1, { client, iova, write: true, bytes }) : fail('ENOTTY');
  },
});

export const ofGuests = (containers: Containers) => ({
  tceWindow: (_: From, { container, ...table }: Args<'tceWindow'>) => windowFor(containers.get(container), table),
  tceRegistered: (_: From, { container, window, client, va }: Args<'tceRegistered'>) =>
    isRegistered(containers.get(container), window, client, va),
  tcePut: (_: From, { container, window, ...tce }: Args<'tcePut'>) => putTce(containers.get(container), window, tce),
});

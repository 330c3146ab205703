/**
 * TCEs that a guest writes: KVM puts them into a container's window without any ioctl on the container (capability 71).
 * [arch/powerpc/kvm/book3s_64_vio.c]
 *
 * Rule: KVM's table fits a window that begins where it begins, is not shorter, and has pages not larger than its own. KVM
 * names the window by a number that no other one ever has: into a window that is gone nothing is written.
 */
import { lockRead, lockWrite, type Op, PROT_READ, PROT_WRITE } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Container } from '../container.js';
import { build } from './build.js';
import { windowStart } from './platform.js';
import { type DmaWindow, Spapr } from './spapr.js';
import { clear } from './windows.js';

/** KVM's table: `offset` and `size` in its pages. */
export interface GuestTable {
  readonly pageShift: number;
  readonly offset: bigint;
  readonly size: bigint;
}

/** One TCE of KVM's table, for `client`'s memory at `va`; a `prot` of 0 clears it. */
export interface GuestTce {
  readonly client: string;
  readonly pageShift: number;
  readonly entry: number;
  readonly va: bigint;
  readonly prot: number;
}

const bytes = (pages: bigint, shift: number): bigint => BigInt.asUintN(64, pages << BigInt(shift));

const backendOf = (container: Container | undefined): Spapr | undefined =>
  container?.backend instanceof Spapr ? container.backend : undefined;

const windowOf = (spapr: Spapr | undefined, id: number): DmaWindow | undefined =>
  spapr?.windows.find((window) => window?.id === id);

/** The number of the first window that fits. EINVAL: none, or no windows at all. */
export function* windowFor(container: Container | undefined, table: GuestTable): Op<Result<{ window: number }>> {
  if (container) yield* lockRead(container.lock);
  const found = backendOf(container)?.windows.find((window) => window && fits(window, table));
  return found ? ok({ window: found.id }) : fail('EINVAL');
}

function fits({ place }: DmaWindow, { pageShift, offset, size }: GuestTable): boolean {
  if (place.pageShift > pageShift || windowStart(place) !== bytes(offset, pageShift)) return false;
  return bytes(BigInt(place.entries), place.pageShift) >= bytes(size, pageShift);
}

/** May a guest have this memory in the window? What begins there must be registered, in pages as large as the window's. */
export function isRegistered(container: Container | undefined, id: number, client: string, va: bigint): boolean {
  const spapr = backendOf(container);
  const window = windowOf(spapr, id);
  if (!spapr || !window) return true;
  const { pageShift } = window.place;
  const registration = spapr.host.registrations.containing(client, va, 1n << BigInt(pageShift));
  return registration !== undefined && pageShift <= registration.pageShift;
}

/** False: not all of the page is registered, or the backend is v1, which has no registered memory; nothing is there then. */
export function* putTce(container: Container | undefined, id: number, tce: GuestTce): Op<boolean> {
  if (container) yield* lockRead(container.lock);
  const spapr = backendOf(container);
  if (!spapr) return true;
  yield* lockWrite(spapr.lock);
  const window = windowOf(spapr, id);
  if (!window) return true;
  const count = 2 ** (tce.pageShift - window.place.pageShift);
  const entry = tce.entry * count;
  if (tce.prot === 0) {
    yield* clear(spapr, window, entry, entry + count);
    return true;
  }
  if (!spapr.v2) return false;
  const implied = tce.prot & PROT_WRITE && spapr.platform.writeImpliesRead ? PROT_READ : 0;
  const { client, va } = tce;
  const built = yield* build(spapr, window, { client, entry, count: BigInt(count), va, prot: tce.prot | implied });
  return built.ok;
}

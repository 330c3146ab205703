/**
 * Software MSI: on Arm an interrupt is a write to a doorbell page that the kernel maps for the device (semantics C2.3).
 *
 * Words: the *window* is where the kernel maps doorbells; this machine has one, so it takes the window's first page. A
 * function's *message* goes to that page, or, where none could be mapped when its vectors were allocated, to the doorbell
 * itself, which nothing maps.
 * Rule (SURPRISES 73, c004, c005, n011): 6.12 maps the page into the domain of that moment and nowhere else; since 7.2 a group
 * that has vectors takes it along, and vectors cannot be allocated without a domain.
 */
import { BLOCKING, KERNEL, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Domain, Domains } from './domain.js';
import { GRANULE_BITS } from './formats.js';
import type { IommuFunction } from './function.js';
import type { Stretch } from './translate.js';
import type { Group, Unit } from './unit.js';

/** Offset of the doorbell in its page, and its address where nothing maps it. */
const DOORBELL_OFFSET = 0x40n;
const RAW_DOORBELL = 0x8090040n;

/** First page of the window, in granules; undefined: interrupts do not go through the IOMMU. */
export function doorbellPage({ driver }: Unit): number | undefined {
  const window = driver?.reserved.find(({ type }) => type === 'sw-msi');
  return window && Number(window.start >> BigInt(GRANULE_BITS));
}

const pagingOf = (domains: Domains, attached: number): Domain | undefined => {
  const domain = domains.get(attached);
  return domain?.nested ? domains.get(domain.nested.parent) : domain;
};

/** Vectors are being allocated. ENOSPC: the function has no domain to map the doorbell in, or had none the first time. */
export function prepareMessages(unit: Unit, domains: Domains, device: IommuFunction): Result<void> {
  if (doorbellPage(unit) === undefined) return ok(undefined);
  const paging = pagingOf(domains, device.group.attached);
  const { keepsDoorbells } = unit.flags;
  if (keepsDoorbells && (!paging || device.message === 'failed')) {
    device.message = 'failed';
    return fail('ENOSPC');
  }
  device.message = paging ? 'mapped' : 'raw';
  if (paging) paging.doorbell = true;
  device.group.doorbell = keepsDoorbells;
  return ok(undefined);
}

/** The group has moved. */
export function carryDoorbell(unit: Unit, domains: Domains, group: Group): void {
  if (group.attached === KERNEL) {
    group.doorbell = false;
    for (const device of unit.membersOf(group)) device.message = 'raw';
  }
  const paging = group.doorbell ? pagingOf(domains, group.attached) : undefined;
  if (paging) paging.doorbell = true;
}

/** Does the DMA touch the doorbell page of the domain and nothing else? The doorbell takes it in. */
export const ringsDoorbell = (unit: Unit, domain: Domain, { page, offset, length }: Stretch): boolean =>
  domain.doorbell && page === doorbellPage(unit) && offset + length <= 1 << GRANULE_BITS;

/** A function's message reaches its interrupt; what does not is a DMA that the IOMMU refuses. */
export function* deliverMessage(unit: Unit, device: IommuFunction, write: (iova: bigint) => Op<boolean>): Op<boolean> {
  const page = doorbellPage(unit);
  if (page === undefined || device.group.attached === KERNEL) return true;
  if (device.group.attached === BLOCKING) return false;
  const mapped = (BigInt(page) << BigInt(GRANULE_BITS)) | DOORBELL_OFFSET;
  return yield* write(device.message === 'mapped' ? mapped : RAW_DOORBELL);
}

/**
 * mmap of a device's file: a window of a region in a process's memory.
 *
 * Words: a device is *mapped* once somebody has done it; from then on the pages service hears when it stops answering.
 * Rule: loads and stores there are accesses of their width to the region, which the program sends here; the pages service
 * knows the window because a container may map it for DMA (feature 8).
 */
import { type Address, type ArgsOf, call, type deviceApi, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { fail, type Result, VFIO_REGION_INFO_FLAG_MMAP } from '@vfiolab/uapi';
import { placeOf, regionSize } from './regions.js';
import type { VfioDevice } from './vfio-device.js';

const PAGE = 4096;

type Wanted = Omit<ArgsOf<typeof deviceApi.mapRegion>, 'token'>;

/** Answers the address. EINVAL: no region, not mappable, not on a page; else what pages says, who know how large a page is. */
export function* mapRegion(device: VfioDevice, client: Address, wanted: Wanted): Op<Result<number>> {
  const { index: region, offset } = placeOf(wanted.offset);
  const info = regionSize(device, region);
  const { va, length, prot } = wanted;
  if (!info || (info.flags & VFIO_REGION_INFO_FLAG_MMAP) === 0) return fail('EINVAL');
  const pages = Math.ceil(info.size / PAGE);
  if (length === 0 || offset % PAGE !== 0) return fail('EINVAL');
  const { bdf } = device.facts;
  const window = { bdf, client, region, pages, page: offset / PAGE };
  const mapped = yield* call(PAGES, pagesApi.mmapDevice, { ...window, va, length, prot });
  if (mapped.ok) yield* tellMemory(device, true);
  return mapped;
}

/** Tells the pages service whether the device's memory answers, once it is mapped and when that has changed. */
export function* tellMemory(device: VfioDevice, mapped = device.mapped): Op<void> {
  const on = device.config.memoryEnabled;
  if (!mapped || (device.mapped && device.memoryTold === on)) return;
  device.mapped = true;
  device.memoryTold = on;
  yield* call(PAGES, pagesApi.deviceMemory, { bdf: device.facts.bdf, on });
}

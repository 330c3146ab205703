/**
 * Windows of devices in a program's address space (mmap of a VFIO device file).
 *
 * Words: a *mapping* is a range of addresses that stands for a piece of a region; it holds its file open, as a VMA does, so
 * that the device stays bound after the last close (trace b043).
 * Rule: a load or store there is one access of its own width to the region. Such memory is in no page table of the `pages`
 * service, so it cannot be pinned: mapping it for DMA answers EFAULT, as iommufd does (trace b034).
 */
import { MMAP_PROT_WRITE, sysApi } from '@vfiolab/core';
import { fail, ok, type Result, type StructOf, VFIO_REGION_INFO_FLAG_MMAP, type vfio_region_info } from '@vfiolab/uapi';

import type { OpenFile } from './descriptors.js';
import type { Link } from './link.js';

const PAGE = 4096;
/** Regions lie this far apart in a device's file. */
const REGION_STEP = 2 ** 40;
/** Mappings of one program. */
export const MAX_DEVICE_MAPPINGS = 1024;
/** Where mappings go when the program names no address. */
const FIRST_VA = 0x7d00_0000_0000;

export interface DeviceMapping {
  readonly va: number;
  readonly length: number;
  readonly file: OpenFile;
  /** Offset in the file. */
  readonly offset: number;
  readonly prot: number;
}

export const regionIndexOf = (offset: number): number => Math.floor(offset / REGION_STEP);

/** What mmap says to a piece of a region. EINVAL: not mappable, not on a page, or beyond the region's last page. */
export function checkMapping(
  { flags, size }: StructOf<typeof vfio_region_info>,
  offset: number,
  length: number,
): Result<void> {
  const start = offset % REGION_STEP;
  const end = start + Math.ceil(length / PAGE) * PAGE;
  const room = Math.ceil(Number(size) / PAGE) * PAGE;
  const fits = length > 0 && start % PAGE === 0 && end <= room;
  return fits && (flags & VFIO_REGION_INFO_FLAG_MMAP) !== 0 ? ok(undefined) : fail('EINVAL');
}

export class DeviceMappings {
  private readonly all: DeviceMapping[] = [];
  private next = FIRST_VA;

  /** Answers the address. EINVAL: `va` is not on a page; EEXIST: another mapping of a device is there; ENOMEM: too many. */
  add(mapping: DeviceMapping): Result<number> {
    if (this.all.length >= MAX_DEVICE_MAPPINGS) return fail('ENOMEM');
    const length = Math.ceil(mapping.length / PAGE) * PAGE;
    const va = mapping.va === 0 ? this.next : mapping.va;
    if (va % PAGE !== 0) return fail('EINVAL');
    if (this.all.some((each) => va < each.va + each.length && each.va < va + length)) return fail('EEXIST');
    if (mapping.va === 0) this.next += length + PAGE;
    this.all.push({ ...mapping, va, length });
    return ok(va);
  }

  /** The mapping that holds all of [va, va + length). */
  holding(va: number, length: number): DeviceMapping | undefined {
    return this.all.find((each) => va >= each.va && va + length <= each.va + each.length);
  }

  /** Takes away the mappings that lie in the range as a whole; the rest of the range is not for this class. */
  remove(va: number, length: number): DeviceMapping[] {
    const gone = this.all.filter((each) => each.va >= va && each.va + each.length <= va + length);
    for (const each of gone) this.all.splice(this.all.indexOf(each), 1);
    return gone;
  }

  list(): readonly DeviceMapping[] {
    return this.all;
  }

  clear(): void {
    this.all.length = 0;
  }
}

/** Loads of exactly `width` bytes from a mapping, one after another. EIO: the device does not answer there (SIGBUS). */
export async function loadFrom(
  link: Link,
  { file, offset, va: start }: DeviceMapping,
  va: number,
  width: number,
  count: number,
): Promise<Result<Uint8Array>> {
  const all = new Uint8Array(width * count);
  for (let at = 0; at < all.length; at += width) {
    const place = { token: file.token, offset: offset + (va - start) + at, length: width };
    const bytes = await link.call(file.owner, sysApi.pread, place);
    if (!bytes.ok) return bytes;
    all.set(bytes.value, at);
  }
  return ok(all);
}

/** Stores of exactly `width` bytes into a mapping, one after another. EFAULT: it is read-only (SIGSEGV); EIO as above. */
export async function storeTo(
  link: Link,
  { file, offset, prot, va: start }: DeviceMapping,
  va: number,
  width: number,
  data: Uint8Array,
): Promise<Result<void>> {
  if ((prot & MMAP_PROT_WRITE) === 0) return fail('EFAULT');
  for (let at = 0; at < data.length; at += width) {
    const piece = { token: file.token, offset: offset + (va - start) + at, data: data.slice(at, at + width) };
    const written = await link.call(file.owner, sysApi.pwrite, piece);
    if (!written.ok) return written;
  }
  return ok(undefined);
}

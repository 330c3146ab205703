/**
 * Windows of devices in a program's address space (mmap of a VFIO device file, or of a vIOMMU's window).
 *
 * Words: a *mapping* is a range of addresses that stands for a piece of a file; it is one of the file's users, as a VMA is,
 * so that the device stays bound after the last close (trace b043). Calls on a part of a mapping cut it (trace c031).
 * Rule: a load or store there is one access of its own width to the region. The `pages` service knows regions too, and has no
 * bytes for them: only a container can map them for DMA (traces b033, b034). It knows nothing of vIOMMU windows.
 */
import { deviceApi, deviceOf, MMAP_PROT_WRITE, sysApi } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';

import type { OpenFile } from './descriptors.js';
import type { Link } from './link.js';

const PAGE = 4096;
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

const pageEnd = (va: number, length: number): number => va + Math.ceil(length / PAGE) * PAGE;

export class DeviceMappings {
  private readonly all: DeviceMapping[] = [];
  private next = FIRST_VA;

  get full(): boolean {
    return this.all.length >= MAX_DEVICE_MAPPINGS;
  }

  /** Answers the address. EINVAL: `va` is not on a page; EEXIST: another mapping of a device is there; ENOMEM: too many. */
  add(mapping: DeviceMapping): Result<number> {
    if (this.full) return fail('ENOMEM');
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

  /** Takes away what is mapped in the pages of the range; the rest of it is not for this class. ENOMEM: too many pieces. */
  remove(va: number, length: number): Result<DeviceMapping[]> {
    const inside = this.cutOut(va, length);
    if (inside.ok) for (const each of inside.value) this.all.splice(this.all.indexOf(each), 1);
    return inside;
  }

  /** mprotect(2); undefined: not all of the range is here. ENOMEM: too many pieces. */
  protect(va: number, length: number, prot: number): Result<void> | undefined {
    const end = pageEnd(va, length);
    let covered = va;
    for (const each of this.meeting(va, end)) if (each.va <= covered) covered = each.va + each.length;
    if (va % PAGE !== 0 || end === va || covered < end) return undefined;
    const inside = this.cutOut(va, length);
    if (!inside.ok) return inside;
    for (const each of inside.value) this.all[this.all.indexOf(each)] = { ...each, prot };
    return ok(undefined);
  }

  /** In the order of their addresses. */
  private meeting(va: number, end: number): DeviceMapping[] {
    return this.all.filter((each) => each.va < end && va < each.va + each.length).sort((a, b) => a.va - b.va);
  }

  /** Cuts mappings at the ends of the range, and answers those inside. None when the range does not begin on a page. */
  private cutOut(va: number, length: number): Result<DeviceMapping[]> {
    if (va % PAGE !== 0) return ok([]);
    const end = pageEnd(va, length);
    const cut = [va, end].filter((at) => this.all.some((each) => each.va < at && at < each.va + each.length));
    if (this.all.length + cut.length > MAX_DEVICE_MAPPINGS) return fail('ENOMEM');
    cut.forEach((at) => this.cut(at));
    return ok(this.meeting(va, end));
  }

  /** Makes two mappings of the one around `at`. */
  private cut(at: number): void {
    const i = this.all.findIndex((each) => each.va < at && at < each.va + each.length);
    const { va, length, offset, ...rest } = this.all[i]!;
    const head = at - va;
    this.all[i] = { ...rest, va, offset, length: head };
    this.all.push({ ...rest, va: at, offset: offset + head, length: length - head });
    rest.file.users++;
  }

  list(): readonly DeviceMapping[] {
    return this.all;
  }

  clear(): void {
    this.all.length = 0;
  }
}

/** A load from a device's window reaches the function itself; other windows are files of their own. */
const isDevice = ({ owner }: OpenFile): boolean => deviceOf(owner) !== undefined;

/**
 * Loads of exactly `width` bytes from a mapping, one after another. EFAULT: it allows nothing (SIGSEGV); EIO: the device does
 * not answer there (SIGBUS).
 */
export async function loadFrom(
  link: Link,
  { file, offset, prot, va: start }: DeviceMapping,
  va: number,
  width: number,
  count: number,
): Promise<Result<Uint8Array>> {
  if (prot === 0) return fail('EFAULT');
  const all = new Uint8Array(width * count);
  for (let at = 0; at < all.length; at += width) {
    const place = { token: file.token, offset: offset + (va - start) + at, length: width };
    const bytes = await link.call(file.owner, isDevice(file) ? deviceApi.load : sysApi.pread, place);
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
    const written = await link.call(file.owner, isDevice(file) ? deviceApi.store : sysApi.pwrite, piece);
    if (!written.ok) return written;
  }
  return ok(undefined);
}

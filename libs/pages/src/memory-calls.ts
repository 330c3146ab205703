/**
 * System calls of a process on its memory that need more than its address space: shared mappings, mlock, fork.
 *
 * Rule: an answer is decided before anything changes, but where Linux itself stops half-way (mlock over a hole).
 */
import { CAP_IPC_LOCK, MMAP_PROT_WRITE } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { MemoryFiles, OpenMemory } from './memory-files.js';
import type { Process } from './processes.js';

/** Address 0: the kernel chooses. Bytes; `prot`: PROT_*. */
interface Place {
  readonly va: number;
  readonly length: number;
  readonly prot: number;
}

/** mmap with MAP_SHARED | MAP_ANONYMOUS: a nameless file as long as the mapping. ENFILE; else as AddressSpace.mmap. */
export function mapShared(process: Process, files: MemoryFiles, place: Place & { pageShift: number }): Result<number> {
  const { pageShift } = place;
  if (pageShift !== 12 && pageShift !== 21 && pageShift !== 30) return fail('EINVAL');
  const made = files.make(process.nextFileName(), pageShift);
  if (!made.ok) return made;
  const file = made.value;
  const whole = Math.max(2 ** pageShift, process.space.pageSize);
  file.size = Math.ceil(place.length / whole) * whole;
  const mapped = process.space.mapFile({ ...place, file, offset: 0, mayWrite: true });
  if (!mapped.ok) files.discard(file);
  return mapped;
}

/**
 * mmap of a memfd with MAP_SHARED. EACCES: writable, but opened for reading only; EPERM: writable, but sealed against
 * that; else as AddressSpace.mapFile. A writable mapping of a hugetlb file makes it as long as the mapping, as hugetlbfs
 * does.
 */
export function mapMemory(process: Process, open: OpenMemory, place: Place & { offset: number }): Result<number> {
  const { file, writable } = open;
  const wantsWrite = (place.prot & MMAP_PROT_WRITE) !== 0;
  if (wantsWrite && !writable) return fail('EACCES');
  if (wantsWrite && file.writeSealed) return fail('EPERM');
  const mapped = process.space.mapFile({ ...place, file, mayWrite: writable && !file.writeSealed });
  if (!mapped.ok || file.pageShift === 12 || !wantsWrite) return mapped;
  const whole = 2 ** file.pageShift;
  file.size = Math.max(file.size, place.offset + Math.ceil(place.length / whole) * whole);
  return mapped;
}

/**
 * mlock(2): the pages are charged to VmLck until munlock, munmap or exit. Pages that are locked already are not charged
 * again. EPERM: RLIMIT_MEMLOCK is 0; ENOMEM: above the limit, a hole in the range, or a page that cannot be touched;
 * EAGAIN: the host is out of memory. What devices pin for this mm counts against the same limit (traces a020, a022).
 */
export function mlock(process: Process, va: number, length: number): Result<void> {
  const { space, memlock } = process;
  const free = (process.caps & CAP_IPC_LOCK) !== 0;
  if (memlock === 0 && !free) return fail('EPERM');
  const { first, end } = space.pagesOf(va, length);
  const wanted = process.vmLocked + end - first - space.lockedIn(first, end);
  if (!free && wanted > process.memlockPages) return fail('ENOMEM');
  const locked = space.lock(first, end, true);
  return locked.ok ? space.bringIn(first, end) : locked;
}

/** munlock(2). ENOMEM: a hole in the range, or too many VMAs. */
export function munlock(process: Process, va: number, length: number): Result<void> {
  const { first, end } = process.space.pagesOf(va, length);
  return process.space.lock(first, end, false);
}

/**
 * fork(2), as seen from memory: `child` is a process that was started and has done nothing yet; it gets what the parent
 * has, and the parent's identity and limit. What the parent has pinned stays the parent's (semantics B3.6).
 * EEXIST: the child has memory already; ENOMEM.
 */
export function forkMemory(parent: Process, child: Process): Result<void> {
  if (child === parent || child.space.vmaCount > 0 || child.stores > 0) return fail('EEXIST');
  if (!child.space.copyFrom(parent.space)) return fail('ENOMEM');
  child.uid = parent.uid;
  child.caps = parent.caps;
  child.memlock = parent.memlock;
  return ok(undefined);
}

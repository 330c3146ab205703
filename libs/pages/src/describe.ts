/**
 * The state of the pages service for people: one line an object, in the order in which the objects
 * were made; and as figures.
 */
import { RLIMIT_MM, RLIMIT_USER } from '@vfiolab/core';
import type { PagesState } from './audit.js';
import { PAGE } from './frame-bytes.js';
import type { MemoryFile } from './memory-file.js';
import type { Process } from './processes.js';
import type { Store } from './store.js';

export function describePages({
  frames,
  files,
  processes,
  stores,
  accounting,
  eventfds,
  special,
}: PagesState): string[] {
  const pinned = frames.pins.covered();
  return [
    `host: ${frames.total} frames, ${frames.free.available} free, ${pinned} pinned; ${eventfds.size} eventfds`,
    ...Array.from(processes.all(), describeProcess),
    ...accounting.charged().map(({ uid, pages }) => `user ${uid}: ${pages} pages locked`),
    ...Array.from(files.all(), describeFile),
    ...Array.from(special.dmabufs(), ({ bytes }) => `dma-buf of /dev/udmabuf: ${bytes} bytes`),
    ...Array.from(stores.all(), describeStore),
  ];
}

/** What must be 0 on a host at rest. `pins` counts pinned slots and `charges` pages, over all who pay. */
export function pagesFigures(state: PagesState): Record<string, number> {
  const { frames, files, processes, stores, accounting, eventfds, special } = state;
  const all = [...processes.all()];
  const mlocked = all.reduce((sum, { space }) => sum + space.lockedPages, 0);
  const pins = all.reduce((sum, process) => sum + process.pinned, 0);
  const lockedByMm = all.reduce((sum, process) => sum + process.locked + process.charged, 0);
  const lockedByUser = accounting.charged().reduce((sum, { pages }) => sum + pages, 0);
  return {
    processes: all.length,
    stores: [...stores.all()].length,
    files: files.size,
    pins,
    charges: lockedByMm + lockedByUser + mlocked,
    eventfds: eventfds.size,
    specialFiles: special.size,
    usedFrames: frames.total - frames.free.available,
  };
}

function describeProcess({ pid, client, uid, ended, space, pinned, vmLocked }: Process): string {
  const kb = PAGE / 1024;
  const memory = `${space.vmaCount} VMAs, ${space.mappedBytes} bytes, ${space.resident} pages resident`;
  return `process ${pid}: ${client}, uid ${uid}${ended ? ', ended' : ''}; ${memory}; VmLck ${vmLocked * kb} kB, VmPin ${pinned * kb} kB`;
}

function describeFile({ id, name, size, pageShift, cache, users }: MemoryFile): string {
  const kind = pageShift > 12 ? `hugetlb pages of 2^${pageShift} bytes` : 'pages';
  return `file ${id}: made by ${name.maker}, ${size} bytes, ${cache.pages} frames, ${kind}, ${users} users`;
}

function describeStore({ id, payer, page, slots, writable, pinned, file }: Store): string {
  const payers: Record<number, string> = { [RLIMIT_USER]: `user ${payer.uid}`, [RLIMIT_MM]: `mm ${payer.process.pid}` };
  const access = writable ? 'writable' : 'read-only';
  const memory = file?.memory ? `file ${file.memory.id}` : 'a file without pages';
  const where = `${file ? memory : `process ${payer.process.pid}`} at 0x${(BigInt(page) * BigInt(PAGE)).toString(16)}`;
  return `store ${id}: ${where}, ${slots} slots, ${access}, ${pinned} pinned, charged to ${payers[payer.mode] ?? 'nobody'}`;
}

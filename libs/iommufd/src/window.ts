/**
 * Windows: pages of a vIOMMU's driver that a program maps through /dev/iommu (feature 85).
 *
 * Words: a window has *offsets* in /dev/iommu, where mmap finds it, and *bytes*, which every mapping of it shows. A mapping
 * is an open file of kind `iommufd-window`, so that it ends with its process like any other.
 * Rule: a window is mapped as a whole or not at all, and its vIOMMU stays as long as a mapping does (semantics E1).
 */
import { fail, ok, PAGE_SIZE, type Result } from '@vfiolab/uapi';
import { MMAP_PROT_EXEC, type NewFile, type Request } from '@vfiolab/core';
import { type Context, isViommu } from './context.js';
import type { OpenFiles } from './open-files.js';
import type { Viommu } from './viommu.js';

export class Window {
  readonly bytes: Uint8Array;
  /** Files that stand for mappings. */
  mappings = 0;

  /** Offsets [start, start + length). */
  constructor(
    readonly start: number,
    readonly length: number,
  ) {
    this.bytes = new Uint8Array(length);
  }
}

/** The lowest free offsets of that length, from the second page on, as a window of zeros. */
export function freeWindow({ objects }: Context, length: number): Window {
  const used = objects.all().flatMap((o) => (isViommu(o) ? (o.window ?? []) : []));
  let start = PAGE_SIZE;
  for (const window of used.sort((a, b) => a.start - b.start)) {
    if (window.start - start >= length) break;
    start = window.start + window.length;
  }
  return new Window(start, length);
}

export interface Place {
  readonly offset: number;
  readonly length: number;
  readonly prot: number;
  readonly shared: boolean;
}

/** mmap(2), in the kernel's order of checks (c031). EINVAL: private; EPERM: executable; ENXIO: no such window; ENOMEM. */
export function mapWindow(files: OpenFiles, req: Request, context: Context, place: Place): Result<NewFile> {
  if (!place.shared) return fail('EINVAL');
  if (place.prot & MMAP_PROT_EXEC) return fail('EPERM');
  const viommu = viommuAt(context, place);
  if (!viommu?.window) return fail('ENXIO');
  const opened = files.open(req, { kind: 'iommufd-window', context, object: viommu });
  if (!opened.ok) return fail('ENOMEM');
  viommu.window.mappings++;
  viommu.users++;
  return opened;
}

/** The vIOMMU whose window is at exactly these pages. */
function viommuAt({ objects }: Context, { offset, length }: Place): Viommu | undefined {
  const pages = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
  return objects.all().find((o): o is Viommu => isViommu(o) && o.window?.start === offset && o.window.length === pages);
}

/** A mapping is gone. */
export function unmapWindow(viommu: Viommu): void {
  viommu.window!.mappings--;
  viommu.users--;
}

/** A load from a mapping. EFAULT: outside of it. */
export function readWindow({ window }: Viommu, offset: number, length: number): Result<Uint8Array> {
  return offset + length <= window!.length ? ok(window!.bytes.slice(offset, offset + length)) : fail('EFAULT');
}

/** A store into a mapping. EFAULT: outside of it. */
export function writeWindow({ window }: Viommu, offset: number, data: Uint8Array): Result<number> {
  if (offset + data.length > window!.length) return fail('EFAULT');
  window!.bytes.set(data, offset);
  return ok(data.length);
}

/**
 * Where the pages of a store come from: a process's memory, a file in memory, or a file that has no pages.
 *
 * Rule: `pinnable` is asked first, then `populate`, then `pieces`; nothing comes between.
 */
import type { Errno } from '@vfiolab/uapi';
import type { Span } from './extents.js';
import type { Piece } from './run-map.js';

export interface PageSource {
  /** What a pin of pages that are not there answers. */
  readonly refusal: Errno;
  /** `devices`: device memory may be among them. */
  pinnable(first: number, end: number, writable: boolean, devices?: boolean): boolean;
  /** Pages of the range that cost nobody anything: device memory. */
  free(first: number, end: number): number;
  /** Gives every page of the spans a frame. False: out of memory, and nothing changed. */
  populate(spans: readonly Span[]): boolean;
  /** The frames behind populated pages. */
  pieces(first: number, end: number): Piece[];
}

/** A file of another kind: mapping it is fine as long as nobody looks at its pages (trace c062). */
export const NO_PAGES: PageSource = {
  refusal: 'EINVAL',
  pinnable: () => false,
  free: () => 0,
  populate: () => true,
  pieces: () => [],
};

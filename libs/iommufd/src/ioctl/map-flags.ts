/** Flags that MAP and COPY share. */
import { PROT_READ, PROT_WRITE } from '@vfiolab/core';

export const FIXED = 1;
export const WRITEABLE = 2;
export const READABLE = 4;
export const KNOWN_MAP_FLAGS = FIXED | WRITEABLE | READABLE;

/** Protection of the IOPTEs; 0 when the flags allow nothing. */
export const protOf = (flags: number): number =>
  (flags & READABLE ? PROT_READ : 0) | (flags & WRITEABLE ? PROT_WRITE : 0);

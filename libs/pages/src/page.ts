/** Bytes of a frame. */
export const PAGE = 4096;

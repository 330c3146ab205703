/**
 * What the policies of the FGD paper (USENIX ATC 2023) have in common in its authors' simulator: scores are whole numbers from 0
 * to 100, and resources are measured against the largest host of its cluster.
 */
export const HIGHEST = 100;
/** Thousandths of a processor and of a GPU. */
export const MAX_CPU = 128_000;
export const MAX_GPU = 8_000;

/** What an NVMe controller stores: one namespace of logical blocks. It outlives resets and drivers. */
import { MEMORY_PAGE, SparseMemory } from '../sparse-memory.js';

export const BLOCK_SHIFT = 9;
export const BLOCK = 1 << BLOCK_SHIFT;
/** 64 MiB. */
export const BLOCKS = (64 * 1024 * 1024) / BLOCK;
export const BLOCKS_PER_PAGE = MEMORY_PAGE / BLOCK;

export const newMedia = (): SparseMemory => new SparseMemory(BLOCKS * BLOCK);

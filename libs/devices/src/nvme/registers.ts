/**
 * Registers of an NVMe controller (NVM Express Base 1.4, section 3.1), and what this one offers in them.
 *
 * Words: a *page* is a page of host memory as the driver chose it (CC.MPS); a *doorbell* tells that a queue's tail or head
 * moved. Doorbells lie side by side from 0x1000 on: tail of submission queue 0, head of completion queue 0, tail of 1 ...
 */
export const CAP = 0x00;
export const VS = 0x08;
export const INTMS = 0x0c;
export const INTMC = 0x10;
export const CC = 0x14;
export const CSTS = 0x1c;
export const AQA = 0x24;
export const ASQ = 0x28;
export const ACQ = 0x30;
export const DOORBELLS = 0x1000;
export const DOORBELL_BYTES = 4;

/** I/O queue pairs; with the admin queue one more. */
export const IO_QUEUES = 16;
export const QUEUES = IO_QUEUES + 1;
/** Bytes that answer: all doorbells, in whole pages. */
export const REGISTER_BYTES = 0x2000;
/** Entries of the largest I/O queue. */
export const MAX_ENTRIES = 1024;
/** As AQA has room for. */
export const MAX_ADMIN_ENTRIES = 4096;
export const SUBMISSION_BYTES = 64;
export const COMPLETION_BYTES = 16;

/** Largest transfer of one command: 2^MDTS pages of 4 KiB. */
export const MDTS = 5;
export const MAX_TRANSFER = 4096 << MDTS;

/** 64 KiB is the largest page of host memory. */
export const MAX_PAGE_SHIFT = 16;
const TIMEOUT_HALF_SECONDS = 20n;
const CONTIGUOUS_QUEUES = 1n << 16n;
const NVM_COMMAND_SET = 1n << 37n;

export const CAPABILITIES =
  BigInt(MAX_ENTRIES - 1) |
  CONTIGUOUS_QUEUES |
  (TIMEOUT_HALF_SECONDS << 24n) |
  NVM_COMMAND_SET |
  (BigInt(MAX_PAGE_SHIFT - 12) << 52n);
export const VERSION = 0x0001_0400;

export const CC_ENABLE = 1;
export const pageShiftOf = (cc: number): number => 12 + ((cc >>> 7) & 0xf);
/** Shutdown notification: 0 none, 1 normal, 2 abrupt. */
export const shutdownOf = (cc: number): number => (cc >>> 14) & 3;

export const CSTS_READY = 1;
export const CSTS_FATAL = 2;
export const CSTS_SHUT_DOWN = 2 << 2;

/**
 * The input keys of every kind of step.
 *
 * Rule: a key that is not listed is an error of the file, so that a misspelt one is never passed over.
 */
import { RESULT_KEYS } from './trace.js';

interface Keys {
  readonly required: readonly string[];
  readonly optional?: readonly string[];
}

export const STEP_KEYS: ReadonlyMap<string, Keys> = new Map<string, Keys>([
  ['open', { required: ['path', 'flags', 'as'] }],
  ['close', { required: ['fd'] }],
  ['dup', { required: ['fd', 'as'] }],
  ['ioctl', { required: ['fd', 'req'], optional: ['in', 'tail', 'arg', 'bind', 'as', 'buflen'] }],
  ['mmap', { required: ['len'], optional: ['prot', 'flags', 'fd', 'off', 'addr', 'align', 'as'] }],
  ['munmap', { required: ['addr', 'len'] }],
  ['mprotect', { required: ['addr', 'len', 'prot'] }],
  ['madvise', { required: ['addr', 'len', 'advice'] }],
  ['mlock', { required: ['addr', 'len'] }],
  ['memfd_create', { required: [], optional: ['flags', 'as'] }],
  ['ftruncate', { required: ['fd', 'len'] }],
  ['fallocate', { required: ['fd', 'mode', 'off', 'len'] }],
  ['seal', { required: ['fd', 'seals'] }],
  ['lseek', { required: ['fd', 'off'], optional: ['whence'] }],
  ['eventfd', { required: ['as'], optional: ['init', 'flags'] }],
  ['read', { required: ['fd', 'len'], optional: ['timeout_ms'] }],
  ['write', { required: ['fd'], optional: ['data', 'items'] }],
  ['pread', { required: ['fd', 'off', 'len'] }],
  ['pwrite', { required: ['fd', 'off', 'data'] }],
  ['poll', { required: ['fd', 'events', 'timeout_ms'] }],
  ['peek', { required: ['addr', 'width', 'count'] }],
  ['poke', { required: ['addr', 'width', 'values'] }],
  ['fill', { required: ['addr', 'len', 'start'], optional: ['step'] }],
  ['wait_mmio', { required: ['addr', 'width', 'mask', 'while'], optional: ['timeout_ms'] }],
  ['setrlimit', { required: ['cur', 'max'] }],
  ['setuid', { required: ['uid'] }],
  ['proc_status', { required: [] }],
  ['sysfs_write', { required: ['path', 'data'], optional: ['timeout_ms', 'as'] }],
  ['sysfs_wait', { required: ['handle', 'timeout_ms'] }],
  ['sysfs_read', { required: ['path'] }],
  ['readlink', { required: ['path'] }],
  ['listdir', { required: ['path'] }],
  ['stat', { required: ['path'] }],
  ['chmod', { required: ['path', 'mode'] }],
  ['klog', { required: [] }],
  ['sleep', { required: ['ms'] }],
  ['fork', { required: ['as'], optional: ['keep'] }],
  ['exit', { required: [] }],
]);

/** Keys that any step may have: its number and kind, the process, a remark, and results. */
export const COMMON_KEYS: ReadonlySet<string> = new Set([
  'i',
  'op',
  'proc',
  'note',
  'undefined',
  'resolved',
  'log',
  ...RESULT_KEYS,
]);

/** Does a step of this kind take the key as input? */
export function isInput(op: string, key: string): boolean {
  const keys = STEP_KEYS.get(op);
  return keys !== undefined && (keys.required.includes(key) || (keys.optional?.includes(key) ?? false));
}

/** Kernels whose behaviour can be asked for. Rule: a difference between them is a table row, never a version check. */
export type KernelProfile = '6.12' | '7.2' | '7.3';

export const KERNEL_PROFILES: readonly KernelProfile[] = ['6.12', '7.2', '7.3'];
export const DEFAULT_PROFILE: KernelProfile = '6.12';

/**
 * Kernel profiles: the releases whose answers can be asked for. A release that changed an ioctl's length rules says so
 * in the ioctl's own definition (`profiles`); nobody else compares versions.
 */

export const kernelProfiles = ['6.12', '7.2', '7.3'] as const;

export type KernelProfile = (typeof kernelProfiles)[number];

export const isKernelProfile = (text: string): text is KernelProfile =>
  (kernelProfiles as readonly string[]).includes(text);

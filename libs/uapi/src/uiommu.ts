/**
 * The calls of two designs of 2010 that Linux never merged, for teaching: an IOMMU that a program opens and binds devices
 * to, and devices that share each other's. Numbers 0x3bf0..0x3bf3, which no kernel uses.
 *
 * Words: a *domain* is one open of /dev/uiommu, or the one that a device has of its own.
 * Rule: the mails of that time name the calls and not their arguments, so MAP and UNMAP take the structs of type1.
 */
import { ioctl, plainIoctl } from './ioctl.js';
import { vfio_iommu_type1_dma_map, vfio_iommu_type1_dma_unmap } from './vfio-type1.js';

/** On a device; the argument points at the fd of a /dev/uiommu. */
export const UIOMMU_BIND = plainIoctl({ name: 'UIOMMU_BIND', nr: 0x3bf0, fd: 'device', arg: 's32', argIsFd: true });

/** On a device; the argument points at the fd of the device whose domain it shall use. */
export const UIOMMU_SHARE = plainIoctl({ name: 'UIOMMU_SHARE', nr: 0x3bf1, fd: 'device', arg: 's32', argIsFd: true });

/** On a /dev/uiommu, or on a device: then it is the device's domain that is meant. */
export const UIOMMU_MAP = ioctl({
  name: 'UIOMMU_MAP',
  nr: 0x3bf2,
  fd: 'uiommu',
  struct: vfio_iommu_type1_dma_map,
  minSize: 32,
});

/** `size` comes back as the bytes that went. */
export const UIOMMU_UNMAP = ioctl({
  name: 'UIOMMU_UNMAP',
  nr: 0x3bf3,
  fd: 'uiommu',
  struct: vfio_iommu_type1_dma_unmap,
  minSize: 24,
  copyBack: 'struct',
});

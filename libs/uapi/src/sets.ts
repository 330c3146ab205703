/**
 * The ioctls each kind of fd answers, collected from the files that define them so that no name is written twice.
 *
 * The one rule: within a set every number is unique; the index of a front door checks it.
 */
import type { AnyIoctlDef, IoctlSet } from './ioctl.js';
import * as container from './vfio-container.js';
import * as device from './vfio.js';
import * as feature from './vfio-feature.js';
import * as group from './vfio-group.js';
import * as hwpt from './iommufd-hwpt.js';
import * as info from './vfio-info.js';
import * as kvm from './kvm.js';
import * as iommufd from './iommufd.js';
import * as migration from './vfio-migration.js';
import * as spapr from './vfio-spapr.js';
import * as test from './iommufd-test.js';
import * as type1 from './vfio-type1.js';
import * as udmabuf from './udmabuf.js';
import * as uiommu from './uiommu.js';
import * as viommu from './iommufd-viommu.js';

/** The members of a module that are ioctl definitions. */
type IoctlsIn<M> = { readonly [K in keyof M as M[K] extends AnyIoctlDef ? K : never]: M[K] };

function ioctlsIn<M extends object>(module: M): IoctlsIn<M> {
  const isIoctl = (value: unknown): boolean => typeof value === 'object' && value !== null && 'nr' in value;
  return Object.fromEntries(Object.entries(module).filter(([, value]) => isIoctl(value))) as IoctlsIn<M>;
}

/** /dev/iommu, native part. */
export const iommufdIoctls = {
  ...ioctlsIn(iommufd),
  ...ioctlsIn(hwpt),
  ...ioctlsIn(viommu),
  ...ioctlsIn(test),
} satisfies IoctlSet;

/** A container before it has a backend; every backend's container answers these too. */
export const containerIoctls = ioctlsIn(container) satisfies IoctlSet;

/** What the type1 backend adds. */
export const type1Ioctls = ioctlsIn(type1) satisfies IoctlSet;

/** The compatibility ioctls of an iommufd: those of a type1 container, but without its dirty tracking (trace b073). */
export const compatIoctls = {
  ...containerIoctls,
  VFIO_IOMMU_GET_INFO: type1.VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA: type1.VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA: type1.VFIO_IOMMU_UNMAP_DMA,
} satisfies IoctlSet;

/** What the SPAPR backend adds. */
export const spaprIoctls = {
  ...ioctlsIn(spapr),
  VFIO_IOMMU_MAP_DMA: type1.VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA: type1.VFIO_IOMMU_UNMAP_DMA,
} satisfies IoctlSet;

export const groupIoctls = ioctlsIn(group) satisfies IoctlSet;

export const deviceIoctls = { ...ioctlsIn(info), ...ioctlsIn(device), ...ioctlsIn(feature) } satisfies IoctlSet;

/** The data fd of a migration. */
export const migrationIoctls = ioctlsIn(migration) satisfies IoctlSet;

/** /dev/udmabuf. */
export const udmabufIoctls = ioctlsIn(udmabuf) satisfies IoctlSet;

/** /dev/kvm, a VM, and its VFIO device; by what an ioctl of KVM is made on. */
export const kvmIoctls = {
  KVM_GET_API_VERSION: kvm.KVM_GET_API_VERSION,
  KVM_CREATE_VM: kvm.KVM_CREATE_VM,
  KVM_CHECK_EXTENSION: kvm.KVM_CHECK_EXTENSION,
} satisfies IoctlSet;

export const kvmVmIoctls = {
  KVM_CHECK_EXTENSION: kvm.KVM_CHECK_EXTENSION,
  KVM_CREATE_DEVICE: kvm.KVM_CREATE_DEVICE,
  KVM_SET_USER_MEMORY_REGION: kvm.KVM_SET_USER_MEMORY_REGION,
  KVM_CREATE_SPAPR_TCE_64: kvm.KVM_CREATE_SPAPR_TCE_64,
} satisfies IoctlSet;

export const kvmDeviceIoctls = {
  KVM_SET_DEVICE_ATTR: kvm.KVM_SET_DEVICE_ATTR,
  KVM_GET_DEVICE_ATTR: kvm.KVM_GET_DEVICE_ATTR,
  KVM_HAS_DEVICE_ATTR: kvm.KVM_HAS_DEVICE_ATTR,
} satisfies IoctlSet;

/** No kernel's: what a guest does that is not there. Made on a VM. */
export const labIoctls = { VFIOLAB_H_PUT_TCE: kvm.VFIOLAB_H_PUT_TCE } satisfies IoctlSet;

/** Of no kernel: the designs of 2010, on a /dev/uiommu and on the device nodes of that time. */
export const uiommuIoctls = ioctlsIn(uiommu) satisfies IoctlSet;

/** Every ioctl of VFIO and iommufd, KVM's for them, the lab's own, and the designs of 2010, by name: for tools that read names. */
export const ioctlsByName: ReadonlyMap<string, AnyIoctlDef> = new Map<string, AnyIoctlDef>(
  [
    ...[iommufdIoctls, containerIoctls, type1Ioctls, spaprIoctls, groupIoctls, deviceIoctls, migrationIoctls],
    ...[kvmIoctls, kvmVmIoctls, kvmDeviceIoctls, labIoctls, uiommuIoctls],
  ].flatMap((set) => Object.entries<AnyIoctlDef>(set)),
);

/**
 * The public list of @vfiolab/uapi. The header files' contents (structs, numbers, flags, ioctls) are exported whole: each of
 * their names is the kernel's. Everything of ours is named one by one.
 */
export type { AnyStruct, Field, Fields, FlexibleArray, Struct, StructOf } from './codec.js';
export {
  bytes,
  decode,
  decodeArray,
  encode,
  encodeArray,
  flexible,
  nested,
  s32,
  s32_element,
  s64,
  struct,
  u16,
  u32,
  u32s,
  u64,
  u64s,
  u8,
  u8_element,
  writeFields,
} from './codec.js';
export type { Errno, Fail, Ok, Result } from './errno.js';
export { errnoName, errnoNumber, errnos, fail, isErrno, ok } from './errno.js';
export type { KernelProfile } from './profile.js';
export { isKernelProfile, kernelProfiles } from './profile.js';
export type {
  AnyIoctlDef,
  AnyIoctlRow,
  ArgContext,
  CmdOf,
  CopyBack,
  Extension,
  FdKind,
  FdSlot,
  IoctlDef,
  IoctlForm,
  IoctlIndex,
  IoctlRow,
  IoctlSet,
  IoctlTable,
  PlainArg,
  PlainCmd,
  PlainIoctlDef,
  UserRange,
} from './ioctl.js';
export { findRow, indexTable, ioctl, plainIoctl } from './ioctl.js';
export { fromPowerpc, toPowerpc } from './powerpc.js';
export { bitmapBytes } from './metadata.js';
export { shapeReader, shapeWriter } from './shape.js';
export type { UserMemory } from './user-memory.js';
export { copyIn, copyOut, isZeroed, PAGE_SIZE, readUserS32, readUserString } from './user-memory.js';
export type { OpenIoctl } from './entry.js';
export {
  closeIoctl,
  IOMMUFD_FIRST_NR,
  IOMMUFD_LAST_NR,
  isNativeNumber,
  openIoctl,
  openPlain,
  refuseUnknown,
} from './entry.js';
export type { Capability, CapabilityReply, FoundCapability } from './caps.js';
export { capabilityReply, parseChain } from './caps.js';
export {
  compatIoctls,
  containerIoctls,
  deviceIoctls,
  groupIoctls,
  ioctlsByName,
  iommufdIoctls,
  kvmDeviceIoctls,
  kvmIoctls,
  kvmVmIoctls,
  labIoctls,
  migrationIoctls,
  spaprIoctls,
  type1Ioctls,
  udmabufIoctls,
  uiommuIoctls,
} from './sets.js';

export * from './iommufd.js';
export * from './iommufd-driver.js';
export * from './iommufd-hwpt.js';
export * from './iommufd-test.js';
export * from './iommufd-viommu.js';
export * from './kvm.js';
export * from './udmabuf.js';
export * from './uiommu.js';
export * from './vfio.js';
export * from './vfio-ccw.js';
export * from './vfio-container.js';
export * from './vfio-feature.js';
export * from './vfio-group.js';
export * from './vfio-info.js';
export * from './vfio-migration.js';
export * from './vfio-spapr.js';
export * from './vfio-type1.js';
export * from './vfio-zdev.js';

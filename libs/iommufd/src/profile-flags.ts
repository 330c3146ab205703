/**
 * Where kernel releases differ in iommufd, as named facts.
 *
 * Rule: no other file of this library compares releases. Whether an ioctl exists, and how long its struct is, stands in
 * its definition (uapi). Source: the same programs run on 6.12.117 and 7.2.13.
 */
import type { Errno, KernelProfile } from '@vfiolab/uapi';

export interface ProfileFlags {
  readonly profile: KernelProfile;
  /** MAP judges user_va + length beyond 2^64 (EOVERFLOW) before a length that is too long (EINVAL). */
  readonly mapWrapFirst: boolean;
  /** IOMMU_HWPT_ALLOC flags of a paging HWPT, FAULT_ID_VALID apart, and of a nested one. */
  readonly pagingFlags: number;
  readonly nestedFlags: number;
  /** A paging HWPT may have driver data. */
  readonly pagingData: boolean;
  /** A paging HWPT may have a fault queue. */
  readonly pagingFaults: boolean;
  /** GET_HW_INFO lets the caller name the type of data he wants. */
  readonly hwInfoInputType: boolean;
  /** Capabilities that GET_HW_INFO knows, and whether it tells the width of PASIDs. */
  readonly hardwareCapabilities: bigint;
  readonly pasids: boolean;
  /** HWPT_INVALIDATE of an object that exists and cannot be invalidated. */
  readonly invalidateWrongType: Errno;
  /** GET_DIRTY_BITMAP with length 0. */
  readonly dirtyOfNothing: Errno;
  /** /dev/iommu can be mapped, where a vIOMMU has a window. */
  readonly windows: boolean;
  /** Self-test: bytes of iommu_hwpt_selftest that the mock driver knows. */
  readonly mockDataSize: number;
  /** Self-test: mock domains use a page table of AMD's format, with every power of two as a page (a040). */
  readonly mockAmdTables: boolean;
  /** Self-test: flags of a mock device. */
  readonly mockDeviceFlags: number;
  /** Self-test: the ops about PASIDs, vIOMMUs and dma-bufs. */
  readonly mockVirtualizes: boolean;
  /** Self-test: DIRTY counts the bits it was given, mapped or not. */
  readonly mockCountsGivenBits: boolean;
  /** Self-test: a bit of DIRTY stands for an address, not for a page number. */
  readonly mockMarksByAddress: boolean;
  /** Self-test: MD_CHECK_MAP looks the HWPT up before it judges the addresses. */
  readonly mockLooksUpFirst: boolean;
}

const BEFORE: Omit<ProfileFlags, 'profile'> = {
  mapWrapFirst: false,
  pagingFlags: 3,
  nestedFlags: 4,
  pagingData: false,
  pagingFaults: false,
  hwInfoInputType: false,
  hardwareCapabilities: 1n,
  pasids: false,
  invalidateWrongType: 'ENOENT',
  dirtyOfNothing: 'EINVAL',
  windows: false,
  mockDataSize: 4,
  mockAmdTables: false,
  mockDeviceFlags: 3,
  mockVirtualizes: false,
  mockCountsGivenBits: false,
  mockMarksByAddress: false,
  mockLooksUpFirst: false,
};

const SINCE_7_2: Omit<ProfileFlags, 'profile'> = {
  mapWrapFirst: true,
  pagingFlags: 11,
  nestedFlags: 12,
  pagingData: true,
  pagingFaults: true,
  hwInfoInputType: true,
  hardwareCapabilities: 15n,
  pasids: true,
  invalidateWrongType: 'EINVAL',
  dirtyOfNothing: 'EOVERFLOW',
  windows: true,
  mockDataSize: 8,
  mockAmdTables: true,
  mockDeviceFlags: 5,
  mockVirtualizes: true,
  mockCountsGivenBits: true,
  mockMarksByAddress: true,
  mockLooksUpFirst: true,
};

export const flagsOf = (profile: KernelProfile): ProfileFlags => ({
  profile,
  ...(profile === '6.12' ? BEFORE : SINCE_7_2),
});

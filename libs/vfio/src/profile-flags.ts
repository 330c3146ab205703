/**
 * What differs between kernel releases on a device's file, as named flags.
 *
 * Rule: nobody else compares releases. The differences were measured (traces b011, b064, b065, d001, d005).
 */
import type { KernelProfile } from '@vfiolab/uapi';

export interface ProfileFlags {
  readonly profile: KernelProfile;
  /** BIND_IOMMUFD may carry a VF token. */
  readonly bindTakesToken: boolean;
  /** The DMA_BUF feature exists. */
  readonly exportsDmabufs: boolean;
  /** The MIG_PRECOPY_INFOv2 feature exists; a device without PRE_COPY refuses even to be probed for it (EINVAL). */
  readonly hasPrecopyInfo2: boolean;
  /** An ioeventfd may write 8 bytes. */
  readonly wideIoeventfds: boolean;
  /** Functions without PCI Express have the ERR index too. */
  readonly errForAll: boolean;
  /** A device without an IOMMU has a cdev too (semantics A4.3). */
  readonly noiommuCdevs: boolean;
  /** Functions of s390 hand out the records of their errors (feature ZPCI_ERROR). */
  readonly zpciErrors: boolean;
  /** While a function with ATS is reset its IOMMU translates none of its requests (semantics C1.5). */
  readonly parksInReset: boolean;
  /** ATTACH and DETACH know the PASID flag. */
  readonly knowsPasid: boolean;
}

const V6_12: ProfileFlags = {
  profile: '6.12',
  bindTakesToken: false,
  exportsDmabufs: false,
  hasPrecopyInfo2: false,
  wideIoeventfds: true,
  errForAll: false,
  noiommuCdevs: false,
  zpciErrors: false,
  parksInReset: false,
  knowsPasid: false,
};
const V7_2: ProfileFlags = {
  profile: '7.2',
  bindTakesToken: true,
  exportsDmabufs: true,
  hasPrecopyInfo2: true,
  wideIoeventfds: false,
  errForAll: false,
  noiommuCdevs: false,
  zpciErrors: false,
  parksInReset: true,
  knowsPasid: true,
};
const V7_3: ProfileFlags = { ...V7_2, profile: '7.3', errForAll: true, noiommuCdevs: true, zpciErrors: true };

const all: Readonly<Record<KernelProfile, ProfileFlags>> = { '6.12': V6_12, '7.2': V7_2, '7.3': V7_3 };

export const flagsOf = (profile: KernelProfile): ProfileFlags => all[profile];

/**
 * Where kernel releases differ in containers, as named facts.
 *
 * Rule: no other file of this library compares releases. Source: the same programs run on 6.12.117 and 7.2.13.
 */
import type { KernelProfile } from '@vfiolab/uapi';

export interface ProfileFlags {
  readonly profile: KernelProfile;
  /** Type1 still names its nested variant (extension 6), though no IOMMU can be attached to it (DIFF 13). */
  readonly nestedType1: boolean;
  /** Ranges that wrap are EOVERFLOW, judged before permissions and alignment; before, they were EINVAL after them (DIFF 14). */
  readonly wrapIsOverflow: boolean;
  /** A mapping of the last page of the 64-bit space is found again; before, its end wrapped to 0 (DIFF 14). */
  readonly findsLastPage: boolean;
}

const BEFORE = { nestedType1: true, wrapIsOverflow: false, findsLastPage: false };
const AFTER = { nestedType1: false, wrapIsOverflow: true, findsLastPage: true };

export const flagsOf = (profile: KernelProfile): ProfileFlags => ({
  profile,
  ...(profile === '6.12' ? BEFORE : AFTER),
});

/** What the PASID flag of ATTACH and DETACH is answered with: no function here has PASIDs. */
import type { Errno, KernelProfile } from '@vfiolab/uapi';

/** 6.12 knows no flags (EINVAL); later kernels know this one, and refuse it for want of support (uAPI section 4). */
export const refusePasid = (profile: KernelProfile, flags: number, pasid: number): Errno =>
  profile === '6.12' || flags !== pasid ? 'EINVAL' : 'EOPNOTSUPP';

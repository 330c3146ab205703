/** What KVM of each processor architecture answers differently, as far as the lab has it. */
import type { Errno } from '@vfiolab/uapi';

export type Processors = 'x86' | 'arm64' | 'power' | 's390';

export interface KvmTraits {
  /** The argument of KVM_CREATE_VM. */
  acceptsType(type: number): boolean;
  /** An ioctl that a VM does not know. */
  readonly unknown: Errno;
  /** Guests write TCEs by hypercalls (SPAPR). */
  readonly tces: boolean;
  /** Of memory slots. */
  readonly addressSpaces: number;
  readonly readOnlySlots: boolean;
}

/** log2 of a guest's memory on arm64: the type is that, or 0 for what the host can. */
const [MIN_IPA_BITS, MAX_IPA_BITS] = [32, 48];
/** POWER: 0 is the best that the host has, 1 and 2 ask for one kind. */
const LAST_POWER_TYPE = 2;
/** s390: 1 leaves the guest's control to the program. */
const LAST_S390_TYPE = 1;

const KVM_TRAITS: Readonly<Record<Processors, KvmTraits>> = {
  x86: {
    acceptsType: (type) => type === 0,
    unknown: 'ENOTTY',
    tces: false,
    addressSpaces: 2,
    readOnlySlots: true,
  },
  arm64: {
    acceptsType: (type) => type === 0 || (type >= MIN_IPA_BITS && type <= MAX_IPA_BITS),
    unknown: 'EINVAL',
    tces: false,
    addressSpaces: 1,
    readOnlySlots: true,
  },
  s390: {
    acceptsType: (type) => type <= LAST_S390_TYPE,
    unknown: 'ENOTTY',
    tces: false,
    addressSpaces: 1,
    readOnlySlots: false,
  },
  power: {
    acceptsType: (type) => type <= LAST_POWER_TYPE,
    unknown: 'ENOTTY',
    tces: true,
    addressSpaces: 1,
    readOnlySlots: false,
  },
};

export const traitsOf = ({ processors }: { readonly processors: Processors }): KvmTraits => KVM_TRAITS[processors];

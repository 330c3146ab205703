/**
 * A scenario after reading: the host, its processes, and the steps in their order.
 *
 * Words: an *action* is what a step does (`ioctl`, `open` ...); its *arguments* are as the file has them, checked by the
 * schema. A *number* may be text: hex, a size, kernel constants or a variable; see values.ts.
 * Rule: what is in here has been checked; running it can fail only by the answers that the host gives.
 */
import type { CrashPlan } from './environment.js';
import type { Credentials } from '@vfiolab/client';
import type { FaultName, FaultParameter, KvmHolds, RawRules, Teaching, VfioContainer } from '@vfiolab/core';

/** A number as the file may have it. */
export type Num = number | string;

/** Bytes; exactly one key. */
export interface Buffer {
  readonly hex?: string;
  readonly text?: string;
  readonly zero?: Num;
  readonly count?: Num;
  readonly u8?: readonly Num[];
  readonly u16?: readonly Num[];
  readonly u32?: readonly Num[];
  readonly s32?: readonly Num[];
  readonly u64?: readonly Num[];
}

export type StructFields = Readonly<Record<string, Num>>;
export type FieldValue = Num | Buffer | readonly (Num | StructFields)[];

/** Bytes of a write, or the value of a register; exactly one key. */
export interface Payload {
  readonly hex?: string;
  readonly text?: string;
  readonly u8?: Num;
  readonly u16?: Num;
  readonly u32?: Num;
  readonly u64?: Num;
}

type Region = string | number;

/** Arguments of each action, by its key in the file. */
export interface ActionArgs {
  note: string;
  open: { readonly path: string };
  close: { readonly fd: Num };
  dup: { readonly fd: Num };
  grant: { readonly fd: Num; readonly to: string };
  ioctl: {
    readonly fd: Num;
    readonly name: string;
    readonly in?: Readonly<Record<string, FieldValue>>;
    /** Of an ioctl without a struct: a number, or a text. */
    readonly arg?: Num;
    readonly tail?: Buffer;
    readonly room?: Num;
  };
  pread: { readonly fd: Num; readonly region: Region; readonly at: Num; readonly length?: Num } & Omit<
    Payload,
    'hex' | 'text'
  >;
  pwrite: { readonly fd: Num; readonly region: Region; readonly at: Num } & Payload;
  recv: { readonly fd: Num; readonly length: Num };
  send: { readonly fd: Num } & Buffer;
  /** From one stream into another, to the end. */
  pipe: { readonly from: Num; readonly to: Num };
  /** `from` and `to` are IOVAs. */
  dma: {
    readonly fd: Num;
    readonly from: Num;
    readonly to: Num;
    readonly length: Num;
    readonly bigEndian?: boolean;
  };
  mmap: {
    readonly length: Num;
    /** A device's region instead of memory. */
    readonly fd?: Num;
    readonly region?: Region;
    readonly pages?: '4KiB' | '2MiB' | '1GiB';
    readonly prot?: 'none' | 'r' | 'w' | 'rw';
    readonly at?: Num;
  };
  munmap: { readonly at: Num; readonly length: Num };
  write: { readonly at: Num; readonly fill?: { readonly length: Num; readonly value: number } } & Payload;
  read: { readonly at: Num; readonly length: Num };
  eventfd: { readonly init?: Num };
  wait: { readonly event: Num; readonly within?: string };
  sysfs_write: { readonly path: string; readonly data: string };
  /** `mode`: octal digits. */
  chmod: { readonly path: string; readonly mode: string };
  sysfs_read: { readonly path: string };
  readlink: { readonly path: string };
  listdir: { readonly path: string };
  setrlimit: { readonly memlock: Num };
  status: object;
  faults: { readonly device: string };
  /** Numbers as `DEVICE_FAULTS` bounds them. */
  fault: {
    readonly device: string;
    readonly kind: FaultName;
    readonly write?: boolean;
  } & Readonly<Partial<Record<Exclude<FaultParameter, 'write'>, Num>>>;
  /** Rules by name. */
  plan: { readonly clear?: readonly string[]; readonly release?: readonly string[]; readonly add?: RawRules };
  exit: object;
  check: { readonly figures?: Readonly<Record<string, Num>>; readonly invariants?: 'hold' };
}

export type ActionName = keyof ActionArgs;

/** What the call must answer: `errno`, or a fact of the answer by its name. */
export type Expect = Readonly<Record<string, unknown>> & { readonly errno?: string };

export interface Step<A extends ActionName = ActionName> {
  /** Counts from 1. */
  readonly number: number;
  readonly line: number;
  readonly action: A;
  readonly args: ActionArgs[A];
  readonly process: string;
  readonly say: string | undefined;
  readonly means: string | undefined;
  readonly expect: Expect;
  readonly as: string | undefined;
  /** Field of the ioctl's struct -> variable. */
  readonly bind: Readonly<Record<string, string>>;
  readonly crash: CrashPlan | undefined;
}

export interface HostSpec {
  /** As the file names it. */
  readonly machine: string;
  /** Where its description lies. */
  readonly machineFile: string;
  /** Bytes. */
  readonly memory: number;
  readonly profile: string;
  /** Undefined: what the machine's description says. */
  readonly iommu: string | undefined;
  readonly allowUnsafeInterrupts: boolean;
  /** Who serves /dev/vfio/vfio. */
  readonly vfioContainer: VfioContainer;
  /** How the kernel's KVM holds what VFIO gives it; undefined: no /dev/kvm. */
  readonly kvm: KvmHolds | undefined;
  /** The parent of mediated devices makes memory cards too. */
  readonly memoryCards: boolean | undefined;
  /** Designs that Linux never merged, beside its own. */
  readonly teaching: Teaching | undefined;
  /** log2 of the kernel's page in bytes. */
  readonly pageShift: number;
}

export interface ProcessSpec extends Credentials {
  readonly name: string;
}

export interface Scenario {
  readonly file: string;
  readonly title: string;
  readonly about: string;
  readonly host: HostSpec;
  /** In the order in which they start. */
  readonly processes: readonly ProcessSpec[];
  /** What goes wrong from the beginning on. */
  readonly faults: RawRules;
  readonly steps: readonly Step[];
}

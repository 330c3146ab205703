/**
 * What an ioctl is: one definition that carries its number, its struct, its length rules per kernel, and what it points at.
 *
 * Words: the *image* is the kernel's copy of the argument struct, always the kernel's size; the *tail* is what the caller
 * passes behind the struct; a *form* is the length rules one kernel applies; *copy-back* is what the kernel writes over
 * the caller's struct when the call succeeds.
 * The one rule: each ioctl is defined exactly once, under its kernel name; numbers, sizes and pointers live nowhere else.
 */
import type { AnyStruct, StructOf } from './codec.js';
import type { KernelProfile } from './profile.js';
import { kernelProfiles } from './profile.js';

/**
 * Which open file takes the ioctl. Numbers are unique only within one kind. `spapr` is a container fd whose backend is
 * SPAPR TCE: it reuses type1's numbers. `migration` is the data fd a migration state change returns, `uiommu` an open of
 * /dev/uiommu.
 */
export type FdKind =
  | 'iommufd'
  | 'container'
  | 'spapr'
  | 'group'
  | 'device'
  | 'migration'
  | 'udmabuf'
  | 'kvm'
  | 'kvm-vm'
  | 'kvm-device'
  | 'uiommu';

/**
 * Bytes the caller's struct leads to. `pin`: pages are referenced, not copied, so there is nothing to fetch.
 * `length` is what the struct claims, up to 2^64: whoever fetches must bound it.
 */
export interface UserRange {
  readonly what: string;
  readonly va: bigint;
  readonly length: bigint;
  readonly access: 'in' | 'out' | 'inout' | 'pin';
}

/**
 * `count` s32 fd numbers at byte `offset` of the argument. `in` are passed to the kernel, `out` are made by it.
 * `count` is what the struct claims, up to 2^32 - 1: whoever reads them must bound it. `va`: they are not in the argument but
 * in memory that it points at, `offset` from there.
 */
export interface FdSlot {
  readonly va?: bigint;
  readonly offset: number;
  readonly count: number;
  readonly direction: 'in' | 'out';
}

/** Where the struct sits and what follows it, for the metadata of ioctls with pointers or arrays. */
export interface ArgContext {
  readonly arg: bigint;
  /** Bytes behind the struct as far as they were fetched; empty on a first look. */
  readonly tail: Uint8Array;
}

/** The part of a struct only read in a certain mode: `argsz` must then cover `size` bytes. */
export interface Extension<C> {
  readonly size: number;
  when(cmd: C): boolean;
}

/** Length rules of one kernel. */
export interface IoctlForm<C = unknown> {
  /** Bytes of the struct this kernel knows. */
  readonly size: number;
  /** Fewer is EINVAL. */
  readonly minSize: number;
  /** Bytes beyond `size`: `zero` = must be zero or E2BIG, `ignored` = never looked at; `fixed` = there is no size word. */
  readonly tail: 'zero' | 'ignored' | 'fixed';
  readonly extension?: Extension<C>;
}

/** `struct`: every output is written with the struct. A pair is the only byte range [from, to) written. */
export type CopyBack = 'none' | 'struct' | readonly [from: number, to: number];

interface Shared<N extends string> {
  readonly name: N;
  readonly nr: number;
  readonly fd: FdKind;
}

/** What a definition says about its argument beyond the fields. */
interface Meaning<C> {
  readonly copyBack: CopyBack;
  /** Copy-back happens on failure too (after the length rules): the front door calls `closeIoctl` and keeps the errno. */
  readonly copyBackOnFailure: boolean;
  /** User memory the struct points at or is followed by. */
  memory?(cmd: C, context: ArgContext): readonly UserRange[];
  /** fd numbers inside the argument. */
  fds?(cmd: C, context: ArgContext): readonly FdSlot[];
  /** True when a non-negative result is a new fd. */
  returnsFd?(cmd: C): boolean;
}

export interface IoctlDef<N extends string = string, S extends AnyStruct = AnyStruct>
  extends Shared<N>, Meaning<StructOf<S>> {
  readonly kind: 'struct';
  readonly struct: S;
  /** Undefined: that kernel does not have the ioctl. */
  readonly forms: Readonly<Record<KernelProfile, IoctlForm<StructOf<S>> | undefined>>;
}

/** Argument of an ioctl without a struct: nothing, the number itself, or a pointer to one s32/u32 or a string. */
export type PlainArg = 'none' | 'value' | 's32' | 'u32' | 'string';

export interface PlainIoctlDef<N extends string = string, A extends PlainArg = PlainArg> extends Shared<N> {
  readonly kind: 'plain';
  readonly arg: A;
  /** True when a pointed-to s32 is an fd number. */
  readonly argIsFd: boolean;
  readonly returnsFd: boolean;
}

export type AnyIoctlDef = IoctlDef | PlainIoctlDef;

interface IoctlSpec<N extends string, S extends AnyStruct> extends Shared<N>, Partial<Meaning<StructOf<S>>> {
  readonly struct: S;
  readonly minSize: number;
  readonly tail?: IoctlForm['tail'];
  readonly extension?: Extension<StructOf<S>>;
  /** Differences from the newest kernel: other length rules, or the ioctl is not there. */
  readonly profiles?: Partial<Record<KernelProfile, 'absent' | IoctlForm<StructOf<S>>>>;
}

/** Defines an ioctl with a struct. The tail rule follows from the family: iommufd fds check it, VFIO fds do not. */
export function ioctl<const N extends string, S extends AnyStruct>(spec: IoctlSpec<N, S>): IoctlDef<N, S> {
  const { minSize, tail, extension, profiles, copyBack = 'none', copyBackOnFailure = false, ...rest } = spec;
  const newest: IoctlForm<StructOf<S>> = {
    size: spec.struct.size,
    minSize,
    tail: tail ?? (spec.fd === 'iommufd' ? 'zero' : 'ignored'),
    ...(extension && { extension }),
  };
  const form = (profile: KernelProfile) => {
    const own = profiles?.[profile] ?? newest;
    return [profile, own === 'absent' ? undefined : own] as const;
  };
  const forms = Object.fromEntries(kernelProfiles.map(form)) as IoctlDef<N, S>['forms'];
  return { ...rest, kind: 'struct', copyBack, copyBackOnFailure, forms };
}

export function plainIoctl<const N extends string, const A extends PlainArg>(
  spec: Shared<N> & { arg: A; argIsFd?: boolean; returnsFd?: boolean },
): PlainIoctlDef<N, A> {
  return { argIsFd: false, returnsFd: false, ...spec, kind: 'plain' };
}

/** What a plain argument is once it has been taken in. */
export interface PlainCmd {
  none: undefined;
  value: bigint;
  s32: number;
  u32: number;
  string: string;
}

/** What a handler of this ioctl is given: the decoded struct, or the plain argument. */
export type CmdOf<D> =
  D extends IoctlDef<string, infer S> ? StructOf<S> : D extends PlainIoctlDef<string, infer A> ? PlainCmd[A] : never;

/** Definitions by name: the vocabulary of one kind of fd. */
export type IoctlSet = Readonly<Record<string, AnyIoctlDef>>;

/** One line of a front door: the definition, and the function that answers it. */
export interface IoctlRow<D extends AnyIoctlDef, Ctx, Out> {
  readonly ioctl: D;
  // A property, not a method: only then does the compiler refuse a function that wants fields the struct does not have.
  readonly execute: (ctx: Ctx, cmd: CmdOf<D>) => Out;
}

/**
 * A front door with a row for each ioctl of `Set`. Use it with `satisfies`: a missing row, a row under another name, or a
 * function that takes another struct does not compile.
 */
export type IoctlTable<Set extends IoctlSet, Ctx, Out> = {
  readonly [K in keyof Set]: IoctlRow<Set[K], Ctx, Out>;
};

/** A row as the front door meets it: found by number, its struct type forgotten. The table's type has checked it before. */
export interface AnyIoctlRow<Ctx, Out> {
  readonly ioctl: AnyIoctlDef;
  execute(ctx: Ctx, cmd: unknown): Out;
}

/** Rows by ioctl number. */
export type IoctlIndex<Ctx, Out> = ReadonlyMap<number, AnyIoctlRow<Ctx, Out>>;

/** Indexes a table by number. Two rows with one number cannot share a front door: that is a bug of ours. */
export function indexTable<Ctx, Out>(table: Readonly<Record<string, AnyIoctlRow<Ctx, Out>>>): IoctlIndex<Ctx, Out> {
  const index = new Map<number, AnyIoctlRow<Ctx, Out>>();
  for (const row of Object.values(table)) {
    const other = index.get(row.ioctl.nr);
    if (other) throw new Error(`${other.ioctl.name} and ${row.ioctl.name} share number 0x${row.ioctl.nr.toString(16)}`);
    index.set(row.ioctl.nr, row);
  }
  return index;
}

/** The row that answers ioctl number `nr`, in constant time. */
export const findRow = <Ctx, Out>(index: IoctlIndex<Ctx, Out>, nr: number): AnyIoctlRow<Ctx, Out> | undefined =>
  index.get(nr);

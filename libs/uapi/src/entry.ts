/**
 * The one way in for ioctls with a struct: the length rules of both families, applied once, so that no handler repeats them.
 *
 * iommufd family (uAPI section 0): read the u32 size (EFAULT); a number the kernel lacks is ENOTTY only now; below the
 * minimum EINVAL; bytes beyond the kernel's struct must be zero, else E2BIG; a missing tail reads as zero.
 * VFIO family: copy the minimum (EFAULT), then argsz below it is EINVAL; anything longer is ignored, except for a mode
 * that reads an extension. A definition can put a VFIO ioctl under the iommufd rules (`tail: 'zero'`): binding a cdev is.
 * Others have no size word at all (`tail: 'fixed'`): KVM's.
 * The one rule: bad input changes nothing; the caller's memory is written only by {@link closeIoctl}.
 */
import type { AnyStruct, StructOf } from './codec.js';
import { decode } from './codec.js';
import type { Errno, Result } from './errno.js';
import { fail, ok } from './errno.js';
import type { IoctlDef, IoctlForm, PlainArg, PlainCmd, PlainIoctlDef } from './ioctl.js';
import type { KernelProfile } from './profile.js';
import type { UserMemory } from './user-memory.js';
import { copyIn, copyOut, isZeroed, readUserS32, readUserString } from './user-memory.js';

/** An accepted argument. Handlers read `cmd`, and put outputs into `bytes` with `writeFields`. */
export interface OpenIoctl<S extends AnyStruct> {
  readonly cmd: StructOf<S>;
  /** The image: as long as the kernel's struct on this profile. */
  readonly bytes: Uint8Array;
  /** The caller's size word (`size` or `argsz`) as it came in, bytes. */
  readonly userSize: number;
}

/** Numbers answered by iommufd itself; every other number on that fd goes to the VFIO compatibility ioctls. */
export const IOMMUFD_FIRST_NR = 0x80;
export const IOMMUFD_LAST_NR = 0xa0;

/** Does this number on an iommufd fd belong to the native table, holes included? Only the low byte decides. */
export function isNativeNumber(request: number): boolean {
  const nr = request & 0xff;
  return nr >= IOMMUFD_FIRST_NR && nr <= IOMMUFD_LAST_NR;
}

/**
 * The answer to an iommufd number that has no ioctl behind it. In the native range the size word is read first, so a bad
 * pointer is EFAULT (trace a002); elsewhere ENOTTY at once.
 */
export function refuseUnknown(request: number, arg: bigint, user: UserMemory): Errno {
  if (!isNativeNumber(request)) return 'ENOTTY';
  const size = readUserU32(arg, user);
  return size.ok ? 'ENOTTY' : size.errno;
}

/** Takes the argument in. The result owns its bytes; the caller's later writes do not change it. */
export function openIoctl<N extends string, S extends AnyStruct>(
  def: IoctlDef<N, S>,
  profile: KernelProfile,
  arg: bigint,
  user: UserMemory,
): Result<OpenIoctl<S>> {
  const form = def.forms[profile];
  if (form === undefined) return fail(def.fd === 'iommufd' ? refuseUnknown(def.nr, arg, user) : 'ENOTTY');
  if (form.tail === 'fixed') return openFixed(def, form, arg, user);
  return form.tail === 'zero' ? openChecked(def, form, arg, user) : openLenient(def, form, arg, user);
}

/**
 * Copies the outputs back: min(caller's size, kernel's size) bytes, or the byte range the definition names. EFAULT when
 * that memory cannot be written. An ioctl without outputs writes nothing, so a read-only struct is fine for it.
 */
export function closeIoctl<N extends string, S extends AnyStruct>(
  def: IoctlDef<N, S>,
  opened: OpenIoctl<S>,
  arg: bigint,
  user: UserMemory,
): Result<void> {
  if (def.copyBack === 'none') return ok(undefined);
  const [from, to] = def.copyBack === 'struct' ? [0, opened.bytes.length] : def.copyBack;
  const end = Math.min(to, opened.userSize, opened.bytes.length);
  return copyOut(user, arg + BigInt(from), opened.bytes.subarray(from, end));
}

/** Takes in an argument that is not a struct: EFAULT when what it points at is unreadable, EINVAL for an endless string. */
export function openPlain<N extends string, A extends PlainArg>(
  def: PlainIoctlDef<N, A>,
  arg: bigint,
  user: UserMemory,
): Result<PlainCmd[A]> {
  const readers: { [K in PlainArg]: () => Result<PlainCmd[K]> } = {
    none: () => ok(undefined),
    value: () => ok(arg),
    s32: () => readUserS32(user, arg),
    u32: () => readUserU32(arg, user),
    string: () => readUserString(user, arg),
  };
  return readers[def.arg]();
}

/** The struct has no size word. */
function openFixed<S extends AnyStruct>(
  def: IoctlDef<string, S>,
  form: IoctlForm<StructOf<S>>,
  arg: bigint,
  user: UserMemory,
): Result<OpenIoctl<S>> {
  const bytes = copyIn(user, arg, form.size);
  return bytes.ok ? ok(image(def, form, bytes.value, form.size)) : bytes;
}

/** Size word first, then the rest; unknown bytes must be zero. */
function openChecked<S extends AnyStruct>(
  def: IoctlDef<string, S>,
  form: IoctlForm<StructOf<S>>,
  arg: bigint,
  user: UserMemory,
): Result<OpenIoctl<S>> {
  const size = readUserU32(arg, user);
  if (!size.ok) return size;
  if (size.value < form.minSize) return fail('EINVAL');
  if (size.value > form.size) {
    const zeroed = isZeroed(user, arg + BigInt(form.size), size.value - form.size);
    if (!zeroed.ok) return zeroed;
    if (!zeroed.value) return fail('E2BIG');
  }
  const known = copyIn(user, arg, Math.min(size.value, form.size));
  return known.ok ? ok(image(def, form, known.value, size.value)) : known;
}

/** The minimum first, then its argsz word; more is read only in a mode that needs it. */
function openLenient<S extends AnyStruct>(
  def: IoctlDef<string, S>,
  form: IoctlForm<StructOf<S>>,
  arg: bigint,
  user: UserMemory,
): Result<OpenIoctl<S>> {
  const known = copyIn(user, arg, form.minSize);
  if (!known.ok) return known;
  const userSize = firstWord(known.value);
  if (userSize < form.minSize) return fail('EINVAL');
  const opened = image(def, form, known.value, userSize);
  if (!form.extension?.when(opened.cmd)) return ok(opened);
  if (userSize < form.extension.size) return fail('EINVAL');
  const more = copyIn(user, arg, form.extension.size);
  return more.ok ? ok(image(def, form, more.value, userSize)) : more;
}

/** The image is padded with zeros to the kernel's size, whatever part of it came from the caller. */
function image<S extends AnyStruct>(
  def: IoctlDef<string, S>,
  form: IoctlForm<StructOf<S>>,
  known: Uint8Array,
  userSize: number,
): OpenIoctl<S> {
  const bytes = new Uint8Array(form.size);
  bytes.set(known);
  return { cmd: decode(def.struct, bytes) as StructOf<S>, bytes, userSize };
}

function readUserU32(arg: bigint, user: UserMemory): Result<number> {
  const word = copyIn(user, arg, 4);
  return word.ok ? ok(firstWord(word.value)) : word;
}

const firstWord = ([a = 0, b = 0, c = 0, d = 0]: Uint8Array): number => (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;

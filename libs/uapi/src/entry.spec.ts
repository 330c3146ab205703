/** The length rules of both families: tables of arguments, the errno is the assertion. */
import { FakeMemory } from '../test/fake-memory.js';
import { writeFields } from './codec.js';
import { closeIoctl, isNativeNumber, openIoctl, openPlain, refuseUnknown } from './entry.js';
import type { Errno, Result } from './errno.js';
import type { AnyIoctlDef, IoctlDef, KernelProfile, PlainArg } from './index.js';
import { ioctlsByName, kernelProfiles } from './index.js';
import { IOMMU_DESTROY, IOMMU_IOAS_MAP_FILE, IOMMU_OPTION, IOMMU_IOAS_ALLOC } from './iommufd.js';
import { IOMMU_GET_HW_INFO } from './iommufd-hwpt.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_GET_GFX_DMABUF,
} from './vfio.js';
import { VFIO_CHECK_EXTENSION } from './vfio-container.js';
import { VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER } from './vfio-group.js';
import { VFIO_DEVICE_GET_INFO } from './vfio-info.js';
import { VFIO_EEH_PE_OP } from './vfio-spapr.js';
import { VFIO_IOMMU_MAP_DMA } from './vfio-type1.js';

/** An argument of `length` bytes whose size word is `size`, ending at an unmapped page. */
function argument(length: number, size = length, fill: Record<number, number> = {}): Uint8Array {
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setUint32(0, size, true);
  for (const [at, value] of Object.entries(fill)) bytes[Number(at)] = value;
  return bytes;
}

const outcome = (result: Result<unknown>): Errno | 'ok' => (result.ok ? 'ok' : result.errno);

function open(def: IoctlDef, profile: KernelProfile, bytes: Uint8Array): Errno | 'ok' {
  const user = new FakeMemory();
  return outcome(openIoctl(def, profile, user.placeAtEnd(bytes), user));
}

const isStructIoctl = (def: AnyIoctlDef): def is IoctlDef => def.kind === 'struct';

/** Every (ioctl, profile) pair that exists, with its form. */
const present = [...ioctlsByName.values()]
  .filter(isStructIoctl)
  .flatMap((def) => kernelProfiles.map((profile) => ({ def, profile, form: def.forms[profile], name: def.name })))
  .flatMap(({ form, ...rest }) => (form ? [{ ...rest, form }] : []));

const checked = present.filter(({ form }) => form.tail === 'zero');
const lenient = present.filter(({ form }) => form.tail === 'ignored');

const fixed = present.filter(({ form }) => form.tail === 'fixed');

it.each(fixed)('$name on $profile has no size word: exactly its struct is copied', ({ def, profile, form }) => {
  expect(open(def, profile, argument(form.size, 0))).toBe('ok');
  expect(open(def, profile, argument(form.size - 1, form.size))).toBe('EFAULT');
});

describe.each(checked)('$name on $profile (tail must be zero)', ({ def, profile, form }) => {
  const { size, minSize } = form;
  it.each<[string, Uint8Array, Errno | 'ok']>([
    ['the minimum is accepted', argument(minSize), 'ok'],
    ['one byte short', argument(minSize, minSize - 1), 'EINVAL'],
    ['a size word that says 0', argument(minSize, 0), 'EINVAL'],
    ['longer with a zero tail', argument(size + 9), 'ok'],
    ['longer with one non-zero byte at the very end', argument(size + 9, size + 9, { [size + 8]: 1 }), 'E2BIG'],
    ['longer with a non-zero byte right behind the struct', argument(size + 1, size + 1, { [size]: 0x80 }), 'E2BIG'],
    ['a tail that reaches an unmapped page', argument(size + 4, size + 5), 'EFAULT'],
    ['a non-zero byte before the unmapped page decides first', argument(size + 4, size + 5000, { [size]: 1 }), 'E2BIG'],
    ['a size word that claims more than is readable', argument(4, minSize), 'EFAULT'],
    ['an unreadable argument below the minimum is still judged by its size', argument(4, minSize - 1), 'EINVAL'],
  ])('%s', (_rule, bytes, expected) => expect(open(def, profile, bytes)).toBe(expected));

  it('a NULL argument is EFAULT', () => expect(outcome(openIoctl(def, profile, 0n, new FakeMemory()))).toBe('EFAULT'));
});

describe.each(lenient)('$name on $profile (tail is ignored)', ({ def, profile, form }) => {
  const { size, minSize } = form;
  it.each<[string, Uint8Array, Errno | 'ok']>([
    ['the minimum is accepted', argument(minSize), 'ok'],
    ['one byte short', argument(minSize, minSize - 1), 'EINVAL'],
    ['longer with a non-zero tail', argument(size + 9, size + 9, { [size + 8]: 1 }), 'ok'],
    ['an argsz far beyond what is readable', argument(minSize, 0xffff_ffff), 'ok'],
    ['less than the minimum readable, whatever argsz says', argument(minSize - 1, 0), 'EFAULT'],
  ])('%s', (_rule, bytes, expected) => expect(open(def, profile, bytes)).toBe(expected));

  it('a NULL argument is EFAULT', () => expect(outcome(openIoctl(def, profile, 0n, new FakeMemory()))).toBe('EFAULT'));
});

describe('ioctls a kernel does not have', () => {
  const user = new FakeMemory().map(0x1000n, 1);
  it.each<[string, bigint, Errno]>([
    ['iommufd reads the size word first: NULL is EFAULT', 0n, 'EFAULT'],
    ['iommufd with a readable size word: ENOTTY, however small it is', 0x1000n, 'ENOTTY'],
  ])('%s (trace a002)', (_rule, arg, errno) =>
    expect(openIoctl(IOMMU_IOAS_MAP_FILE, '6.12', arg, user)).toEqual({ ok: false, errno }),
  );

  it.each<[string, number, bigint, Errno]>([
    ['a hole in the native range, NULL', 0x3b9f, 0n, 'EFAULT'],
    ['a hole in the native range, readable', 0x3b9f, 0x1000n, 'ENOTTY'],
    ['above the native range, NULL', 0x3ba1, 0n, 'ENOTTY'],
    ['below the native range, NULL', 0x3b7f, 0n, 'ENOTTY'],
    ['a native low byte with another type letter', 0x1285, 0n, 'EFAULT'],
  ])('%s', (_rule, request, arg, errno) => expect(refuseUnknown(request, arg, user)).toBe(errno));

  it('the native range is 0x80 to 0xa0, both included', () =>
    expect([0x3b7f, 0x3b80, 0x3ba0, 0x3ba1].map(isNativeNumber)).toEqual([false, true, true, false]));
});

describe('modes and kernels with a longer struct', () => {
  it.each<[string, IoctlDef, KernelProfile, Uint8Array, Errno | 'ok']>([
    [
      'ATTACH with the PASID flag needs 16 bytes',
      VFIO_DEVICE_ATTACH_IOMMUFD_PT,
      '7.2',
      argument(12, 12, { 4: 1 }),
      'EINVAL',
    ],
    [
      'ATTACH with the PASID flag must be able to read them',
      VFIO_DEVICE_ATTACH_IOMMUFD_PT,
      '7.2',
      argument(12, 16, { 4: 1 }),
      'EFAULT',
    ],
    [
      'ATTACH with the PASID flag and all of them',
      VFIO_DEVICE_ATTACH_IOMMUFD_PT,
      '7.2',
      argument(16, 16, { 4: 1 }),
      'ok',
    ],
    ['ATTACH without the flag never looks at byte 12', VFIO_DEVICE_ATTACH_IOMMUFD_PT, '7.2', argument(12, 16), 'ok'],
    [
      'ATTACH on 6.12 leaves the unknown flag to the handler',
      VFIO_DEVICE_ATTACH_IOMMUFD_PT,
      '6.12',
      argument(12, 12, { 4: 1 }),
      'ok',
    ],
    [
      'DETACH with the PASID flag needs 12 bytes',
      VFIO_DEVICE_DETACH_IOMMUFD_PT,
      '7.2',
      argument(8, 8, { 4: 1 }),
      'EINVAL',
    ],
    [
      'DETACH with the PASID flag and all of them',
      VFIO_DEVICE_DETACH_IOMMUFD_PT,
      '7.2',
      argument(12, 12, { 4: 1 }),
      'ok',
    ],
    ['EEH error injection needs 40 bytes', VFIO_EEH_PE_OP, '7.2', argument(12, 12, { 8: 9 }), 'EINVAL'],
    ['BIND on 6.12 ignores a non-zero tail', VFIO_DEVICE_BIND_IOMMUFD, '6.12', argument(24, 24, { 20: 1 }), 'ok'],
    ['BIND on 6.12 does not read behind byte 16', VFIO_DEVICE_BIND_IOMMUFD, '6.12', argument(16, 4096), 'ok'],
    ['BIND on 7.2 reads the tail', VFIO_DEVICE_BIND_IOMMUFD, '7.2', argument(24, 4096), 'EFAULT'],
    ['BIND on 7.2 refuses a non-zero tail', VFIO_DEVICE_BIND_IOMMUFD, '7.2', argument(25, 25, { 24: 1 }), 'E2BIG'],
  ])('%s', (_rule, def, profile, bytes, expected) => expect(open(def, profile, bytes)).toBe(expected));

  it('a missing tail reads as zero, and the image has the size of the kernel in question', () => {
    const user = new FakeMemory();
    const bytes = argument(16, 16, { 8: 5 });
    for (const [profile, size] of [
      ['6.12', 16],
      ['7.2', 24],
    ] as const) {
      const opened = openIoctl(VFIO_DEVICE_BIND_IOMMUFD, profile, user.placeAtEnd(bytes), user);
      expect(opened).toMatchObject({ ok: true, value: { userSize: 16, cmd: { iommufd: 5, token_uuid_ptr: 0n } } });
      expect(opened.ok && opened.value.bytes.length).toBe(size);
    }
  });

  it('bytes behind the minimum that no mode asks for are not taken from the caller', () => {
    const user = new FakeMemory();
    const opened = openIoctl(VFIO_DEVICE_GET_INFO, '7.2', user.placeAtEnd(argument(24, 24, { 16: 7 })), user);
    expect(opened).toMatchObject({ ok: true, value: { cmd: { argsz: 24, cap_offset: 0 } } });
  });

  it('a zero tail of 1 MiB is walked in pieces of at most one page', () => {
    const user = new FakeMemory().map(0x10_0000n, 1 << 20);
    user.write(0x10_0008n, argument(8, (1 << 20) - 8));
    expect(outcome(openIoctl(IOMMU_DESTROY, '7.2', 0x10_0008n, user))).toBe('ok');
    expect(user.longestRead).toBe(4096);
  });
});

describe('copy-back', () => {
  /** Opens, puts 0xee over the whole image, closes; the caller's memory afterwards. */
  function close(def: IoctlDef, bytes: Uint8Array, writable = true): { result: Errno | 'ok'; after: number[] } {
    const user = new FakeMemory();
    const arg = user.placeAtEnd(bytes, writable);
    const opened = openIoctl(def, '7.2', arg, user);
    if (!opened.ok) throw new Error(opened.errno);
    opened.value.bytes.fill(0xee);
    return { result: outcome(closeIoctl(def, opened.value, arg, user)), after: [...user.read(arg, bytes.length)!] };
  }
  /** Indexes of bytes that changed, as [first, last]. */
  const changed = (after: number[]) => [after.indexOf(0xee), after.lastIndexOf(0xee)];

  it.each<[string, IoctlDef, number, [number, number]]>([
    ['a longer caller gets the kernel struct only', IOMMU_IOAS_ALLOC, 20, [0, 11]],
    ['a shorter caller gets what fits', IOMMU_GET_HW_INFO, 32, [0, 31]],
    ['a VFIO caller with a middling argsz gets what fits', VFIO_DEVICE_GET_INFO, 20, [0, 19]],
    ['only the named bytes: the option value', IOMMU_OPTION, 24, [16, 23]],
    ['only the named bytes: pt_id', VFIO_DEVICE_ATTACH_IOMMUFD_PT, 16, [8, 11]],
    ['only the named bytes: out_devid', VFIO_DEVICE_BIND_IOMMUFD, 24, [12, 15]],
    ['nothing for an ioctl without outputs', IOMMU_DESTROY, 8, [-1, -1]],
  ])('%s', (_rule, def, length, range) => {
    const { result, after } = close(def, argument(length));
    expect(result).toBe('ok');
    expect(changed(after)).toEqual(range);
  });

  it.each<[string, IoctlDef, number, Errno | 'ok']>([
    ['a read-only struct is EFAULT when there is output', IOMMU_IOAS_ALLOC, 12, 'EFAULT'],
    ['a read-only struct is fine when there is none', VFIO_IOMMU_MAP_DMA, 32, 'ok'],
  ])('%s', (_rule, def, length, expected) => expect(close(def, argument(length), false).result).toBe(expected));

  it('outputs are set by name', () => {
    const user = new FakeMemory();
    const arg = user.placeAtEnd(argument(12));
    const opened = openIoctl(IOMMU_IOAS_ALLOC, '7.2', arg, user);
    if (!opened.ok) throw new Error(opened.errno);
    writeFields(IOMMU_IOAS_ALLOC.struct, opened.value.bytes, { out_ioas_id: 0x01020304 });
    closeIoctl(IOMMU_IOAS_ALLOC, opened.value, arg, user);
    expect([...user.read(arg, 12)!]).toEqual([12, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1]);
  });
});

describe('arguments that are not structs', () => {
  const user = new FakeMemory().map(0x1000n, 4096);
  user.write(0x1000n, Uint8Array.of(0x41, 0x42, 0, 0xff));
  it.each<[string, unknown, unknown]>([
    ['none: the argument is not looked at', openPlain(VFIO_GROUP_UNSET_CONTAINER, 0n, user), undefined],
    ['value: the number itself', openPlain(VFIO_CHECK_EXTENSION, 3n, user), 3n],
    ['s32: read through the pointer, with its sign', openPlain(VFIO_GROUP_SET_CONTAINER, 0x1000n, user), -0xffbdbf],
    ['u32: read through the pointer, without', openPlain(VFIO_DEVICE_GET_GFX_DMABUF, 0x1000n, user), 0xff004241],
    ['string: up to its NUL', openPlain(VFIO_GROUP_GET_DEVICE_FD, 0x1000n, user), 'AB'],
  ])('%s', (_rule, opened, value) => expect(opened).toEqual({ ok: true, value }));

  it.each([VFIO_GROUP_SET_CONTAINER, VFIO_DEVICE_GET_GFX_DMABUF, VFIO_GROUP_GET_DEVICE_FD])(
    '$name: an unreadable pointer is EFAULT',
    (def) => expect(openPlain<string, PlainArg>(def, 0n, user)).toEqual({ ok: false, errno: 'EFAULT' }),
  );

  it('a device name without a NUL within a page is EINVAL', () => {
    const long = new FakeMemory().map(0n, 8192);
    long.write(0n, new Uint8Array(4096).fill(0x41));
    expect(openPlain(VFIO_GROUP_GET_DEVICE_FD, 0n, long)).toEqual({ ok: false, errno: 'EINVAL' });
  });
});

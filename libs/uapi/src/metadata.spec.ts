/** What each ioctl points at: user memory to fetch or fill, and fd numbers to translate. */
import { decode, encode } from './codec.js';
import type { AnyStruct, FdSlot, IoctlDef, StructOf, UserRange } from './index.js';
import * as uapi from './index.js';
import { bitmapBytes } from './metadata.js';

const ARG = 0x7000n;

/** [what, address, length, access] of every range. */
const rangesOf = <N extends string, S extends AnyStruct>(
  def: IoctlDef<N, S>,
  values: Partial<StructOf<S>>,
  tail: Uint8Array = new Uint8Array(0),
) => def.memory?.(filled(def, values), { arg: ARG, tail }).map((r: UserRange) => [r.what, r.va, r.length, r.access]);

const fdsOf = <N extends string, S extends AnyStruct>(def: IoctlDef<N, S>, values: Partial<StructOf<S>>) =>
  def
    .fds?.(filled(def, values), { arg: ARG, tail: new Uint8Array(0) })
    .map((s: FdSlot) => [s.offset, s.direction, s.count]);

/** A whole decoded struct: what is not named is zero. */
function filled<N extends string, S extends AnyStruct>(def: IoctlDef<N, S>, values: Partial<StructOf<S>>): StructOf<S> {
  return { ...decode(def.struct, new Uint8Array(0)), ...values } as StructOf<S>;
}

const testCmd = (op: number, arm: Uint8Array) => ({ op, u: pad(arm) });
const pad = (arm: Uint8Array) => {
  const u = new Uint8Array(48);
  u.set(arm);
  return u;
};

describe('user memory', () => {
  it.each<[string, unknown, unknown]>([
    [
      'ALLOW_IOVAS reads 16 bytes a range',
      rangesOf(uapi.IOMMU_IOAS_ALLOW_IOVAS, { allowed_iovas: 0x1000n, num_iovas: 3 }),
      [['allowed_iovas', 0x1000n, 48n, 'in']],
    ],
    [
      'IOVA_RANGES fills 16 bytes a range, also for a count of 2^32 - 1',
      rangesOf(uapi.IOMMU_IOAS_IOVA_RANGES, { allowed_iovas: 0x1000n, num_iovas: 0xffff_ffff }),
      [['allowed_iovas', 0x1000n, 0xf_ffff_fff0n, 'out']],
    ],
    [
      'MAP pins, it copies nothing',
      rangesOf(uapi.IOMMU_IOAS_MAP, { user_va: 0x1000n, length: 2n ** 64n - 1n }),
      [['user_va', 0x1000n, 2n ** 64n - 1n, 'pin']],
    ],
    [
      'HWPT_INVALIDATE reads entries, also when the product exceeds 32 bits',
      rangesOf(uapi.IOMMU_HWPT_INVALIDATE, { data_uptr: 1n, entry_len: 0x1_0000, entry_num: 0x1_0001 }),
      [['data_uptr', 1n, 0x1_0001_0000n, 'in']],
    ],
    [
      'GET_DIRTY_BITMAP changes one bit a page',
      rangesOf(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, { data: 8n, length: 0x4_1000n, page_size: 0x1000n }),
      [['data', 8n, 16n, 'inout']],
    ],
    ['BIND without the token flag reads nothing', rangesOf(uapi.VFIO_DEVICE_BIND_IOMMUFD, { token_uuid_ptr: 8n }), []],
    [
      'BIND with the token flag reads a UUID',
      rangesOf(uapi.VFIO_DEVICE_BIND_IOMMUFD, { flags: 1, token_uuid_ptr: 8n }),
      [['token_uuid_ptr', 8n, 16n, 'in']],
    ],
    [
      'SET_IRQS with eventfds reads 4 bytes a vector',
      rangesOf(uapi.VFIO_DEVICE_SET_IRQS, { flags: 0x24, count: 3 }),
      [['data', ARG + 20n, 12n, 'in']],
    ],
    [
      'SET_IRQS with booleans reads 1 byte a vector',
      rangesOf(uapi.VFIO_DEVICE_SET_IRQS, { flags: 0x22, count: 3 }),
      [['data', ARG + 20n, 3n, 'in']],
    ],
    [
      'SET_IRQS without data reads nothing',
      rangesOf(uapi.VFIO_DEVICE_SET_IRQS, { flags: 0x21, count: 3 }),
      [['data', ARG + 20n, 0n, 'in']],
    ],
    [
      'device info has the room argsz leaves',
      rangesOf(uapi.VFIO_DEVICE_GET_INFO, { argsz: 100 }),
      [['capabilities', ARG + 24n, 76n, 'out']],
    ],
    [
      'device info with a short argsz has none',
      rangesOf(uapi.VFIO_DEVICE_GET_INFO, { argsz: 20 }),
      [['capabilities', ARG + 24n, 0n, 'out']],
    ],
    ['UNMAP_DMA without the bitmap flag has no tail', rangesOf(uapi.VFIO_IOMMU_UNMAP_DMA, { argsz: 48 }), []],
    [
      'UNMAP_DMA with it: first the tail, then the bitmap it points at',
      rangesOf(
        uapi.VFIO_IOMMU_UNMAP_DMA,
        { flags: 1 },
        encode(uapi.vfio_bitmap, { pgsize: 4096n, size: 64n, data: 0x5000n }),
      ),
      [
        ['data', ARG + 24n, 24n, 'in'],
        ['bitmap', 0x5000n, 64n, 'inout'],
      ],
    ],
    [
      'DIRTY_PAGES GET_BITMAP: likewise',
      rangesOf(
        uapi.VFIO_IOMMU_DIRTY_PAGES,
        { flags: 4 },
        encode(uapi.vfio_iommu_type1_dirty_bitmap_get, { bitmap: { pgsize: 4096n, size: 8n, data: 0x5000n } }),
      ),
      [
        ['data', ARG + 8n, 40n, 'in'],
        ['bitmap', 0x5000n, 8n, 'inout'],
      ],
    ],
    ['a feature PROBE has no payload', rangesOf(uapi.VFIO_DEVICE_FEATURE, { argsz: 32, flags: 0x5_0006 }), []],
    [
      'feature DMA_LOGGING_START: the payload, then its ranges',
      rangesOf(
        uapi.VFIO_DEVICE_FEATURE,
        { argsz: 32, flags: 0x2_0006 },
        encode(uapi.vfio_device_feature_dma_logging_control, { num_ranges: 2, ranges: 0x9000n }),
      ),
      [
        ['data', ARG + 8n, 24n, 'inout'],
        ['ranges', 0x9000n, 32n, 'in'],
      ],
    ],
    [
      'feature DMA_LOGGING_REPORT: the payload, then its bitmap',
      rangesOf(
        uapi.VFIO_DEVICE_FEATURE,
        { argsz: 40, flags: 0x1_0008 },
        encode(uapi.vfio_device_feature_dma_logging_report, { length: 0x1000n, page_size: 0x1000n, bitmap: 0x9000n }),
      ),
      [
        ['data', ARG + 8n, 32n, 'inout'],
        ['bitmap', 0x9000n, 8n, 'inout'],
      ],
    ],
    [
      'a test write through an access reads the caller',
      rangesOf(
        uapi.IOMMU_TEST_CMD,
        testCmd(uapi.IOMMU_TEST_OP_ACCESS_RW, encode(uapi.iommu_test_access_rw, { length: 5n, uptr: 9n, flags: 1 })),
      ),
      [['uptr', 9n, 5n, 'in']],
    ],
    [
      'a test read through an access fills the caller',
      rangesOf(
        uapi.IOMMU_TEST_CMD,
        testCmd(uapi.IOMMU_TEST_OP_ACCESS_RW, encode(uapi.iommu_test_access_rw, { length: 5n, uptr: 9n, flags: 4 })),
      ),
      [['uptr', 9n, 5n, 'out']],
    ],
  ])('%s', (_rule, actual, expected) => expect(actual).toEqual(expected));

  it.each([
    ['no page size, no bitmap', 0x1000n, 0n, 0n],
    ['one page is one word', 1n, 0x1000n, 8n],
    ['64 pages fill a word', 0x4_0000n, 0x1000n, 8n],
    ['one byte more starts the next', 0x4_0001n, 0x1000n, 16n],
  ])('bitmap: %s', (_rule, length, pageSize, expected) => expect(bitmapBytes(length, pageSize)).toBe(expected));
});

it.each([
  [1, 1n, 1],
  [1, 2n, 1],
  [1, 3n, 2],
  [1, 4n, 0],
  [2, 1n, 0],
])('KVM_SET_DEVICE_ATTR %i, %i reads %i fds where it points', (group, attr, count) => {
  const cmd = filled(uapi.KVM_SET_DEVICE_ATTR, { group, attr, addr: 0x5000n });
  const context = { arg: ARG, tail: new Uint8Array(0) };
  expect(rangesOf(uapi.KVM_SET_DEVICE_ATTR, cmd)).toEqual([['addr', 0x5000n, BigInt(4 * count), 'in']]);
  expect(uapi.KVM_SET_DEVICE_ATTR.fds!(cmd, context)).toEqual([{ va: 0x5000n, offset: 0, count, direction: 'in' }]);
});

describe('fd numbers', () => {
  it.each<[string, unknown, unknown]>([
    ['BIND takes the iommufd', fdsOf(uapi.VFIO_DEVICE_BIND_IOMMUFD, {}), [[8, 'in', 1]]],
    ['MAP_FILE takes the file', fdsOf(uapi.IOMMU_IOAS_MAP_FILE, {}), [[12, 'in', 1]]],
    ['FAULT_QUEUE_ALLOC makes one', fdsOf(uapi.IOMMU_FAULT_QUEUE_ALLOC, {}), [[12, 'out', 1]]],
    ['VEVENTQ_ALLOC makes one', fdsOf(uapi.IOMMU_VEVENTQ_ALLOC, {}), [[24, 'out', 1]]],
    [
      'SET_IRQS with eventfds takes one a vector',
      fdsOf(uapi.VFIO_DEVICE_SET_IRQS, { flags: 0x24, count: 7 }),
      [[20, 'in', 7]],
    ],
    ['SET_IRQS with booleans takes none', fdsOf(uapi.VFIO_DEVICE_SET_IRQS, { flags: 0x22, count: 7 }), []],
    ['PCI_HOT_RESET takes the groups', fdsOf(uapi.VFIO_DEVICE_PCI_HOT_RESET, { count: 2 }), [[12, 'in', 2]]],
    ['low power with wake-up takes an eventfd', fdsOf(uapi.VFIO_DEVICE_FEATURE, { flags: 0x2_0004 }), [[8, 'in', 1]]],
    ['a migration state change may make one', fdsOf(uapi.VFIO_DEVICE_FEATURE, { flags: 0x2_0002 }), [[12, 'out', 1]]],
    ['probing takes none', fdsOf(uapi.VFIO_DEVICE_FEATURE, { flags: 0x6_0004 }), []],
    [
      'test ops on an access take it as id',
      fdsOf(uapi.IOMMU_TEST_CMD, { op: uapi.IOMMU_TEST_OP_ACCESS_RW }),
      [[8, 'in', 1]],
    ],
    ['the test access is made', fdsOf(uapi.IOMMU_TEST_CMD, { op: uapi.IOMMU_TEST_OP_CREATE_ACCESS }), [[16, 'out', 1]]],
  ])('%s', (_rule, actual, expected) => expect(actual).toEqual(expected));

  it('slots lie on the field they mean', () => {
    expect(uapi.vfio_device_bind_iommufd.fields.iommufd.offset).toBe(8);
    expect(uapi.iommu_ioas_map_file.fields.fd.offset).toBe(12);
    expect(uapi.iommu_fault_alloc.fields.out_fault_fd.offset).toBe(12);
    expect(uapi.iommu_veventq_alloc.fields.out_veventq_fd.offset).toBe(24);
    expect(uapi.vfio_device_ioeventfd.fields.fd.offset).toBe(24);
    expect(uapi.iommu_test_create_access.fields.out_access_fd.offset).toBe(0);
  });

  it.each([
    ['GET of a DMA_BUF', 0x1_000b, true],
    ['probing it', 0x5_000b, false],
    ['another feature', 0x1_0001, false],
  ])('VFIO_DEVICE_FEATURE: does %s (0x%x) return an fd', (_what, flags, expected) =>
    expect(uapi.VFIO_DEVICE_FEATURE.returnsFd?.({ argsz: 8, flags })).toBe(expected),
  );
});

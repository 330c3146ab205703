/**
 * IOMMU_TEST_CMD (0x3ba0): the mock IOMMU and mock devices a kernel built for self-test offers. Not a stable ABI.
 *
 * Words: an *op* is what to do; its *arm* is the struct that lies in the command's 48-byte union for that op.
 * The one rule: `u` is raw; the op decides which arm it is: `decode(iommu_test_dirty, cmd.u)`.
 */
import type { AnyStruct } from './codec.js';
import { bytes, decode, s32, struct, u32, u64 } from './codec.js';
import { ioctl } from './ioctl.js';
import { bitmapBytes, fdAt, range } from './metadata.js';
import type { FdSlot, UserRange } from './ioctl.js';

/** `op` of IOMMU_TEST_CMD. */
export const IOMMU_TEST_OP_ADD_RESERVED = 1;
export const IOMMU_TEST_OP_MOCK_DOMAIN = 2;
export const IOMMU_TEST_OP_MD_CHECK_MAP = 3;
export const IOMMU_TEST_OP_MD_CHECK_REFS = 4;
export const IOMMU_TEST_OP_CREATE_ACCESS = 5;
export const IOMMU_TEST_OP_DESTROY_ACCESS_PAGES = 6;
export const IOMMU_TEST_OP_ACCESS_PAGES = 7;
export const IOMMU_TEST_OP_ACCESS_RW = 8;
export const IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT = 9;
export const IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10;
export const IOMMU_TEST_OP_ACCESS_REPLACE_IOAS = 11;
export const IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12;
export const IOMMU_TEST_OP_DIRTY = 13;
export const IOMMU_TEST_OP_MD_CHECK_IOTLB = 14;
export const IOMMU_TEST_OP_TRIGGER_IOPF = 15;
export const IOMMU_TEST_OP_DEV_CHECK_CACHE = 0x10;
export const IOMMU_TEST_OP_TRIGGER_VEVENT = 17;
export const IOMMU_TEST_OP_PASID_ATTACH = 18;
export const IOMMU_TEST_OP_PASID_REPLACE = 19;
export const IOMMU_TEST_OP_PASID_DETACH = 20;
export const IOMMU_TEST_OP_PASID_CHECK_HWPT = 21;
export const IOMMU_TEST_OP_DMABUF_GET = 22;
export const IOMMU_TEST_OP_DMABUF_REVOKE = 23;

/** Where the arm starts in the command, bytes. */
export const IOMMU_TEST_ARM_OFFSET = 16;

/** Op ADD_RESERVED; id is an IOAS. */
export const iommu_test_add_reserved = struct('iommu_test_add_reserved', 16, {
  start: u64(0),
  length: u64(8),
});

/** Op MOCK_DOMAIN; id is an IOAS or HWPT. */
export const iommu_test_mock_domain = struct('iommu_test_mock_domain', 12, {
  out_stdev_id: u32(0),
  out_hwpt_id: u32(4),
  out_idev_id: u32(8),
});

/** Op MOCK_DOMAIN_FLAGS; id is an IOAS or HWPT. */
export const iommu_test_mock_domain_flags = struct('iommu_test_mock_domain_flags', 16, {
  out_stdev_id: u32(0),
  out_hwpt_id: u32(4),
  out_idev_id: u32(8),
  dev_flags: u32(12),
});

/** Op MOCK_DOMAIN_REPLACE; id is the mock device (stdev). */
export const iommu_test_mock_domain_replace = struct('iommu_test_mock_domain_replace', 4, {
  pt_id: u32(0),
});

/** Op MD_CHECK_MAP; id is a paging HWPT. */
export const iommu_test_check_map = struct('iommu_test_check_map', 24, {
  iova: u64(0),
  length: u64(8),
  uptr: u64(16),
});

/** Op MD_CHECK_REFS; no id. */
export const iommu_test_check_refs = struct('iommu_test_check_refs', 24, {
  length: u64(0),
  uptr: u64(8),
  refs: u32(16),
});

/** Op CREATE_ACCESS; id is an IOAS. */
export const iommu_test_create_access = struct('iommu_test_create_access', 8, {
  out_access_fd: u32(0),
  flags: u32(4),
});

/** Op DESTROY_ACCESS_PAGES; id is an access fd. */
export const iommu_test_destroy_access_pages = struct('iommu_test_destroy_access_pages', 4, {
  access_pages_id: u32(0),
});

/** Op ACCESS_PAGES; id is an access fd. */
export const iommu_test_access_pages = struct('iommu_test_access_pages', 32, {
  flags: u32(0),
  out_access_pages_id: u32(4),
  iova: u64(8),
  length: u64(16),
  uptr: u64(24),
});

/** Op ACCESS_RW; id is an access fd. */
export const iommu_test_access_rw = struct('iommu_test_access_rw', 32, {
  iova: u64(0),
  length: u64(8),
  uptr: u64(16),
  flags: u32(24),
});

/** Op SET_TEMP_MEMORY_LIMIT; no id. */
export const iommu_test_memory_limit = struct('iommu_test_memory_limit', 4, {
  limit: u32(0),
});

/** Op ACCESS_REPLACE_IOAS; id is an access fd. */
export const iommu_test_access_replace_ioas = struct('iommu_test_access_replace_ioas', 4, {
  ioas_id: u32(0),
});

/** Op DIRTY; id is a paging HWPT. */
export const iommu_test_dirty = struct('iommu_test_dirty', 48, {
  flags: u32(0),
  iova: u64(8),
  length: u64(16),
  page_size: u64(24),
  uptr: u64(32),
  out_nr_dirty: u64(40),
});

/** Op MD_CHECK_IOTLB; id is a nested HWPT. */
export const iommu_test_check_iotlb = struct('iommu_test_check_iotlb', 8, {
  id: u32(0),
  iotlb: u32(4),
});

/** Op TRIGGER_IOPF; no id. */
export const iommu_test_trigger_iopf = struct('iommu_test_trigger_iopf', 24, {
  dev_id: u32(0),
  pasid: u32(4),
  grpid: u32(8),
  perm: u32(12),
  addr: u64(16),
});

/** Op DEV_CHECK_CACHE; id is a DEVICE object. */
export const iommu_test_check_dev_cache = struct('iommu_test_check_dev_cache', 8, {
  id: u32(0),
  cache: u32(4),
});

/** Op TRIGGER_VEVENT; no id. */
export const iommu_test_trigger_vevent = struct('iommu_test_trigger_vevent', 4, {
  dev_id: u32(0),
});

/** Op PASID_ATTACH; id is the mock device. */
export const iommu_test_pasid_attach = struct('iommu_test_pasid_attach', 8, {
  pasid: u32(0),
  pt_id: u32(4),
});

/** Op PASID_REPLACE; id is the mock device. */
export const iommu_test_pasid_replace = struct('iommu_test_pasid_replace', 8, {
  pasid: u32(0),
  pt_id: u32(4),
});

/** Op PASID_DETACH; id is the mock device. */
export const iommu_test_pasid_detach = struct('iommu_test_pasid_detach', 4, {
  pasid: u32(0),
});

/** Op PASID_CHECK_HWPT; id is the mock device. */
export const iommu_test_pasid_check = struct('iommu_test_pasid_check', 8, {
  pasid: u32(0),
  hwpt_id: u32(4),
});

/** Op DMABUF_GET; no id; the result is the dma-buf fd. */
export const iommu_test_dmabuf_get = struct('iommu_test_dmabuf_get', 8, {
  length: u32(0),
  open_flags: u32(4),
});

/** Op DMABUF_REVOKE; no id. */
export const iommu_test_dmabuf_revoke = struct('iommu_test_dmabuf_revoke', 8, {
  dmabuf_fd: s32(0),
  revoked: u32(4),
});

/** The arm of each op. */
export const iommuTestArms: ReadonlyMap<number, AnyStruct> = new Map<number, AnyStruct>([
  [IOMMU_TEST_OP_ADD_RESERVED, iommu_test_add_reserved],
  [IOMMU_TEST_OP_MOCK_DOMAIN, iommu_test_mock_domain],
  [IOMMU_TEST_OP_MD_CHECK_MAP, iommu_test_check_map],
  [IOMMU_TEST_OP_MD_CHECK_REFS, iommu_test_check_refs],
  [IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access],
  [IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, iommu_test_destroy_access_pages],
  [IOMMU_TEST_OP_ACCESS_PAGES, iommu_test_access_pages],
  [IOMMU_TEST_OP_ACCESS_RW, iommu_test_access_rw],
  [IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, iommu_test_memory_limit],
  [IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, iommu_test_mock_domain_replace],
  [IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, iommu_test_access_replace_ioas],
  [IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, iommu_test_mock_domain_flags],
  [IOMMU_TEST_OP_DIRTY, iommu_test_dirty],
  [IOMMU_TEST_OP_MD_CHECK_IOTLB, iommu_test_check_iotlb],
  [IOMMU_TEST_OP_TRIGGER_IOPF, iommu_test_trigger_iopf],
  [IOMMU_TEST_OP_DEV_CHECK_CACHE, iommu_test_check_dev_cache],
  [IOMMU_TEST_OP_TRIGGER_VEVENT, iommu_test_trigger_vevent],
  [IOMMU_TEST_OP_PASID_ATTACH, iommu_test_pasid_attach],
  [IOMMU_TEST_OP_PASID_REPLACE, iommu_test_pasid_replace],
  [IOMMU_TEST_OP_PASID_DETACH, iommu_test_pasid_detach],
  [IOMMU_TEST_OP_PASID_CHECK_HWPT, iommu_test_pasid_check],
  [IOMMU_TEST_OP_DMABUF_GET, iommu_test_dmabuf_get],
  [IOMMU_TEST_OP_DMABUF_REVOKE, iommu_test_dmabuf_revoke],
]);

/** `type` of mock page tables. */
export const MOCK_IOMMUPT_DEFAULT = 0;
export const MOCK_IOMMUPT_HUGE = 1;

/** The mock IOMMU's aperture (`LAST` is inclusive) and page sizes, bytes. */
export const MOCK_APERTURE_START = 0x1000000;
export const MOCK_APERTURE_LAST = 0x7fffffff;
export const MOCK_PAGE_SIZE = 0x800;
export const MOCK_HUGE_PAGE_SIZE = 0x100000;

/** `flags` of ACCESS_PAGES. */
export const MOCK_FLAGS_ACCESS_WRITE = 1;
export const MOCK_FLAGS_ACCESS_SYZ = 0x10000;

/** `flags` of ACCESS_RW. */
export const MOCK_ACCESS_RW_WRITE = 1;
export const MOCK_ACCESS_RW_SLOW_PATH = 4;

/** `flags` of CREATE_ACCESS. */
export const MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES = 1;

/** `dev_flags` of MOCK_DOMAIN_FLAGS. 6.12 also takes 2 (huge IOVAs). */
export const MOCK_FLAGS_DEVICE_NO_DIRTY = 1;
export const MOCK_FLAGS_DEVICE_PASID = 4;

export const MOCK_NESTED_DOMAIN_IOTLB_ID_MAX = 3;
export const MOCK_NESTED_DOMAIN_IOTLB_NUM = 4;

export const MOCK_DEV_CACHE_ID_MAX = 3;
export const MOCK_DEV_CACHE_NUM = 4;

/** PASID 1024 makes a replace fail halfway; PASIDs are 20 bits wide. */
export const IOMMU_TEST_PASID_RESERVED = 0x400;
export const MOCK_PASID_WIDTH = 20;

/** Types and magic values of the mock driver's data. */
export const IOMMU_HW_INFO_TYPE_SELFTEST = 0xfeedbeef;
export const IOMMU_HW_INFO_SELFTEST_REGVAL = 0xdeadbeef;
export const IOMMU_HWPT_DATA_SELFTEST = 0xdead;
export const IOMMU_TEST_IOTLB_DEFAULT = 0xbadbeef;
export const IOMMU_TEST_DEV_CACHE_DEFAULT = 0xbaddad;
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID = 0xdadbeef;
export const IOMMU_TEST_INVALIDATE_FLAG_ALL = 1;
export const IOMMU_VIOMMU_TYPE_SELFTEST = 0xdeadbeef;
export const IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
export const IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID = 0xdadbeef;
export const IOMMU_VEVENTQ_TYPE_SELFTEST = 0xbeefbeef;
export const IOMMU_HW_QUEUE_TYPE_SELFTEST = 0xdeadbeef;
export const IOMMU_TEST_HW_QUEUE_MAX = 2;

export const iommu_test_hw_info = struct('iommu_test_hw_info', 8, {
  flags: u32(0),
  test_reg: u32(4),
});

/** 6.12 knows only the first 4 bytes and refuses more; 7.2 takes 4 to 8. */
export const iommu_hwpt_selftest = struct('iommu_hwpt_selftest', 8, {
  iotlb: u32(0),
  pagetable_type: u32(4),
});
export const IOMMU_HWPT_SELFTEST_SIZE_6_12 = 4;

export const iommu_hwpt_invalidate_selftest = struct('iommu_hwpt_invalidate_selftest', 8, {
  flags: u32(0),
  iotlb_id: u32(4),
});

export const iommu_viommu_selftest = struct('iommu_viommu_selftest', 24, {
  in_data: u32(0),
  out_data: u32(4),
  out_mmap_offset: u64(8),
  out_mmap_length: u64(16),
});

export const iommu_viommu_invalidate_selftest = struct('iommu_viommu_invalidate_selftest', 12, {
  flags: u32(0),
  vdev_id: u32(4),
  cache_id: u32(8),
});

export const iommu_viommu_event_selftest = struct('iommu_viommu_event_selftest', 4, {
  virt_id: u32(0),
});

/** The command: `u` holds the op's arm. */
export const iommu_test_cmd = struct('iommu_test_cmd', 72, {
  size: u32(0),
  op: u32(4),
  id: u32(8),
  __reserved: u32(12),
  u: bytes(IOMMU_TEST_ARM_OFFSET, 48),
  last: u32(64),
});

/** Runs one self-test op. */
export const IOMMU_TEST_CMD = ioctl({
  name: 'IOMMU_TEST_CMD',
  nr: 0x3ba0,
  fd: 'iommufd',
  struct: iommu_test_cmd,
  minSize: 68,
  copyBack: 'struct',
  memory: (cmd) => testMemory(cmd.op, cmd.u),
  fds: (cmd) => testFds(cmd.op),
  returnsFd: (cmd) => cmd.op === IOMMU_TEST_OP_DMABUF_GET,
});

function testMemory(op: number, arm: Uint8Array): UserRange[] {
  switch (op) {
    case IOMMU_TEST_OP_MD_CHECK_MAP: {
      const { uptr, length } = decode(iommu_test_check_map, arm);
      return [range('uptr', uptr, length, 'pin')];
    }
    case IOMMU_TEST_OP_MD_CHECK_REFS: {
      const { uptr, length } = decode(iommu_test_check_refs, arm);
      return [range('uptr', uptr, length, 'pin')];
    }
    case IOMMU_TEST_OP_ACCESS_PAGES: {
      const { uptr, length } = decode(iommu_test_access_pages, arm);
      return [range('uptr', uptr, length, 'pin')];
    }
    case IOMMU_TEST_OP_ACCESS_RW: {
      const { uptr, length, flags } = decode(iommu_test_access_rw, arm);
      return [range('uptr', uptr, length, flags & MOCK_ACCESS_RW_WRITE ? 'in' : 'out')];
    }
    case IOMMU_TEST_OP_DIRTY: {
      const { uptr, length, page_size } = decode(iommu_test_dirty, arm);
      return [range('uptr', uptr, bitmapBytes(length, page_size), 'in')];
    }
    default:
      return [];
  }
}

/** Ops on an access take its fd as `id`. */
function testFds(op: number): FdSlot[] {
  switch (op) {
    case IOMMU_TEST_OP_DESTROY_ACCESS_PAGES:
    case IOMMU_TEST_OP_ACCESS_PAGES:
    case IOMMU_TEST_OP_ACCESS_RW:
    case IOMMU_TEST_OP_ACCESS_REPLACE_IOAS:
      return [fdAt(8, 'in')];
    case IOMMU_TEST_OP_CREATE_ACCESS:
      return [fdAt(IOMMU_TEST_ARM_OFFSET, 'out')];
    case IOMMU_TEST_OP_DMABUF_REVOKE:
      return [fdAt(IOMMU_TEST_ARM_OFFSET, 'in')];
    default:
      return [];
  }
}

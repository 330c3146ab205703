/** IOMMU_TEST_CMD: the kernel's self-test, one op a row (uAPI section 5). */
import {
  fail,
  iommu_test_access_pages,
  iommu_test_access_replace_ioas,
  iommu_test_access_rw,
  iommu_test_add_reserved,
  iommu_test_check_dev_cache,
  iommu_test_check_iotlb,
  iommu_test_check_map,
  iommu_test_check_refs,
  iommu_test_create_access,
  iommu_test_destroy_access_pages,
  iommu_test_dirty,
  iommu_test_dmabuf_get,
  iommu_test_dmabuf_revoke,
  iommu_test_memory_limit,
  iommu_test_mock_domain,
  iommu_test_mock_domain_flags,
  iommu_test_mock_domain_replace,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_DEV_CHECK_CACHE,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_DMABUF_REVOKE,
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_CHECK_HWPT,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
  IOMMU_TEST_OP_TRIGGER_IOPF,
  IOMMU_TEST_OP_TRIGGER_VEVENT,
  iommu_test_pasid_attach,
  iommu_test_pasid_check,
  iommu_test_pasid_detach,
  iommu_test_pasid_replace,
  iommu_test_trigger_iopf,
  iommu_test_trigger_vevent,
  ok,
  type StructOf,
} from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { accessPages, accessReplaceIoas, createAccess, destroyAccessPages } from '../selftest/access-ops.js';
import { accessRw } from '../selftest/access-rw.js';
import { armOf, type TestCall, type TestCmd, type TestOp, testOp } from '../selftest/call.js';
import { checkIotlb, checkMap, checkRefs } from '../selftest/checks.js';
import { dirtyOp } from '../selftest/dirty-op.js';
import { dmabufGet, dmabufRevoke } from '../selftest/dmabuf-ops.js';
import { triggerIopf } from '../selftest/iopf.js';
import {
  checkCache,
  pasidAttach,
  pasidCheck,
  pasidDetach,
  pasidReplace,
  triggerVevent,
} from '../selftest/pasid-ops.js';
import { addReserved, mockDomain, mockDomainFlags, mockReplace } from '../selftest/mock-domain.js';

const OPS: ReadonlyMap<number, TestOp> = new Map([
  [IOMMU_TEST_OP_ADD_RESERVED, testOp(iommu_test_add_reserved, addReserved)],
  [IOMMU_TEST_OP_MOCK_DOMAIN, testOp(iommu_test_mock_domain, mockDomain)],
  [IOMMU_TEST_OP_MD_CHECK_MAP, testOp(iommu_test_check_map, checkMap)],
  [IOMMU_TEST_OP_MD_CHECK_REFS, testOp(iommu_test_check_refs, checkRefs)],
  [IOMMU_TEST_OP_CREATE_ACCESS, testOp(iommu_test_create_access, createAccess)],
  [IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, testOp(iommu_test_destroy_access_pages, destroyAccessPages)],
  [IOMMU_TEST_OP_ACCESS_PAGES, testOp(iommu_test_access_pages, accessPages)],
  [IOMMU_TEST_OP_ACCESS_RW, testOp(iommu_test_access_rw, accessRw)],
  [IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, testOp(iommu_test_memory_limit, memoryLimit)],
  [IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, testOp(iommu_test_mock_domain_replace, mockReplace)],
  [IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, testOp(iommu_test_access_replace_ioas, accessReplaceIoas)],
  [IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, testOp(iommu_test_mock_domain_flags, mockDomainFlags)],
  [IOMMU_TEST_OP_DIRTY, testOp(iommu_test_dirty, dirtyOp)],
  [IOMMU_TEST_OP_MD_CHECK_IOTLB, testOp(iommu_test_check_iotlb, checkIotlb)],
  [IOMMU_TEST_OP_TRIGGER_IOPF, testOp(iommu_test_trigger_iopf, triggerIopf)],
]);

/** Ops that came after 6.12. */
const NEWER_OPS: ReadonlyMap<number, TestOp> = new Map([
  [IOMMU_TEST_OP_DEV_CHECK_CACHE, testOp(iommu_test_check_dev_cache, checkCache)],
  [IOMMU_TEST_OP_TRIGGER_VEVENT, testOp(iommu_test_trigger_vevent, triggerVevent)],
  [IOMMU_TEST_OP_PASID_ATTACH, testOp(iommu_test_pasid_attach, pasidAttach)],
  [IOMMU_TEST_OP_PASID_REPLACE, testOp(iommu_test_pasid_replace, pasidReplace)],
  [IOMMU_TEST_OP_PASID_DETACH, testOp(iommu_test_pasid_detach, pasidDetach)],
  [IOMMU_TEST_OP_PASID_CHECK_HWPT, testOp(iommu_test_pasid_check, pasidCheck)],
  [IOMMU_TEST_OP_DMABUF_GET, testOp(iommu_test_dmabuf_get, dmabufGet)],
  [IOMMU_TEST_OP_DMABUF_REVOKE, testOp(iommu_test_dmabuf_revoke, dmabufRevoke)],
]);

/** EOPNOTSUPP: no such op; else as the op says. */
export function* testCmd(call: TestCall, cmd: TestCmd): Op<IoctlResult> {
  const op = OPS.get(cmd.op) ?? (call.file.flags.mockVirtualizes ? NEWER_OPS.get(cmd.op) : undefined);
  return op ? yield* op.run(call, cmd.id, armOf(op, cmd)) : fail('EOPNOTSUPP');
}

/** Bytes of one batch entry: the kernel's pin batches cannot be smaller. */
const LEAST_MEMORY = 12;

/** How much memory a pin batch may take. Batches do not show here, so the limit is only judged. EINVAL: under 12 bytes. */
function* memoryLimit(
  _call: TestCall,
  _id: number,
  { limit }: StructOf<typeof iommu_test_memory_limit>,
): Op<IoctlResult> {
  return limit < LEAST_MEMORY ? fail('EINVAL') : ok(0);
}

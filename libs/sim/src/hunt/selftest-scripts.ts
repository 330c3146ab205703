/** Scripts of IOMMU_TEST_CMD: together they use every op. Rule: as in scripts.ts. */
import {
  IOMMU_HWPT_ALLOC,
  iommu_test_access_replace_ioas,
  iommu_test_access_rw,
  iommu_test_add_reserved,
  iommu_test_check_dev_cache,
  iommu_test_check_iotlb,
  iommu_test_check_map,
  iommu_test_check_refs,
  iommu_test_destroy_access_pages,
  IOMMU_TEST_DEV_CACHE_DEFAULT,
  iommu_test_dmabuf_revoke,
  iommu_test_memory_limit,
  iommu_test_mock_domain,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_DEV_CHECK_CACHE,
  IOMMU_TEST_OP_DMABUF_REVOKE,
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  IOMMU_TEST_OP_MOCK_DOMAIN,
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
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VEVENTQ_TYPE_SELFTEST,
  MOCK_FLAGS_DEVICE_PASID,
} from '@vfiolab/uapi';
import {
  access,
  attached,
  faulting,
  first,
  hwpt,
  mapFile,
  mock,
  nested,
  PASID,
  pin,
  replace,
  type Script,
  since72,
  viommu,
} from './pieces.js';
import { APERTURE } from './world.js';

export const SELF_TEST: readonly Script[] = [
  mock('IOMMU_TEST_CMD: two devices on one HWPT, then on another', async (s) => {
    const a = await attached(s);
    await s.mock(a.ioas);
    await replace(s, a.object, await hwpt(s, a));
    const other = await s.ioas();
    await s.map(other, APERTURE + 0x300000n);
    await replace(s, a.object, other);
    const check = { iova: APERTURE + 0x300000n, length: 16384n, uptr: s.va };
    const moved = (await s.ioctl(IOMMU_HWPT_ALLOC, { dev_id: a.device, pt_id: other })).out_hwpt_id;
    await s.op(IOMMU_TEST_OP_MD_CHECK_MAP, iommu_test_check_map, moved, check);
  }),
  first(
    mock('IOMMU_TEST_CMD: reserved IOVA, a device without flags, pins, the size of a batch', async (s) => {
      const ioas = await s.ioas();
      await s.op(IOMMU_TEST_OP_ADD_RESERVED, iommu_test_add_reserved, ioas, { start: APERTURE, length: 4096n });
      await s.map(ioas, APERTURE + 4096n);
      await s.op(IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, iommu_test_memory_limit, 0, { limit: 65536 });
      await s.op(IOMMU_TEST_OP_MOCK_DOMAIN, iommu_test_mock_domain, ioas);
      await s.op(IOMMU_TEST_OP_MD_CHECK_REFS, iommu_test_check_refs, 0, { length: 16384n, uptr: s.va, refs: 1 });
    }),
  ),
  mock('IOMMU_TEST_CMD: a page request, and the IOTLB of a nested HWPT', async (s) => {
    const a = await attached(s);
    const id = await faulting(s, a);
    await replace(s, a.object, id);
    await s.op(IOMMU_TEST_OP_TRIGGER_IOPF, iommu_test_trigger_iopf, 0, { dev_id: a.device, perm: 1, addr: 8192n });
    await s.op(IOMMU_TEST_OP_MD_CHECK_IOTLB, iommu_test_check_iotlb, id, { id: 0, iotlb: 1 });
  }),
  since72('IOMMU_TEST_CMD: an event of a vIOMMU, and the cache of its device', async (s) => {
    const v = await viommu(s);
    await s.ioctl(IOMMU_VEVENTQ_ALLOC, { viommu_id: v.viommu, type: IOMMU_VEVENTQ_TYPE_SELFTEST, veventq_depth: 2 });
    await replace(s, v.object, await nested(s, v.device, v.viommu));
    await s.op(IOMMU_TEST_OP_TRIGGER_VEVENT, iommu_test_trigger_vevent, 0, { dev_id: v.device });
    const slot = { id: 0, cache: IOMMU_TEST_DEV_CACHE_DEFAULT };
    await s.op(IOMMU_TEST_OP_DEV_CHECK_CACHE, iommu_test_check_dev_cache, v.device, slot);
  }),
  since72('IOMMU_TEST_CMD: a dma-buf, mapped, taken away and given back', async (s) => {
    const { ioas } = await attached(s);
    const dmabuf_fd = await s.dmabuf(16384);
    await mapFile(s, ioas, dmabuf_fd, APERTURE + 0x100000n);
    for (const revoked of [1, 0])
      await s.op(IOMMU_TEST_OP_DMABUF_REVOKE, iommu_test_dmabuf_revoke, 0, { dmabuf_fd, revoked });
  }),
  mock('IOMMU_TEST_CMD: pages of an access', async (s) => {
    const { fd, ioas } = await access(s);
    const access_pages_id = await pin(s, fd);
    await pin(s, fd);
    await s.op(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, iommu_test_destroy_access_pages, fd, { access_pages_id });
    await s.mock(ioas);
    await s.op(IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, iommu_test_access_replace_ioas, fd, { ioas_id: await s.ioas() });
  }),
  mock('IOMMU_TEST_CMD: reads and writes of an access', async (s) => {
    const { fd } = await access(s);
    // Fast and slow, out of the area and into it.
    for (const flags of [0, 1, 4, 5]) {
      const arm = { iova: APERTURE + 100n, length: 5000n, uptr: s.va + 40000n, flags };
      await s.op(IOMMU_TEST_OP_ACCESS_RW, iommu_test_access_rw, fd, arm);
    }
  }),
  since72('IOMMU_TEST_CMD: PASIDs', async (s) => {
    const ioas = await s.ioas();
    await s.map(ioas);
    const a = { ioas, ...(await s.mock(ioas, MOCK_FLAGS_DEVICE_PASID)) };
    const [one, two] = [await hwpt(s, a, PASID), await hwpt(s, a, PASID)];
    await replace(s, a.object, one);
    const pasid = 7;
    await s.op(IOMMU_TEST_OP_PASID_ATTACH, iommu_test_pasid_attach, a.object, { pasid, pt_id: one });
    await s.op(IOMMU_TEST_OP_PASID_REPLACE, iommu_test_pasid_replace, a.object, { pasid, pt_id: two });
    await s.op(IOMMU_TEST_OP_PASID_CHECK_HWPT, iommu_test_pasid_check, a.object, { pasid, hwpt_id: two });
    await s.op(IOMMU_TEST_OP_PASID_DETACH, iommu_test_pasid_detach, a.object, { pasid });
  }),
];

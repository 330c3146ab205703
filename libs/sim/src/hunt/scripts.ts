/**
 * What programs do with /dev/iommu, one script for each ioctl, from nothing to the call and a little beyond.
 *
 * Rule: a script makes what it needs with other ioctls, so their failures on the way are met too; it closes nothing.
 */
import {
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  iommu_test_dirty,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VFIO_IOAS,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  type KernelProfile,
} from '@vfiolab/uapi';
import {
  attach,
  attached,
  devices,
  DIRTY_TRACKING,
  faulting,
  first,
  hwpt,
  mapFile,
  mock,
  NEST_PARENT,
  nested,
  replace,
  type Script,
  SELFTEST,
  since72,
  viommu,
  words,
} from './pieces.js';
import { SELF_TEST } from './selftest-scripts.js';
import { APERTURE } from './world.js';

const EVENTS = 0xbeefbeef;
const RANGE = { iova: APERTURE, length: 16384n, page_size: 2048n };

const SPACES: readonly Script[] = [
  mock('IOMMU_IOAS_ALLOC', async (s) => void (await s.ioas())),
  mock('IOMMU_IOAS_MAP: before and after a device', async (s) => {
    const { ioas } = await attached(s);
    await s.map(ioas, APERTURE + 0x100000n, 8192n, 16384n);
  }),
  mock('IOMMU_IOAS_MAP: into two domains', async (s) => {
    const a = await attached(s);
    await hwpt(s, a);
    await s.map(a.ioas, APERTURE + 0x100000n, 8192n, 16384n);
  }),
  mock('IOMMU_IOAS_UNMAP', async (s) => {
    const { ioas } = await attached(s);
    await s.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova: APERTURE, length: 16384n });
  }),
  mock('IOMMU_IOAS_COPY: two areas into a domain', async (s) => {
    const from = await s.ioas();
    for (const n of [0n, 1n]) await s.map(from, APERTURE + n * 8192n, 8192n, n * 32768n);
    const dst_ioas_id = await s.ioas();
    await s.mock(dst_ioas_id);
    const range = { src_iova: APERTURE, dst_iova: APERTURE + 0x200000n, length: 16384n };
    await s.ioctl(IOMMU_IOAS_COPY, { flags: 7, src_ioas_id: from, dst_ioas_id, ...range });
  }),
  mock('IOMMU_IOAS_IOVA_RANGES', async (s) => {
    const { ioas } = await attached(s);
    await s.ioctl(IOMMU_IOAS_IOVA_RANGES, { ioas_id: ioas, num_iovas: 2, allowed_iovas: new Uint8Array(32) });
  }),
  mock('IOMMU_IOAS_ALLOW_IOVAS', async (s) => {
    const allowed_iovas = new Uint8Array(BigUint64Array.of(APERTURE, APERTURE + 0xffffffn).buffer);
    await s.ioctl(IOMMU_IOAS_ALLOW_IOVAS, { ioas_id: await s.ioas(), num_iovas: 1, allowed_iovas });
  }),
  first(
    mock('IOMMU_OPTION', async (s) => {
      await s.ioctl(IOMMU_OPTION, { option_id: 0, op: 0, val64: 1n });
      const object_id = await s.ioas();
      await s.ioctl(IOMMU_OPTION, { option_id: 1, op: 0, object_id, val64: 0n });
      await s.map(object_id);
    }),
  ),
  mock('IOMMU_VFIO_IOAS', async (s) => {
    await s.ioctl(IOMMU_VFIO_IOAS, { op: 1, ioas_id: await s.ioas() });
    await s.ioctl(IOMMU_VFIO_IOAS, { op: 0 });
  }),
  mock('IOMMU_DESTROY: HWPT, device, IOAS', async (s) => {
    const a = await attached(s);
    for (const id of [await hwpt(s, a), a.object, a.ioas]) await s.ioctl(IOMMU_DESTROY, { id });
  }),
  since72('IOMMU_IOAS_MAP_FILE: before and after a device', async (s) => {
    const ioas = await s.ioas();
    const file = await s.memfd();
    await mapFile(s, ioas, file, APERTURE);
    await s.mock(ioas);
    await mapFile(s, ioas, file, APERTURE + 0x100000n);
  }),
  first(
    since72('IOMMU_IOAS_CHANGE_PROCESS', async (s) => {
      const ioas = await s.ioas();
      await s.mock(ioas);
      await mapFile(s, ioas, await s.memfd(), APERTURE);
      await s.ioctl(IOMMU_IOAS_CHANGE_PROCESS);
    }),
  ),
  mock('VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA, VFIO_IOMMU_GET_INFO', async (s) => {
    const ioas_id = await s.ioas();
    await s.ioctl(IOMMU_VFIO_IOAS, { op: 1, ioas_id });
    await s.mock(ioas_id);
    await s.ioctl(VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr: s.va, iova: APERTURE, size: 16384n });
    await s.ioctl(VFIO_IOMMU_GET_INFO, {});
    await s.ioctl(VFIO_IOMMU_UNMAP_DMA, { argsz: 24, iova: APERTURE, size: 16384n });
  }),
];

const TABLES: readonly Script[] = [
  mock('IOMMU_HWPT_ALLOC: paging, nested, with faults', async (s) => {
    const a = await attached(s);
    await replace(s, a.object, await faulting(s, a));
  }),
  mock('IOMMU_FAULT_QUEUE_ALLOC', async (s) => void (await s.ioctl(IOMMU_FAULT_QUEUE_ALLOC, {}))),
  mock('IOMMU_GET_HW_INFO', async (s) => {
    const { device: dev_id } = await attached(s);
    await s.ioctl(IOMMU_GET_HW_INFO, { dev_id, data_len: 8, data_uptr: new Uint8Array(8) });
  }),
  mock('IOMMU_HWPT_SET_DIRTY_TRACKING, IOMMU_HWPT_GET_DIRTY_BITMAP', async (s) => {
    const hwpt_id = await hwpt(s, await attached(s), DIRTY_TRACKING);
    await s.ioctl(IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags: 1 });
    await s.op(IOMMU_TEST_OP_DIRTY, iommu_test_dirty, hwpt_id, { ...RANGE, uptr: s.va });
    await s.ioctl(IOMMU_HWPT_GET_DIRTY_BITMAP, { hwpt_id, ...RANGE, data: new Uint8Array(8) });
  }),
  mock('IOMMU_HWPT_INVALIDATE: a nested HWPT', async (s) => {
    const a = await attached(s);
    const hwpt_id = await nested(s, a.device, await hwpt(s, a, NEST_PARENT));
    const entry = { entry_num: 1, entry_len: 8, data_uptr: words(0, 1) };
    await s.ioctl(IOMMU_HWPT_INVALIDATE, { hwpt_id, data_type: SELFTEST, ...entry });
  }),
  since72('IOMMU_HWPT_INVALIDATE: a vIOMMU', async (s) => {
    const v = await viommu(s);
    const entry = { entry_num: 1, entry_len: 12, data_uptr: words(0, 9, 2) };
    await s.ioctl(IOMMU_HWPT_INVALIDATE, { hwpt_id: v.viommu, data_type: SELFTEST, ...entry });
  }),
  since72('IOMMU_VIOMMU_ALLOC, IOMMU_VDEVICE_ALLOC, IOMMU_VEVENTQ_ALLOC', async (s) => {
    const v = await viommu(s);
    await s.ioctl(IOMMU_VEVENTQ_ALLOC, { viommu_id: v.viommu, type: EVENTS, veventq_depth: 2 });
    await replace(s, v.object, await nested(s, v.device, v.viommu));
  }),
  since72('IOMMU_HW_QUEUE_ALLOC', async (s) => {
    const { viommu: viommu_id } = await viommu(s);
    const queue = { viommu_id, type: SELFTEST, nesting_parent_iova: APERTURE, length: 4096n };
    for (const index of [0, 1]) await s.ioctl(IOMMU_HW_QUEUE_ALLOC, { ...queue, index });
  }),
];

const DEVICES: readonly Script[] = [
  devices('VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT', async (s) => {
    const ioas = await s.ioas();
    await s.map(ioas);
    const bound: { dev: number; id: number }[] = [];
    for (const bdf of s.program.world.bdfs) {
      bound.push(await s.bind(bdf));
      await attach(s, bound.at(-1)!.dev, ioas);
    }
    await s.map(ioas, 0x4000_0000n, 8192n, 16384n);
    // The whole group moves; its devices leave one by one.
    const { dev, id } = bound[0]!;
    await attach(s, dev, (await s.ioctl(IOMMU_HWPT_ALLOC, { dev_id: id, pt_id: ioas })).out_hwpt_id);
    const { name } = VFIO_DEVICE_DETACH_IOMMUFD_PT;
    for (const each of bound) await s.on(each.dev, name, VFIO_DEVICE_DETACH_IOMMUFD_PT, { argsz: 8 });
  }),
];

/** All of them; `scriptsOf` leaves out what a kernel lacks. */
export const SCRIPTS: readonly Script[] = [...SPACES, ...TABLES, ...SELF_TEST, ...DEVICES];

export const scriptsOf = (profile: KernelProfile): readonly Script[] =>
  SCRIPTS.filter(({ absent }) => !absent.includes(profile));

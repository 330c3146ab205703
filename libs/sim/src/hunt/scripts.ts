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
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  iommu_test_access_pages,
  iommu_test_access_replace_ioas,
  iommu_test_access_rw,
  iommu_test_check_map,
  iommu_test_create_access,
  iommu_test_destroy_access_pages,
  iommu_test_dirty,
  iommu_test_mock_domain_replace,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  iommu_test_pasid_attach,
  iommu_test_pasid_detach,
  iommu_test_pasid_replace,
  MOCK_FLAGS_DEVICE_PASID,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VFIO_IOAS,
  IOMMU_VIOMMU_ALLOC,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '@vfiolab/uapi';
import { APERTURE, type Mock, type Session, type WorldKind } from './world.js';

export interface Script {
  /** The ioctl that it is about, and for one with many ops what of it. */
  readonly name: string;
  readonly kind: WorldKind;
  run(s: Session): Promise<void>;
}

const SELFTEST = 0xdeadbeef;
const NESTED_DATA = 0xdead;
const EVENTS = 0xbeefbeef;
const NEST_PARENT = 1;
const DIRTY_TRACKING = 2;
const PASID = 8;
const RANGE = { iova: APERTURE, length: 16384n, page_size: 2048n };

export const words = (...n: number[]): Uint8Array => new Uint8Array(Uint32Array.from(n).buffer);

export interface Attached extends Mock {
  readonly ioas: number;
}

/** An IOAS with something mapped, and a mock device attached to it. */
export async function attached(s: Session): Promise<Attached> {
  const ioas = await s.ioas();
  await s.map(ioas);
  return { ioas, ...(await s.mock(ioas)) };
}

export const hwpt = async (s: Session, { device, ioas }: Attached, flags = 0): Promise<number> =>
  (await s.ioctl(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: ioas, flags })).out_hwpt_id;

export const nested = async (s: Session, dev_id: number, pt_id: number, more = {}): Promise<number> => {
  const data = { data_type: NESTED_DATA, data_len: 4, data_uptr: words(1) };
  return (await s.ioctl(IOMMU_HWPT_ALLOC, { dev_id, pt_id, ...data, ...more })).out_hwpt_id;
};

export const replace = async (s: Session, object: number, pt_id: number): Promise<void> =>
  void (await s.op(IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, iommu_test_mock_domain_replace, object, { pt_id }));

/** A vIOMMU with a device in it. */
export async function viommu(s: Session): Promise<Attached & { viommu: number }> {
  const a = await attached(s);
  const hwpt_id = await hwpt(s, a, NEST_PARENT);
  const data = { data_len: 24, data_uptr: new Uint8Array(24) };
  const made = await s.ioctl(IOMMU_VIOMMU_ALLOC, { type: SELFTEST, dev_id: a.device, hwpt_id, ...data });
  await s.ioctl(IOMMU_VDEVICE_ALLOC, { viommu_id: made.out_viommu_id, dev_id: a.device, virt_id: 9n });
  return { ...a, viommu: made.out_viommu_id };
}

/** An access that pins, over a mapped IOAS. */
export async function access(s: Session): Promise<{ ioas: number; fd: number }> {
  const ioas = await s.ioas();
  await s.map(ioas);
  const made = await s.op(IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access, ioas, { flags: 1 });
  return { ioas, fd: made.out_access_fd };
}

export const pin = async (s: Session, fd: number): Promise<number> => {
  const arm = { iova: APERTURE, length: 8192n, uptr: s.va };
  return (await s.op(IOMMU_TEST_OP_ACCESS_PAGES, iommu_test_access_pages, fd, arm)).out_access_pages_id;
};

const mock = (name: string, run: Script['run']): Script => ({ name, kind: 'mock', run });
const devices = (name: string, run: Script['run']): Script => ({ name, kind: 'devices', run });

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
  mock('IOMMU_OPTION', async (s) => {
    await s.ioctl(IOMMU_OPTION, { option_id: 0, op: 0, val64: 1n });
    const object_id = await s.ioas();
    await s.ioctl(IOMMU_OPTION, { option_id: 1, op: 0, object_id, val64: 0n });
    await s.map(object_id);
  }),
  mock('IOMMU_VFIO_IOAS', async (s) => {
    await s.ioctl(IOMMU_VFIO_IOAS, { op: 1, ioas_id: await s.ioas() });
    await s.ioctl(IOMMU_VFIO_IOAS, { op: 0 });
  }),
  mock('IOMMU_DESTROY: HWPT, device, IOAS', async (s) => {
    const a = await attached(s);
    for (const id of [await hwpt(s, a), a.object, a.ioas]) await s.ioctl(IOMMU_DESTROY, { id });
  }),
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
    const { out_fault_id: fault_id } = await s.ioctl(IOMMU_FAULT_QUEUE_ALLOC, {});
    const parent = await hwpt(s, a, NEST_PARENT);
    await replace(s, a.object, await nested(s, a.device, parent, { flags: 4, fault_id }));
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
  mock('IOMMU_HWPT_INVALIDATE: a nested HWPT and a vIOMMU', async (s) => {
    const v = await viommu(s);
    const call = { data_type: SELFTEST, entry_num: 1 };
    const hwpt_id = await nested(s, v.device, v.viommu);
    await s.ioctl(IOMMU_HWPT_INVALIDATE, { ...call, hwpt_id, entry_len: 8, data_uptr: words(0, 1) });
    const slot = { hwpt_id: v.viommu, entry_len: 12, data_uptr: words(0, 9, 2) };
    await s.ioctl(IOMMU_HWPT_INVALIDATE, { ...call, ...slot });
  }),
  mock('IOMMU_VIOMMU_ALLOC, IOMMU_VDEVICE_ALLOC, IOMMU_VEVENTQ_ALLOC', async (s) => {
    const v = await viommu(s);
    await s.ioctl(IOMMU_VEVENTQ_ALLOC, { viommu_id: v.viommu, type: EVENTS, veventq_depth: 2 });
    await replace(s, v.object, await nested(s, v.device, v.viommu));
  }),
  mock('IOMMU_HW_QUEUE_ALLOC', async (s) => {
    const { viommu: viommu_id } = await viommu(s);
    const queue = { viommu_id, type: SELFTEST, nesting_parent_iova: APERTURE, length: 4096n };
    for (const index of [0, 1]) await s.ioctl(IOMMU_HW_QUEUE_ALLOC, { ...queue, index });
  }),
];

const SELF_TEST: readonly Script[] = [
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
  mock('IOMMU_TEST_CMD: PASIDs', async (s) => {
    const ioas = await s.ioas();
    await s.map(ioas);
    const a = { ioas, ...(await s.mock(ioas, MOCK_FLAGS_DEVICE_PASID)) };
    const [one, two] = [await hwpt(s, a, PASID), await hwpt(s, a, PASID)];
    await replace(s, a.object, one);
    const pasid = 7;
    await s.op(IOMMU_TEST_OP_PASID_ATTACH, iommu_test_pasid_attach, a.object, { pasid, pt_id: one });
    await s.op(IOMMU_TEST_OP_PASID_REPLACE, iommu_test_pasid_replace, a.object, { pasid, pt_id: two });
    await s.op(IOMMU_TEST_OP_PASID_DETACH, iommu_test_pasid_detach, a.object, { pasid });
  }),
];

export const attach = (s: Session, dev: number, pt_id: number) =>
  s.on(dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT.name, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id });

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

export const SCRIPTS: readonly Script[] = [...SPACES, ...TABLES, ...SELF_TEST, ...DEVICES];

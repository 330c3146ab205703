/**
 * What scripts and stages are made of: objects that a program has made before the call in question.
 *
 * Rule: every piece is made with the calls that a program would make, so that their failures are met too.
 */
import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_MAP_FILE,
  iommu_test_access_pages,
  iommu_test_create_access,
  iommu_test_mock_domain_replace,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  type KernelProfile,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
} from '@vfiolab/uapi';
import { APERTURE, type Mock, type Session, type WorldKind } from './world.js';

export interface Script {
  /** The ioctl that it is about, and for one with many ops what of it. */
  readonly name: string;
  readonly kind: WorldKind;
  /** Kernels that lack something it needs. */
  readonly absent: readonly KernelProfile[];
  /** Works only where nothing has been done before: it is about the whole context, or about all pins of a page. */
  readonly first: boolean;
  run(s: Session): Promise<void>;
}

export const mock = (name: string, run: Script['run']): Script => ({
  name,
  kind: 'mock',
  absent: [],
  first: false,
  run,
});
export const since72 = (name: string, run: Script['run']): Script => ({ ...mock(name, run), absent: ['6.12'] });
export const devices = (name: string, run: Script['run']): Script => ({
  ...mock(name, run),
  kind: 'devices',
  first: true,
});
export const first = (script: Script): Script => ({ ...script, first: true });

/** Types and data of the self-test's driver. */
export const SELFTEST = 0xdeadbeef;
const NESTED_DATA = 0xdead;
const FAULT_ID_VALID = 4;
/** Flags of IOMMU_HWPT_ALLOC. */
export const NEST_PARENT = 1;
export const DIRTY_TRACKING = 2;
export const PASID = 8;
const FIXED_RW = 7;

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

/** A nested HWPT with a queue for page requests. */
export async function faulting(s: Session, a: Attached): Promise<number> {
  const { out_fault_id: fault_id } = await s.ioctl(IOMMU_FAULT_QUEUE_ALLOC, {});
  return nested(s, a.device, await hwpt(s, a, NEST_PARENT), { flags: FAULT_ID_VALID, fault_id });
}

export const mapFile = async (s: Session, ioas_id: number, fd: number, iova: bigint): Promise<void> =>
  void (await s.ioctl(IOMMU_IOAS_MAP_FILE, { flags: FIXED_RW, ioas_id, fd, start: 4096n, length: 8192n, iova }));

export const attach = (s: Session, dev: number, pt_id: number) =>
  s.on(dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT.name, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id });

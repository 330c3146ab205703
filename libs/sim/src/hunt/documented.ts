/**
 * Which errnos an ioctl may answer, and which refused calls leave traces, as the documentation and the recorded kernels
 * have it (uAPI, section of the ioctl's name).
 *
 * Rule: every ioctl copies its struct (EFAULT), has length rules (EINVAL, E2BIG), and may find no memory (ENOMEM).
 */
import {
  type AnyIoctlDef,
  compatIoctls,
  containerIoctls,
  deviceIoctls,
  type Errno,
  groupIoctls,
  iommufdIoctls,
  spaprIoctls,
  type1Ioctls,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_PASID_REPLACE,
} from '@vfiolab/uapi';

const ALWAYS = 'EFAULT EINVAL E2BIG ENOMEM';
/** Pinning, placing, filling. */
const PLACING = 'EOPNOTSUPP EOVERFLOW ENOENT EEXIST ENOSPC EPERM';
/**
 * Attaching to an IOAS or HWPT. ENOSPC: no domain id is left in the IOMMU, or the PASID is one that no allocator hands out; ENODEV:
 * a HWPT with a fault queue, and a device without page requests (d019).
 */
const ATTACHING = 'EOPNOTSUPP ENOENT EADDRINUSE EBUSY EOVERFLOW EEXIST ENOSPC ENODEV';

const DOCUMENTED: Readonly<Record<string, string>> = {
  IOMMU_DESTROY: 'ENOENT EBUSY',
  IOMMU_IOAS_ALLOC: 'EOPNOTSUPP',
  IOMMU_IOAS_ALLOW_IOVAS: 'EOPNOTSUPP ENOENT EADDRINUSE',
  IOMMU_IOAS_COPY: PLACING,
  IOMMU_IOAS_IOVA_RANGES: 'EOPNOTSUPP ENOENT EMSGSIZE',
  IOMMU_IOAS_MAP: PLACING,
  IOMMU_IOAS_UNMAP: 'ENOENT EOVERFLOW EBUSY EDEADLK',
  IOMMU_OPTION: 'EOPNOTSUPP EPERM EBUSY EADDRINUSE ENOENT',
  IOMMU_VFIO_IOAS: 'EOPNOTSUPP ENODEV ENOENT',
  IOMMU_HWPT_ALLOC: 'EOPNOTSUPP ENOENT EADDRINUSE EIO ENOSPC',
  IOMMU_GET_HW_INFO: 'EOPNOTSUPP ENOENT',
  IOMMU_HWPT_SET_DIRTY_TRACKING: 'EOPNOTSUPP ENOENT',
  IOMMU_HWPT_GET_DIRTY_BITMAP: 'EOPNOTSUPP ENOENT EOVERFLOW',
  IOMMU_HWPT_INVALIDATE: 'EOPNOTSUPP ENOENT EIO',
  IOMMU_FAULT_QUEUE_ALLOC: 'EOPNOTSUPP EMFILE',
  IOMMU_VIOMMU_ALLOC: 'EOPNOTSUPP ENOENT',
  IOMMU_VDEVICE_ALLOC: 'ENOENT EEXIST EOPNOTSUPP',
  IOMMU_VEVENTQ_ALLOC: 'EOPNOTSUPP ENOENT EEXIST EMFILE',
  IOMMU_HW_QUEUE_ALLOC: 'EOPNOTSUPP EOVERFLOW ERANGE ENOENT EPERM EEXIST EIO EADDRINUSE',
  IOMMU_IOAS_MAP_FILE: `EBADF ENODEV ${PLACING}`,
  IOMMU_IOAS_CHANGE_PROCESS: 'EOPNOTSUPP EBUSY',
  IOMMU_IOAS_NOIOMMU_GET_PA: 'EPERM EOPNOTSUPP EOVERFLOW ENOENT',
  IOMMU_TEST_CMD: `EBADF EBADFD EMFILE EBADE EIO ENOSYS ENODEV EADDRINUSE ${PLACING} ${ATTACHING}`,
  VFIO_IOMMU_GET_INFO: 'ENODEV',
  VFIO_IOMMU_MAP_DMA: 'EEXIST EOVERFLOW ENODEV ENOSPC',
  VFIO_IOMMU_UNMAP_DMA: 'ENOENT EBUSY EOVERFLOW ENODEV',
  VFIO_GET_API_VERSION: '',
  VFIO_CHECK_EXTENSION: 'ENODEV',
  VFIO_SET_IOMMU: 'ENODEV EADDRINUSE EPERM',
  VFIO_DEVICE_BIND_IOMMUFD: 'EBUSY EBADF EBADFD EPERM ENODEV EACCES',
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: ATTACHING,
  VFIO_DEVICE_DETACH_IOMMUFD_PT: 'EOPNOTSUPP',
  VFIO_DEVICE_GET_INFO: '',
  VFIO_DEVICE_GET_REGION_INFO: '',
  VFIO_DEVICE_GET_IRQ_INFO: '',
  VFIO_DEVICE_SET_IRQS: 'ENOTTY EBADF ENODEV EBUSY ENOSPC',
  VFIO_DEVICE_RESET: 'EAGAIN ENOTTY',
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: 'ENODEV ENOSPC EPERM EAGAIN',
  VFIO_DEVICE_PCI_HOT_RESET: 'EBADF EBUSY ENODEV EAGAIN ENOTTY',
  VFIO_DEVICE_IOEVENTFD: 'EEXIST ENODEV ENOSPC EBADF',
  // EMFILE: a data fd, or a dma-buf.
  VFIO_DEVICE_FEATURE: 'ENOTTY E2BIG EBADF EOVERFLOW EOPNOTSUPP ENODEV EMFILE',
};

/** The same of groups and of VFIO's own containers, whose numbers mean several things; type1 and SPAPR. */
const ON_CONTAINER: Readonly<Record<string, string>> = {
  VFIO_GET_API_VERSION: '',
  VFIO_CHECK_EXTENSION: '',
  VFIO_SET_IOMMU: 'EBUSY ENODEV ENOSPC',
  VFIO_IOMMU_GET_INFO: 'ENODEV',
  VFIO_IOMMU_MAP_DMA: 'EEXIST ENODEV ENOENT ENOSPC ENXIO EOVERFLOW EBUSY',
  VFIO_IOMMU_UNMAP_DMA: 'EBUSY ENOENT EOVERFLOW ENXIO',
  VFIO_IOMMU_ENABLE: 'EBUSY ENODEV',
  VFIO_IOMMU_DISABLE: '',
  VFIO_IOMMU_DIRTY_PAGES: 'EACCES EOVERFLOW',
  VFIO_IOMMU_SPAPR_TCE_GET_INFO: 'ENXIO',
  VFIO_EEH_PE_OP: 'ENODEV EIO',
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY: 'EBUSY',
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY: 'EBUSY ENOENT',
  VFIO_IOMMU_SPAPR_TCE_CREATE: 'ENODEV ENOSPC ENXIO',
  VFIO_IOMMU_SPAPR_TCE_REMOVE: 'ENXIO',
};
const ON_GROUP: Readonly<Record<string, string>> = {
  VFIO_GROUP_GET_STATUS: 'ENODEV',
  VFIO_GROUP_SET_CONTAINER: 'EBADF EBADFD EBUSY ENODEV EPERM ENOSPC',
  VFIO_GROUP_UNSET_CONTAINER: 'EBUSY',
  // With an iommufd in the place of a container the device is attached, too.
  VFIO_GROUP_GET_DEVICE_FD: `EACCES EAGAIN ENODEV EPERM EBUSY EMFILE ${ATTACHING}`,
};

/** The ioctl's name, without what a name of many ops says more. */
const ioctlOf = (name: string): string => name.split(' ')[0]!;

/** A release without the ioctl answers ENOTTY, or before that what it says about the size word. */
const UNKNOWN = 'ENOTTY EFAULT EINVAL';

export function mayAnswer(name: string, errno: Errno): boolean {
  const own = DOCUMENTED[ioctlOf(name)];
  return `${UNKNOWN} ${own === undefined ? '' : `${ALWAYS} ${own}`}`.split(' ').includes(errno);
}

/** Ioctls whose work stays when their struct cannot be copied back. */
const STAYS: ReadonlySet<string> = new Set([
  'IOMMU_IOAS_MAP',
  'IOMMU_IOAS_MAP_FILE',
  'IOMMU_IOAS_COPY',
  'IOMMU_OPTION',
  'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
  `IOMMU_TEST_CMD ${IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE}`,
  `IOMMU_TEST_CMD ${IOMMU_TEST_OP_PASID_REPLACE}`,
  // The pins are given back; the number of the item is not used again.
  `IOMMU_TEST_CMD ${IOMMU_TEST_OP_ACCESS_PAGES}`,
]);
/** Ioctls that work from the front and keep what they did before the entry that was refused. */
const PARTIAL = new Set(['IOMMU_IOAS_UNMAP', 'VFIO_IOMMU_UNMAP_DMA', 'IOMMU_HWPT_INVALIDATE']);

/** Does the kernel, too, leave something changed behind this errno? */
export const mayLeaveTraces = (name: string, errno: Errno): boolean =>
  PARTIAL.has(ioctlOf(name)) || (errno === 'EFAULT' && (STAYS.has(name) || STAYS.has(ioctlOf(name))));

type Definitions = Readonly<Record<string, AnyIoctlDef>>;
const ON: Readonly<Record<string, readonly [Definitions, Readonly<Record<string, string>>]>> = {
  iommufd: [{ ...iommufdIoctls, ...compatIoctls }, DOCUMENTED],
  device: [deviceIoctls, DOCUMENTED],
  container: [{ ...containerIoctls, ...type1Ioctls, ...spaprIoctls }, ON_CONTAINER],
  group: [groupIoctls, ON_GROUP],
};

/** The same for a request number on a kind of file, which may mean several things; other kinds may answer anything. */
export function mayAnswerOn(kind: string, nr: number, errno: Errno): boolean {
  const found = ON[kind];
  // SPAPR asks who calls before it asks what.
  if (!found || `${UNKNOWN} EBADF ${kind === 'container' ? 'EPERM' : ''}`.split(' ').includes(errno)) return true;
  const [definitions, documented] = found;
  const names = Object.values(definitions).flatMap((def) => (def.nr === nr ? [def.name] : []));
  return names.some((name) => `${ALWAYS} ${documented[name] ?? ''}`.split(' ').includes(errno));
}

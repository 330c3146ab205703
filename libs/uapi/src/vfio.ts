/**
 * VFIO device fds: joining an iommufd, interrupts, reset, display and ioeventfds. Numbers 0x3b6e..0x3b74, 0x3b76..0x3b78.
 *
 * Words: a *cdev* is a device fd opened directly (/dev/vfio/devices/vfioX); it must be bound to an iommufd before it
 * answers anything else. The first word of each struct is argsz, the size of the caller's whole buffer.
 */
import { flexible, s32, s32_element, struct, u16, u32, u64, u8, u8_element } from './codec.js';
import type { FdSlot, UserRange } from './ioctl.js';
import { ioctl, plainIoctl } from './ioctl.js';
import { fdAt, range, tailRoom } from './metadata.js';

/** Type and action of VFIO_DEVICE_SET_IRQS: one of each. */
export const VFIO_IRQ_SET_DATA_NONE = 1;
export const VFIO_IRQ_SET_DATA_BOOL = 2;
export const VFIO_IRQ_SET_DATA_EVENTFD = 4;
export const VFIO_IRQ_SET_ACTION_MASK = 8;
export const VFIO_IRQ_SET_ACTION_UNMASK = 0x10;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 0x20;
export const VFIO_IRQ_SET_DATA_TYPE_MASK = 7;
export const VFIO_IRQ_SET_ACTION_TYPE_MASK = 56;

export const vfio_irq_set = struct(
  'vfio_irq_set',
  20,
  {
    argsz: u32(0),
    flags: u32(4),
    index: u32(8),
    start: u32(12),
    count: u32(16),
  },
  flexible('data', 20, u8_element),
);

/** Bytes of `data` the command calls for: none, one a vector, or one s32 eventfd a vector. */
export function irqSetDataLength(flags: number, count: number): number {
  if (flags & VFIO_IRQ_SET_DATA_EVENTFD) return count * s32_element.size;
  return flags & VFIO_IRQ_SET_DATA_BOOL ? count : 0;
}

export const VFIO_DEVICE_SET_IRQS = ioctl({
  name: 'VFIO_DEVICE_SET_IRQS',
  nr: 0x3b6e,
  fd: 'device',
  struct: vfio_irq_set,
  minSize: 20,
  memory: (cmd, { arg }): UserRange[] => [
    range('data', arg + BigInt(vfio_irq_set.size), irqSetDataLength(cmd.flags, cmd.count), 'in'),
  ],
  fds: (cmd): FdSlot[] => (cmd.flags & VFIO_IRQ_SET_DATA_EVENTFD ? [fdAt(vfio_irq_set.size, 'in', cmd.count)] : []),
});

export const VFIO_DEVICE_RESET = plainIoctl({ name: 'VFIO_DEVICE_RESET', nr: 0x3b6f, fd: 'device', arg: 'none' });

/** `devid` of a dependent device on a cdev: owned through its group, or not owned (-1 as u32: 0xffffffff). */
export const VFIO_PCI_DEVID_OWNED = 0;
export const VFIO_PCI_DEVID_NOT_OWNED = -1;

export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1;
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 2;

/** One function that a hot reset hits. `group_id` and `devid` are one word; DEV_ID in the reply's flags says which. */
export const vfio_pci_dependent_device = struct('vfio_pci_dependent_device', 8, {
  group_id: u32(0),
  devid: u32(0),
  segment: u16(4),
  bus: u8(6),
  devfn: u8(7),
});

export const vfio_pci_hot_reset_info = struct(
  'vfio_pci_hot_reset_info',
  12,
  {
    argsz: u32(0),
    flags: u32(4),
    count: u32(8),
  },
  flexible('devices', 12, vfio_pci_dependent_device),
);

/** Lists what a slot or bus reset hits. Copies back on ENOSPC too: count then says how many there are. */
export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = ioctl({
  name: 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO',
  nr: 0x3b70,
  fd: 'device',
  struct: vfio_pci_hot_reset_info,
  minSize: 12,
  copyBack: 'struct',
  copyBackOnFailure: true,
  memory: (cmd, { arg }) => [
    range(
      'devices',
      arg + BigInt(vfio_pci_hot_reset_info.size),
      tailRoom(cmd.argsz, vfio_pci_hot_reset_info.size),
      'out',
    ),
  ],
});

export const vfio_pci_hot_reset = struct(
  'vfio_pci_hot_reset',
  12,
  {
    argsz: u32(0),
    flags: u32(4),
    count: u32(8),
  },
  flexible('group_fds', 12, s32_element),
);

export const VFIO_DEVICE_PCI_HOT_RESET = ioctl({
  name: 'VFIO_DEVICE_PCI_HOT_RESET',
  nr: 0x3b71,
  fd: 'device',
  struct: vfio_pci_hot_reset,
  minSize: 12,
  memory: (cmd, { arg }) => [
    range('group_fds', arg + BigInt(vfio_pci_hot_reset.size), cmd.count * s32_element.size, 'in'),
  ],
  fds: (cmd) => [fdAt(vfio_pci_hot_reset.size, 'in', cmd.count)],
});

export const VFIO_GFX_PLANE_TYPE_PROBE = 1;
export const VFIO_GFX_PLANE_TYPE_DMABUF = 2;
export const VFIO_GFX_PLANE_TYPE_REGION = 4;

/** `region_index` and `dmabuf_id` are one word; the plane type says which. */
export const vfio_device_gfx_plane_info = struct('vfio_device_gfx_plane_info', 64, {
  argsz: u32(0),
  flags: u32(4),
  drm_plane_type: u32(8),
  drm_format: u32(12),
  drm_format_mod: u64(16),
  width: u32(24),
  height: u32(28),
  stride: u32(32),
  size: u32(36),
  x_pos: u32(40),
  y_pos: u32(44),
  x_hot: u32(48),
  y_hot: u32(52),
  region_index: u32(56),
  dmabuf_id: u32(56),
  reserved: u32(60),
});

export const VFIO_DEVICE_QUERY_GFX_PLANE = ioctl({
  name: 'VFIO_DEVICE_QUERY_GFX_PLANE',
  nr: 0x3b72,
  fd: 'device',
  struct: vfio_device_gfx_plane_info,
  minSize: 64,
  copyBack: 'struct',
});

/** The argument points at a dmabuf_id; the result is the dma-buf's fd. */
export const VFIO_DEVICE_GET_GFX_DMABUF = plainIoctl({
  name: 'VFIO_DEVICE_GET_GFX_DMABUF',
  nr: 0x3b73,
  fd: 'device',
  arg: 'u32',
  returnsFd: true,
});

/** Access width of VFIO_DEVICE_IOEVENTFD: exactly one. */
export const VFIO_DEVICE_IOEVENTFD_8 = 1;
export const VFIO_DEVICE_IOEVENTFD_16 = 2;
export const VFIO_DEVICE_IOEVENTFD_32 = 4;
export const VFIO_DEVICE_IOEVENTFD_64 = 8;
export const VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 15;

export const vfio_device_ioeventfd = struct('vfio_device_ioeventfd', 32, {
  argsz: u32(0),
  flags: u32(4),
  offset: u64(8),
  data: u64(16),
  fd: s32(24),
  reserved: u32(28),
});

export const VFIO_DEVICE_IOEVENTFD = ioctl({
  name: 'VFIO_DEVICE_IOEVENTFD',
  nr: 0x3b74,
  fd: 'device',
  struct: vfio_device_ioeventfd,
  minSize: 28,
  fds: () => [fdAt(24, 'in')],
});

/** The struct carries a VF token. Not in 6.12. */
export const VFIO_DEVICE_BIND_FLAG_TOKEN = 1;

/** Bytes `token_uuid_ptr` points at. */
export const VFIO_TOKEN_UUID_LENGTH = 16;

export const vfio_device_bind_iommufd = struct('vfio_device_bind_iommufd', 24, {
  argsz: u32(0),
  flags: u32(4),
  iommufd: s32(8),
  out_devid: u32(12),
  token_uuid_ptr: u64(16),
});

/**
 * Binds a cdev to an iommufd. 6.12 reads 16 bytes and ignores the rest; from 7.2 on the struct has 24 and the tail is
 * checked as iommufd does it (traces b011, d001).
 */
export const VFIO_DEVICE_BIND_IOMMUFD = ioctl({
  name: 'VFIO_DEVICE_BIND_IOMMUFD',
  nr: 0x3b76,
  fd: 'device',
  struct: vfio_device_bind_iommufd,
  minSize: 16,
  tail: 'zero',
  profiles: { '6.12': { size: 16, minSize: 16, tail: 'ignored' } },
  copyBack: [12, 16],
  memory: (cmd) =>
    cmd.flags & VFIO_DEVICE_BIND_FLAG_TOKEN
      ? [range('token_uuid_ptr', cmd.token_uuid_ptr, VFIO_TOKEN_UUID_LENGTH, 'in')]
      : [],
  fds: () => [fdAt(8, 'in')],
});

/** `pasid` is meant. Not in 6.12. */
export const VFIO_DEVICE_ATTACH_PASID = 1;

export const vfio_device_attach_iommufd_pt = struct('vfio_device_attach_iommufd_pt', 16, {
  argsz: u32(0),
  flags: u32(4),
  pt_id: u32(8),
  pasid: u32(12),
});

/** Attaches a bound cdev, or one of its PASIDs, to an IOAS or HWPT. Only pt_id is written back. */
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = ioctl({
  name: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
  nr: 0x3b77,
  fd: 'device',
  struct: vfio_device_attach_iommufd_pt,
  minSize: 12,
  // An unknown flag is refused before the PASID is read, so only the flag on its own asks for the longer struct.
  extension: { size: 16, when: (cmd) => cmd.flags === VFIO_DEVICE_ATTACH_PASID },
  profiles: { '6.12': { size: 12, minSize: 12, tail: 'ignored' } },
  copyBack: [8, 12],
});

export const VFIO_DEVICE_DETACH_PASID = 1;

export const vfio_device_detach_iommufd_pt = struct('vfio_device_detach_iommufd_pt', 12, {
  argsz: u32(0),
  flags: u32(4),
  pasid: u32(8),
});

export const VFIO_DEVICE_DETACH_IOMMUFD_PT = ioctl({
  name: 'VFIO_DEVICE_DETACH_IOMMUFD_PT',
  nr: 0x3b78,
  fd: 'device',
  struct: vfio_device_detach_iommufd_pt,
  minSize: 8,
  extension: { size: 12, when: (cmd) => cmd.flags === VFIO_DEVICE_DETACH_PASID },
  profiles: { '6.12': { size: 8, minSize: 8, tail: 'ignored' } },
});

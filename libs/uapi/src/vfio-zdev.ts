/** Capabilities of a zPCI device (s390) in the reply of VFIO_DEVICE_GET_INFO. */
import { flexible, nested, struct, u16, u32, u64, u8, u8_element } from './codec.js';
import { vfio_info_cap_header } from './vfio-info.js';

export const VFIO_DEVICE_INFO_CAP_ZPCI_BASE = 1;
export const VFIO_DEVICE_INFO_CAP_ZPCI_GROUP = 2;
export const VFIO_DEVICE_INFO_CAP_ZPCI_UTIL = 3;
export const VFIO_DEVICE_INFO_CAP_ZPCI_PFIP = 4;

export const vfio_device_info_cap_zpci_base = struct('vfio_device_info_cap_zpci_base', 40, {
  header: nested(0, vfio_info_cap_header),
  start_dma: u64(8),
  end_dma: u64(16),
  pchid: u16(24),
  vfn: u16(26),
  fmb_length: u16(28),
  pft: u8(30),
  gid: u8(31),
  fh: u32(32),
  ccdf_err_length: u32(36),
});

export const VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH = 1;

export const vfio_device_info_cap_zpci_group = struct('vfio_device_info_cap_zpci_group', 48, {
  header: nested(0, vfio_info_cap_header),
  dasm: u64(8),
  msi_addr: u64(16),
  flags: u64(24),
  mui: u16(32),
  noi: u16(34),
  maxstbl: u16(36),
  version: u8(38),
  reserved: u8(39),
  imaxstbl: u16(40),
});

export const vfio_device_info_cap_zpci_util = struct(
  'vfio_device_info_cap_zpci_util',
  12,
  {
    header: nested(0, vfio_info_cap_header),
    size: u32(8),
  },
  flexible('util_str', 12, u8_element),
);

export const vfio_device_info_cap_zpci_pfip = struct(
  'vfio_device_info_cap_zpci_pfip',
  12,
  {
    header: nested(0, vfio_info_cap_header),
    size: u32(8),
  },
  flexible('pfip', 12, u8_element),
);

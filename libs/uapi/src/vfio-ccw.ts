/** Channel I/O devices (s390, vfio-ccw): regions, interrupts, and the layouts of the regions. */
import { bytes, struct, u32 } from './codec.js';

export const VFIO_CCW_CONFIG_REGION_INDEX = 0;
export const VFIO_CCW_NUM_REGIONS = 1;

export const VFIO_CCW_IO_IRQ_INDEX = 0;
export const VFIO_CCW_CRW_IRQ_INDEX = 1;
export const VFIO_CCW_REQ_IRQ_INDEX = 2;
export const VFIO_CCW_NUM_IRQS = 3;

/** Subtypes of the device-specific regions of type VFIO_REGION_TYPE_CCW. */
export const VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1;
export const VFIO_REGION_SUBTYPE_CCW_SCHIB = 2;
export const VFIO_REGION_SUBTYPE_CCW_CRW = 3;

/** Sizes in bytes. */
export const ORB_AREA_SIZE = 12;
export const SCSW_AREA_SIZE = 12;
export const IRB_AREA_SIZE = 96;
export const SCHIB_AREA_SIZE = 52;

export const ccw_io_region = struct('ccw_io_region', 124, {
  orb_area: bytes(0, 12),
  scsw_area: bytes(12, 12),
  irb_area: bytes(24, 96),
  ret_code: u32(120),
});

export const VFIO_CCW_ASYNC_CMD_HSCH = 1;
export const VFIO_CCW_ASYNC_CMD_CSCH = 2;

export const ccw_cmd_region = struct('ccw_cmd_region', 8, {
  command: u32(0),
  ret_code: u32(4),
});

export const ccw_schib_region = struct('ccw_schib_region', 52, {
  schib_area: bytes(0, 52),
});

export const ccw_crw_region = struct('ccw_crw_region', 8, {
  crw: u32(0),
  pad: u32(4),
});

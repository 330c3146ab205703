/**
 * VFIO_DEVICE_FEATURE (0x3b75): one ioctl, many features; the low 16 bits of `flags` name the feature.
 *
 * Words: the *payload* is what follows the 8-byte header. GET, SET and PROBE are bits of `flags`; PROBE asks only whether
 * the feature has the other two and needs no payload.
 */
import { decode, flexible, s32, struct, u32, u64, u8_element } from './codec.js';
import type { ArgContext, FdSlot, UserRange } from './ioctl.js';
import { ioctl } from './ioctl.js';
import { bitmapBytes, fdAt, range, tailRoom } from './metadata.js';
import { VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE } from './vfio-migration.js';

/** The feature's number, and what to do with it. */
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 0x10000;
export const VFIO_DEVICE_FEATURE_SET = 0x20000;
export const VFIO_DEVICE_FEATURE_PROBE = 0x40000;

/** Feature numbers (those of migration: vfio-migration.ts). */
export const VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;
export const VFIO_DEVICE_FEATURE_BUS_MASTER = 10;
export const VFIO_DEVICE_FEATURE_DMA_BUF = 11;
export const VFIO_DEVICE_FEATURE_ZPCI_ERROR = 13;

export const vfio_device_feature = struct(
  'vfio_device_feature',
  8,
  {
    argsz: u32(0),
    flags: u32(4),
  },
  flexible('data', 8, u8_element),
);

export const vfio_device_low_power_entry_with_wakeup = struct('vfio_device_low_power_entry_with_wakeup', 8, {
  wakeup_eventfd: s32(0),
  reserved: u32(4),
});

/** Start logging DMA writes to `num_ranges` ranges at `ranges`; page_size comes back as the one in use. */
export const vfio_device_feature_dma_logging_control = struct('vfio_device_feature_dma_logging_control', 24, {
  page_size: u64(0),
  num_ranges: u32(8),
  __reserved: u32(12),
  ranges: u64(16),
});

export const vfio_device_feature_dma_logging_range = struct('vfio_device_feature_dma_logging_range', 16, {
  iova: u64(0),
  length: u64(8),
});

/** Adds one bit for each page_size to `bitmap`; bit 0 is `iova`. */
export const vfio_device_feature_dma_logging_report = struct('vfio_device_feature_dma_logging_report', 32, {
  iova: u64(0),
  length: u64(8),
  page_size: u64(16),
  bitmap: u64(24),
});

/** `op` of the BUS_MASTER feature. */
export const VFIO_DEVICE_FEATURE_CLEAR_MASTER = 0;
export const VFIO_DEVICE_FEATURE_SET_MASTER = 1;

export const vfio_device_feature_bus_master = struct('vfio_device_feature_bus_master', 4, {
  op: u32(0),
});

export const vfio_region_dma_range = struct('vfio_region_dma_range', 16, {
  offset: u64(0),
  length: u64(8),
});

/** The result of GET is the fd of a dma-buf over slices of one region. */
export const vfio_device_feature_dma_buf = struct(
  'vfio_device_feature_dma_buf',
  16,
  {
    region_index: u32(0),
    open_flags: u32(4),
    flags: u32(8),
    nr_ranges: u32(12),
  },
  flexible('dma_ranges', 16, vfio_region_dma_range),
);

/** Bytes of a record that `data` has room for: `ccdf_err_length` of the function's capability. */
export const ZPCI_ERROR_BYTES = 32;

export const vfio_device_feature_zpci_err = struct('vfio_device_feature_zpci_err', 8, {
  data: u64(0),
});

export const VFIO_DEVICE_FEATURE = ioctl({
  name: 'VFIO_DEVICE_FEATURE',
  nr: 0x3b75,
  fd: 'device',
  struct: vfio_device_feature,
  minSize: 8,
  memory: (cmd, context) => (cmd.flags & VFIO_DEVICE_FEATURE_PROBE ? [] : featureMemory(cmd, context)),
  fds: (cmd) => (cmd.flags & VFIO_DEVICE_FEATURE_PROBE ? [] : featureFds(cmd.flags & VFIO_DEVICE_FEATURE_MASK)),
  returnsFd: (cmd) =>
    (cmd.flags & VFIO_DEVICE_FEATURE_MASK) === VFIO_DEVICE_FEATURE_DMA_BUF &&
    (cmd.flags & (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_PROBE)) === VFIO_DEVICE_FEATURE_GET,
});

/** The payload, and once that is known, what the payload points at. */
function featureMemory(cmd: { argsz: number; flags: number }, { arg, tail }: ArgContext): UserRange[] {
  const fixed = vfio_device_feature.size;
  const payload = range('data', arg + BigInt(fixed), tailRoom(cmd.argsz, fixed), 'inout');
  switch (tail.length && cmd.flags & VFIO_DEVICE_FEATURE_MASK) {
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_START: {
      const { ranges, num_ranges } = decode(vfio_device_feature_dma_logging_control, tail);
      return [payload, range('ranges', ranges, num_ranges * vfio_device_feature_dma_logging_range.size, 'in')];
    }
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: {
      const { bitmap, length, page_size } = decode(vfio_device_feature_dma_logging_report, tail);
      return [payload, range('bitmap', bitmap, bitmapBytes(length, page_size), 'inout')];
    }
    case VFIO_DEVICE_FEATURE_ZPCI_ERROR: {
      const { data } = decode(vfio_device_feature_zpci_err, tail);
      return [payload, range('data', data, ZPCI_ERROR_BYTES, 'out')];
    }
    default:
      return [payload];
  }
}

function featureFds(feature: number): FdSlot[] {
  const fixed = vfio_device_feature.size;
  switch (feature) {
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
      return [fdAt(fixed, 'in')];
    case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
      return [fdAt(fixed + 4, 'out')];
    default:
      return [];
  }
}

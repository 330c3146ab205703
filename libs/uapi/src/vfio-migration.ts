/**
 * VFIO migration, version 2: feature numbers and payloads, device states, and the one ioctl of the data fd (0x3b79).
 * Version 1 is kept as numbers only: no driver offers it any more.
 */
import { s32, struct, u32, u64 } from './codec.js';
import { ioctl } from './ioctl.js';

/** Feature numbers of VFIO_DEVICE_FEATURE. */
export const VFIO_DEVICE_FEATURE_MIGRATION = 1;
export const VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2;
export const VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9;

/** Opt-in to `flags` of VFIO_MIG_GET_PRECOPY_INFO. Not in 6.12. */
export const VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12;

/** `flags` of the MIGRATION feature. */
export const VFIO_MIGRATION_STOP_COPY = 1;
export const VFIO_MIGRATION_P2P = 2;
export const VFIO_MIGRATION_PRE_COPY = 4;

export const vfio_device_feature_migration = struct('vfio_device_feature_migration', 8, {
  flags: u64(0),
});

/** `device_state`. Which arcs exist is the state machine's business. */
export const VFIO_DEVICE_STATE_ERROR = 0;
export const VFIO_DEVICE_STATE_STOP = 1;
export const VFIO_DEVICE_STATE_RUNNING = 2;
export const VFIO_DEVICE_STATE_STOP_COPY = 3;
export const VFIO_DEVICE_STATE_RESUMING = 4;
export const VFIO_DEVICE_STATE_RUNNING_P2P = 5;
export const VFIO_DEVICE_STATE_PRE_COPY = 6;
export const VFIO_DEVICE_STATE_PRE_COPY_P2P = 7;
export const VFIO_DEVICE_STATE_NR = 8;

/** `data_fd` is the new data fd of a state change that makes one, else -1. */
export const vfio_device_feature_mig_state = struct('vfio_device_feature_mig_state', 8, {
  device_state: u32(0),
  data_fd: s32(4),
});

export const vfio_device_feature_mig_data_size = struct('vfio_device_feature_mig_data_size', 8, {
  stop_copy_length: u64(0),
});

export const VFIO_PRECOPY_INFO_REINIT = 1;

export const vfio_precopy_info = struct('vfio_precopy_info', 24, {
  argsz: u32(0),
  flags: u32(4),
  initial_bytes: u64(8),
  dirty_bytes: u64(16),
});

export const VFIO_MIG_GET_PRECOPY_INFO = ioctl({
  name: 'VFIO_MIG_GET_PRECOPY_INFO',
  nr: 0x3b79,
  fd: 'migration',
  struct: vfio_precopy_info,
  minSize: 24,
  copyBack: 'struct',
});

/** Version 1 of the protocol. */
export const VFIO_DEVICE_STATE_V1_STOP = 0;
export const VFIO_DEVICE_STATE_V1_RUNNING = 1;
export const VFIO_DEVICE_STATE_V1_SAVING = 2;
export const VFIO_DEVICE_STATE_V1_RESUMING = 4;
export const VFIO_DEVICE_STATE_MASK = 7;

export const vfio_device_migration_info = struct('vfio_device_migration_info', 32, {
  device_state: u32(0),
  reserved: u32(4),
  pending_bytes: u64(8),
  data_offset: u64(16),
  data_size: u64(24),
});

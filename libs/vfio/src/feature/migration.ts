/**
 * MIGRATION, MIG_DEVICE_STATE, MIG_DATA_SIZE and MIG_PRECOPY_INFOv2 (semantics D9).
 *
 * Rule: a request for a state writes its struct back also when it fails, with data_fd -1; what it reached stays.
 */
import { DONE, lockWrite } from '@vfiolab/core';
import {
  fail,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature_mig_data_size,
  vfio_device_feature_mig_state,
  vfio_device_feature_migration,
} from '@vfiolab/uapi';
import { MigrationFile } from '../made-files.js';
import { type Feature, readPayload, writePayload } from './feature.js';

const NO_FD = -1;

export const migrationFeatures: Feature = {
  operations: VFIO_DEVICE_FEATURE_GET,
  size: vfio_device_feature_migration.size,
  act(c) {
    const flags = BigInt(c.file.device.migration!.features);
    const told = writePayload(c, vfio_device_feature_migration, { flags });
    return told.ok ? DONE : told;
  },
};

export const migrationState: Feature = {
  operations: VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
  size: vfio_device_feature_mig_state.size,
  *act(c, operation) {
    const { device, made } = c.file;
    const migration = device.migration!;
    const asked = readPayload(c, vfio_device_feature_mig_state);
    if (!asked.ok) return asked;
    yield* lockWrite(migration.lock);
    const tell = (device_state: number) =>
      writePayload(c, vfio_device_feature_mig_state, { device_state, data_fd: NO_FD });
    if (operation === VFIO_DEVICE_FEATURE_GET) {
      const told = tell(migration.state);
      return told.ok ? DONE : told;
    }
    yield* lockWrite(device.memory);
    const { opened, errno } = migration.walk(asked.value.device_state);
    const told = tell(asked.value.device_state);
    if (!told.ok) return told;
    if (errno !== undefined) return fail(errno);
    if (!opened) return DONE;
    // The client puts the fd's number into the struct; without one the session is there and nobody can reach it.
    const file = made.open(c.req, (id) => new MigrationFile(id, opened));
    if (!file.ok) return file;
    c.returnFile(file.value);
    return DONE;
  },
};

export const migrationDataSize: Feature = {
  operations: VFIO_DEVICE_FEATURE_GET,
  size: vfio_device_feature_mig_data_size.size,
  act(c) {
    const stop_copy_length = BigInt(c.file.device.migration!.imageBytes);
    const told = writePayload(c, vfio_device_feature_mig_data_size, { stop_copy_length });
    return told.ok ? DONE : told;
  },
};

/** The client knows the flags of VFIO_MIG_GET_PRECOPY_INFO; until the last close. */
export const migrationPrecopyInfo2: Feature = {
  operations: VFIO_DEVICE_FEATURE_SET,
  size: 0,
  act(c) {
    c.file.device.migration!.precopyInfo2 = true;
    return DONE;
  },
};

/** What an ioctl of the device service is made on: the device and the file. */
import type { IoctlCall } from '@vfiolab/core';
import type { AnyStruct } from '@vfiolab/uapi';
import type { CdevFile } from './cdev-file.js';
import type { CommonDevice } from './common-device.js';
import type { MadeFiles } from './made-files.js';
import type { VfioDevice } from './vfio-device.js';

export interface OpenDevice<D = VfioDevice> {
  readonly device: D;
  readonly file: CdevFile;
  readonly made: MadeFiles;
}

export type DeviceCall<S extends AnyStruct, D = VfioDevice> = IoctlCall<OpenDevice<D>, S>;
/** Of any driver. */
export type CommonCall<S extends AnyStruct> = DeviceCall<S, CommonDevice>;

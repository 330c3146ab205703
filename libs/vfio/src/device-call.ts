/** What an ioctl of the device service is made on: the function and the file. */
import type { IoctlCall } from '@vfiolab/core';
import type { AnyStruct } from '@vfiolab/uapi';
import type { CdevFile } from './cdev-file.js';
import type { MadeFiles } from './made-files.js';
import type { VfioDevice } from './vfio-device.js';

export interface OpenDevice {
  readonly device: VfioDevice;
  readonly file: CdevFile;
  readonly made: MadeFiles;
}

export type DeviceCall<S extends AnyStruct> = IoctlCall<OpenDevice, S>;

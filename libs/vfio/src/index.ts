/** The public list of @vfiolab/vfio: the core of the device service. */
export { DeviceCore } from './device-core.js';
export type { DeviceNow } from './inspect.js';

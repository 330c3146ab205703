/** The self-test's handle on a mock device: destroying it detaches and unbinds the device, and the device is gone. */
import { Lock } from '@vfiolab/core';
import type { BoundDevice } from '../context.js';
import type { IommufdObject } from '../objects.js';

export class MockObject implements IommufdObject {
  readonly type = 'selftest';
  id = 0;
  users = 1;
  readonly shortTerm = new Lock();
  /** Set before the object is visible. */
  device!: BoundDevice;
}

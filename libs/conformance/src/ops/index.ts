/** Every kind of step, by its `op`. */
import type { StepRunner } from './context.js';
import { fileSteps } from './files.js';
import { runIoctl } from './ioctl.js';
import { memorySteps } from './memory.js';
import { processSteps } from './process.js';
import { sysfsSteps } from './sysfs.js';

export const stepRunners: ReadonlyMap<string, StepRunner> = new Map(
  Object.entries({ ioctl: runIoctl, ...fileSteps, ...memorySteps, ...processSteps, ...sysfsSteps }),
);

export type { StepContext, StepRunner } from './context.js';

export { LabCore } from './lab-core.js';
export { NO_EPOCH } from './instances.js';
export { LIMITS as LAB_LIMITS } from './limits.js';

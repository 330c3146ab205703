export { type Arguments, MAX_FETCH, SCRATCH } from './arguments.js';
export { Link, type LinkPorts, UnknownOutcome } from './link.js';
export type { IoctlAnswer, IoctlOptions, IoctlOutcome } from './ioctl-calls.js';
export { type Credentials, Process, ROOT } from './process.js';

export { type Arguments, MAX_FETCH } from './arguments.js';
export { Link, type LinkPorts, UnknownOutcome } from './link.js';
export { type Credentials, type IoctlAnswer, type IoctlOptions, Process, ROOT } from './process.js';

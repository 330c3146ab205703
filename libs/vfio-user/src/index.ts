/** The public list of @vfiolab/vfio-user: the server, a client for tests and measurements, and what they are made with. */
export { type Answer, VfioUserClient } from './client.js';
export type { Loans } from './guest-memory.js';
export { ANSWERER, native } from './native.js';
export { NvmeDriver, READ, WRITE } from './nvme-driver.js';
export { Pinger } from './pinger.js';
export { prepareDevice } from './prepare.js';
export { type ServedLab, type ServeOptions, VfioUserServer } from './server.js';

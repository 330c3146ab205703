export { disagreements } from './agreement.js';
export { deviceAt, lostByMigration } from './device-agreement.js';
export type { CoreOf } from './said.js';
export { makeCore, SERVICES } from './cores.js';
export { ioctlNameAt } from './ioctl-names.js';
export { methodNamed } from './methods.js';
export { stateHash } from './state-hash.js';
export { wrongOwners } from './ownership-agreement.js';
export { unpinnedEntries } from './pinned-agreement.js';

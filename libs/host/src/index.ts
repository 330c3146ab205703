export { disagreements } from './agreement.js';
export { makeCore, SERVICES } from './cores.js';
export { ioctlNameAt } from './ioctl-names.js';
export { methodNamed } from './methods.js';
export { stateHash } from './state-hash.js';
export { wrongOwners } from './ownership-agreement.js';
export { unpinnedEntries } from './pinned-agreement.js';

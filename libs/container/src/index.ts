export type { ContainerClaims, GroupClaim } from './claims.js';
export { ContainerCore } from './container-core.js';

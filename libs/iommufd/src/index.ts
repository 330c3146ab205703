export type { Claims, CoverClaim, DomainClaim } from './claims.js';
export { IommufdCore } from './iommufd-core.js';

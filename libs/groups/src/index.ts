export type { GroupsClaims } from './claims.js';
export { GroupsCore } from './groups-core.js';
export { IOMMU_KINDS, type IommuKindTraits } from './iommu-kinds.js';
export { LIMITS as GROUPS_LIMITS } from './limits.js';

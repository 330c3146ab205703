/** The public list of @vfiolab/iommu. */
export { IommuCore, type IommuLimits } from './iommu-core.js';
export { type Format, formatNamed, GRANULE, GRANULE_BITS } from './formats.js';
export { FRAME_LIMIT, IOVA_LIMIT, MAX_TABLES, PageTable } from './page-table.js';
export { gigabyteTable, lookupAll, scatteredTable } from './page-table-figures.js';
export { MAX_FAULTS, MAX_FUNCTIONS } from './unit.js';

export { IommufdCore } from './iommufd-core.js';

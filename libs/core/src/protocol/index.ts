export * from './boot.js';
export * from './device.js';
export * from './groups.js';
export * from './iommu.js';
export * from './iommufd.js';
export * from './lab.js';
export * from './pages.js';
export * from './sys.js';

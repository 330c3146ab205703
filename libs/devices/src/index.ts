/** The public list of @vfiolab/devices: what a model is, the models, and the DMA engine's registers for its drivers. */
export * from './dma-engine.js';
export type { DeviceModel, ModelBus, Width } from './model.js';
export { DEFAULT_MODEL, makeModel, modelNames } from './models.js';

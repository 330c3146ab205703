/** The public list of @vfiolab/devices: what a model is, the models, and the DMA engine's registers for its drivers. */
export * from './dma-engine.js';
export * as gpuAudio from './gpu-audio.js';
export * as gpu from './gpu.js';
export * as sriovNic from './sriov-nic/registers.js';
export * from './pasid-dma-engine.js';
export { DEFAULT_MODEL, describedModel, makeModel, modelNames, PASID_MODEL } from './models.js';
export {
  type DeviceModel,
  isMigratable,
  MAX_FRAME,
  MAX_NOTE,
  type MigratableModel,
  type ModelBus,
  type ModelFacts,
  PENDING,
  type Timing,
  type Width,
  type Wiring,
} from './model.js';

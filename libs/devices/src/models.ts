/**
 * The models there are, by name.
 *
 * Rule: a machine's description that names no model gets the default one, so every function has registers to try.
 */
import { BigEndian } from './big-endian.js';
import { DmaEngine } from './dma-engine.js';
import { Gpu } from './gpu.js';
import { MigratableEngine } from './migratable-engine.js';
import type { DeviceModel, ModelBus, ModelFacts } from './model.js';
import { MigratableNvme } from './nvme/migratable.js';
import { Nvme } from './nvme/nvme.js';
import { PasidDmaEngine } from './pasid-dma-engine.js';

export const DEFAULT_MODEL = 'dma-engine';
/** The default for functions that have PASIDs. */
export const PASID_MODEL = 'pasid-dma-engine';
/** The default with registers as devices of the machine's own byte order have them on POWER. */
export const BIG_ENDIAN_MODEL = 'dma-engine-big-endian';

const NO_MEMORY: ModelFacts = { memoryBytes: 0 };

type Maker = (bus: ModelBus, facts: ModelFacts) => DeviceModel;

const makers: ReadonlyMap<string, Maker> = new Map<string, Maker>([
  [DEFAULT_MODEL, (bus: ModelBus) => new DmaEngine(bus)],
  [PASID_MODEL, (bus: ModelBus) => new PasidDmaEngine(bus)],
  ['migratable-engine', (bus: ModelBus) => new MigratableEngine(bus)],
  ['gpu', (bus: ModelBus, { memoryBytes }: ModelFacts) => new Gpu(bus, memoryBytes)],
  ['nvme', (bus: ModelBus) => new Nvme(bus)],
  ['migratable-nvme', (bus: ModelBus) => new MigratableNvme(bus)],
  [BIG_ENDIAN_MODEL, (bus: ModelBus) => new BigEndian(BIG_ENDIAN_MODEL, new DmaEngine(bus))],
]);

export const modelNames = [...makers.keys()];

/** A model after power-on; undefined when there is none of that name. '' is the default one. */
export const makeModel = (name: string, bus: ModelBus, facts: ModelFacts = NO_MEMORY): DeviceModel | undefined =>
  makers.get(name === '' ? DEFAULT_MODEL : name)?.(bus, facts);

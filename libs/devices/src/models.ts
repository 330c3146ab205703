/**
 * The models there are, by name.
 *
 * Rule: a machine's description that names no model gets the default one, so every function has registers to try.
 */
import { BigEndian } from './big-endian.js';
import { DmaEngine } from './dma-engine.js';
import { Gpu } from './gpu.js';
import { GpuAudio } from './gpu-audio.js';
import { MigratableEngine } from './migratable-engine.js';
import { E1000e } from './e1000e/e1000e.js';
import type { DeviceModel, ModelBus, ModelFacts, Timing } from './model.js';
import { MigratableNvme } from './nvme/migratable.js';
import { Nvme } from './nvme/nvme.js';
import { PasidDmaEngine } from './pasid-dma-engine.js';
import { SriovPf } from './sriov-nic/pf.js';
import { SriovVf } from './sriov-nic/vf.js';

export const DEFAULT_MODEL = 'dma-engine';
/** The default for functions that have PASIDs. */
export const PASID_MODEL = 'pasid-dma-engine';
/** The default with registers as devices of the machine's own byte order have them on POWER. */
export const BIG_ENDIAN_MODEL = 'dma-engine-big-endian';

const PLAIN: ModelFacts = {
  memoryBytes: 0,
  mac: Uint8Array.of(2, 0, 0, 0, 0, 0),
  wiring: { connected: false, ports: 0, vf: undefined },
};

type Maker = (bus: ModelBus, facts: ModelFacts) => DeviceModel;

const makers: ReadonlyMap<string, Maker> = new Map<string, Maker>([
  [DEFAULT_MODEL, (bus: ModelBus) => new DmaEngine(bus)],
  [PASID_MODEL, (bus: ModelBus) => new PasidDmaEngine(bus)],
  ['migratable-engine', (bus: ModelBus) => new MigratableEngine(bus)],
  ['gpu', (bus: ModelBus, { memoryBytes }: ModelFacts) => new Gpu(bus, memoryBytes)],
  ['gpu-audio', (bus: ModelBus) => new GpuAudio(bus)],
  ['nvme', (bus: ModelBus, { wiring }: ModelFacts) => new Nvme(bus, wiring)],
  ['migratable-nvme', (bus: ModelBus, { wiring }: ModelFacts) => new MigratableNvme(bus, wiring)],
  ['e1000e', (bus: ModelBus, facts: ModelFacts) => new E1000e(bus, facts)],
  [
    'sriov-nic',
    (bus: ModelBus, facts: ModelFacts) =>
      facts.wiring.vf === undefined ? new SriovPf(bus, facts) : new SriovVf(bus, facts),
  ],
  [BIG_ENDIAN_MODEL, (bus: ModelBus) => new BigEndian(BIG_ENDIAN_MODEL, new DmaEngine(bus))],
]);

export const modelNames = [...makers.keys()];

/** A model after power-on; undefined when there is none of that name. '' is the default one. */
export const makeModel = (name: string, bus: ModelBus, facts: ModelFacts = PLAIN): DeviceModel | undefined =>
  makers.get(name === '' ? DEFAULT_MODEL : name)?.(bus, facts);

/** What a machine's description may say behind a model's name, such as `gpu reset=1500 stuck-every=3`. */
const OPTIONS: ReadonlyMap<string, { readonly key: keyof Timing; readonly most: number }> = new Map([
  ['read', { key: 'read', most: 10_000 }],
  ['reset', { key: 'reset', most: 3_600_000 }],
  ['stuck-every', { key: 'stuckEvery', most: 1000 }],
]);

export interface DescribedModel {
  readonly name: string;
  /** What the description says; the model's own holds otherwise. */
  readonly timing: Timing;
}

/** Undefined: no such model, no such option, or a value out of its bounds. */
export function describedModel(text: string): DescribedModel | undefined {
  const [name = '', ...options] = text.split(' ');
  if (name !== '' && !makers.has(name)) return undefined;
  const timing: { -readonly [K in keyof Timing]: Timing[K] } = {};
  for (const option of options) {
    const [, word, digits] = /^([a-z-]+)=(\d{1,8})$/.exec(option) ?? [];
    const known = OPTIONS.get(word ?? '');
    if (!known || Number(digits) > known.most) return undefined;
    timing[known.key] = Number(digits);
  }
  return { name, timing };
}

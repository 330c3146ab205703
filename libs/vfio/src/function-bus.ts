/**
 * What a function lends to the model behind it: DMA through the IOMMU, and interrupts.
 *
 * Rule (I01): the only way from a model to memory is the call below; without bus master it is not even asked.
 */
import { call, type FunctionFacts, IOMMU, iommuApi, type Lock, MAX_DMA, type Op, PE_DMA } from '@vfiolab/core';
import { type ModelBus, PENDING } from '@vfiolab/devices';
import type { ConfigSpace } from './config-space.js';
import type { DmaLog } from './dma-log.js';
import type { Interrupts } from './interrupts.js';
import type { DeviceFaults } from './faults/device-faults.js';
import { PlannedWork } from './planned-work.js';
import { Wire } from './wire.js';

const NO_DATA = new Uint8Array(0);

/** What the bus must know of the function. */
export interface FunctionPart {
  readonly config: ConfigSpace;
  readonly irqs: Interrupts;
  readonly facts: FunctionFacts;
  readonly log: DmaLog;
  readonly initiates: boolean;
  readonly memory: Lock;
  readonly faults: DeviceFaults;
  isSilent(): Op<boolean>;
  dmaRefused(address: bigint, write: boolean): Op<void>;
}

export class FunctionBus implements ModelBus {
  /** DMA requests dropped because bus master was off, or the function stopped by migration or silent, since the function was opened. */
  refused = 0;
  readonly wire: Wire;
  private readonly planned: PlannedWork;

  constructor(
    private readonly bdf: string,
    private readonly owner: FunctionPart,
  ) {
    this.planned = new PlannedWork(owner.memory);
    this.wire = new Wire(owner.facts.wiring?.ports ?? []);
  }

  *dmaRead(iova: bigint, length: number, pasid?: number): Op<Uint8Array | typeof PENDING | undefined> {
    if (!(yield* this.mayStart(length))) return undefined;
    if (this.owner.facts.noiommu) return yield* this.unprotected(iova, false, length, NO_DATA);
    const { data, fault, pending } = yield* call(IOMMU, iommuApi.dma, {
      bdf: this.bdf,
      iova,
      write: false,
      length,
      data: NO_DATA,
      pasid,
    });
    if (pending) return PENDING;
    if (fault) yield* this.owner.dmaRefused(fault.iova, false);
    return fault ? undefined : data;
  }

  *dmaWrite(iova: bigint, data: Uint8Array, pasid?: number): Op<boolean | typeof PENDING> {
    if (!(yield* this.mayStart(data.length))) return false;
    const { bdf } = this;
    const { length } = data;
    if (this.owner.facts.noiommu) {
      yield* this.unprotected(iova, true, length, data);
      this.owner.log.mark(iova, length);
      return true;
    }
    const reply = yield* call(IOMMU, iommuApi.dma, { bdf, iova, write: true, length, data, pasid });
    if (reply.pending) return PENDING;
    if (reply.fault) yield* this.owner.dmaRefused(reply.fault.iova, true);
    else this.owner.log.mark(iova, length);
    return !reply.fault;
  }

  /** The function begins anew. */
  forget(): void {
    this.planned.forget();
  }

  later(ms: number, work: () => Op<void>, dropped?: () => void): Op<void> {
    return this.planned.later(ms, work, dropped);
  }

  /** What the model takes for an IOVA is the address of memory itself. */
  private unprotected(address: bigint, write: boolean, length: number, data: Uint8Array): Op<Uint8Array> {
    return call(IOMMU, iommuApi.dmaUnprotected, { bdf: this.bdf, address, write, length, data });
  }

  private *mayStart(length: number): Op<boolean> {
    if (length > MAX_DMA) throw new Error(`a model asked for a DMA of ${length} bytes, ${MAX_DMA} is the most`);
    const { config, initiates } = this.owner;
    if (config.busMaster && initiates && !(yield* this.isSilent())) return true;
    this.refused++;
    return false;
  }

  /** Who does not answer does not speak either. */
  private *isSilent(): Op<boolean> {
    return this.owner.faults.disturbs && (yield* this.owner.isSilent());
  }

  /** A message that the IOMMU does not let through is lost, and so is that of a frozen PE. */
  *raise(vector: number): Op<void> {
    const { config, facts, initiates, irqs } = this.owner;
    if (!initiates || (yield* this.isSilent())) return;
    const isMessage = (config.msiEnabled || config.msixEnabled) && config.busMaster;
    if (facts.msiTranslated && isMessage && !(yield* call(IOMMU, iommuApi.msi, { bdf: this.bdf }))) return;
    if (facts.freezes && isMessage && (yield* this.frozen()) & PE_DMA) return;
    yield* irqs.raise(vector);
  }

  private frozen(): Op<number> {
    return call(IOMMU, iommuApi.endpointOp, { bdf: this.bdf, op: 'state' });
  }

  get interrupts(): 'pin' | 'msi' | 'msix' {
    const { msiEnabled, msixEnabled } = this.owner.config;
    return msixEnabled ? 'msix' : msiEnabled ? 'msi' : 'pin';
  }

  transmit(frame: Uint8Array, port = 0): Op<void> {
    return this.wire.transmit(frame, port);
  }

  notify(note: Uint8Array, port = 0): Op<void> {
    return this.wire.notify(note, port);
  }

  ask(question: Uint8Array, port = 0): Op<Uint8Array> {
    return this.wire.ask(question, port);
  }

  lower(): void {
    this.owner.irqs.setLine(false);
  }
}

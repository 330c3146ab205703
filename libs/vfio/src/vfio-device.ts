/**
 * One PCI function bound to vfio-pci: its registers, interrupts, model, and the locks that its calls take.
 *
 * Words: a function is *enabled* while a file of it has access; *quiet* = it starts no DMA and no interrupt.
 * Rule (I46): a function that nobody has open is quiet and as after power-on: config space, interrupts and the model's
 * registers start anew with every first open. (On real hardware a function without any reset method would keep its
 * registers; here no owner ever sees what another left.)
 */
import {
  type ByteReader,
  type ByteWriter,
  call,
  type FunctionFacts,
  IOMMU,
  iommuApi,
  IOMMUFD,
  iommufdApi,
  Lock,
  lockWrite,
  type Op,
  PAGES,
  pagesApi,
  time,
  unlock,
  type View,
} from '@vfiolab/core';
import { type DeviceModel, describedModel, isMigratable, makeModel, type Timing } from '@vfiolab/devices';
import { resetMethods } from '@vfiolab/pci';
import {
  type Errno,
  type KernelProfile,
  type Result,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
  VFIO_PCI_ROM_REGION_INDEX,
} from '@vfiolab/uapi';
import type { Binding, CdevFile } from './cdev-file.js';
import type { CommonDevice } from './common-device.js';
import { type ConfigLayout, configLayout } from './config-layout.js';
import { type ConfigEffect, ConfigSpace } from './config-space.js';
import { DmaLog } from './dma-log.js';
import type { DeviceFaults } from './faults/device-faults.js';
import { beginSilence, resetLadder } from './faults/reset-ladder.js';
import { FunctionBus } from './function-bus.js';
import type { Bar } from './function-image.js';
import { Interrupts } from './interrupts.js';
import { Ioeventfds } from './ioeventfds.js';
import { read16 } from './little-endian.js';
import { LowPower } from './low-power.js';
import type { MadeFiles } from './made-files.js';
import { tellMemory } from './map-region.js';
import { macOf } from './mac-address.js';
import { initiates, responds } from './migration/arcs.js';
import { Migration } from './migration/migration.js';
import * as pci from './pci-registers.js';
import { flagsOf, type ProfileFlags } from './profile-flags.js';
import { ZpciErrors } from './zpci.js';

/** A reset of the function's PE that has begun and is not over. */
export type EndpointPhase = 'hot' | 'fundamental';
const PHASES = [undefined, 'hot', 'fundamental'] as const;

export class VfioDevice implements CommonDevice {
  readonly emulated = false;
  /** Held by bind, attach, detach and the release of a bound file (the kernel's device set lock). */
  readonly set = new Lock();
  /** Held for reading by accesses to BARs, for writing by resets and by writes of the command register. */
  readonly memory = new Lock();
  /** Held for writing while the host resets the function: others' accesses to config space wait. */
  readonly configAccess = new Lock();
  readonly flags: ProfileFlags;
  readonly layout: ConfigLayout;
  /** Ways to reset it that are allowed now, and whether one worked when it was opened. */
  resets: readonly string[];
  resetWorks: boolean;
  readonly bus: FunctionBus;
  readonly model: DeviceModel;
  readonly timing: Timing;
  /** Resets that have reached it since its driver was bound. */
  resetCount = 0;
  config: ConfigSpace;
  irqs: Interrupts;
  /** Of a function of s390. */
  readonly zpciErrors = new ZpciErrors();
  readonly power = new LowPower();
  readonly ioeventfds = new Ioeventfds();
  /** BARs of which dma-bufs were exported: the first of the frames that stand for each. */
  readonly lent = new Map<number, number>();
  /** Both are there when the model can be taken to another host. */
  readonly migration: Migration | undefined;
  readonly log = new DmaLog();
  /** The file of the cdev that has access. */
  bound: CdevFile | undefined;
  /** The function is open through its group: by how many files, and bound to which iommufd, if to one. */
  shared: { files: number; readonly binding: Binding | undefined } | undefined;

  inReset: EndpointPhase | undefined;

  /** A process has mapped a region; and what the pages service was told last about the device's memory. */
  mapped = false;
  memoryTold = false;

  /** `facts` have been looked at by {@link whatIsWrong}. */
  constructor(
    readonly facts: FunctionFacts,
    private readonly made: MadeFiles,
    readonly faults: DeviceFaults,
  ) {
    this.flags = flagsOf(facts.profile as KernelProfile);
    this.layout = configLayout(facts);
    this.resets = facts.resetMethods ?? resetMethods(this.layout.hardware, facts.busReset);
    this.resetWorks = this.resets.length > 0;
    this.config = new ConfigSpace(this.layout);
    this.irqs = new Interrupts(this.config);
    this.bus = new FunctionBus(facts.bdf, this);
    const memoryBytes = this.memoryBars[1]?.size ?? 0;
    const { connected = false, ports = [], vf } = facts.wiring ?? {};
    const wiring = { connected, ports: ports.length, vf };
    const described = describedModel(facts.model)!;
    this.model = makeModel(described.name, this.bus, { memoryBytes, mac: macOf(facts.bdf), wiring })!;
    this.timing = { ...this.model.timing, ...described.timing };
    if (isMigratable(this.model)) this.migration = new Migration(this.model);
  }

  get name(): string {
    return this.facts.bdf;
  }

  get node(): string | undefined {
    if (this.noiommu && !this.flags.noiommuCdevs) return undefined;
    return `/dev/vfio/devices/${this.noiommu ? 'noiommu-' : ''}vfio${this.facts.minor}`;
  }

  get noiommu(): boolean {
    return this.facts.noiommu === true;
  }

  get takesToken(): boolean {
    return this.facts.sriov || this.facts.vf;
  }

  get isOpen(): boolean {
    return this.bound !== undefined || this.shared !== undefined;
  }

  get refusesOpen(): Errno | undefined {
    return this.facts.igd?.refused === true ? 'EINVAL' : undefined;
  }

  /** The model as after power-on; what it had planned is dropped. */
  private restartModel(): void {
    this.bus.forget();
    this.model.reset();
  }

  /** First open: bus master off, the function reset, config space read anew (semantics D1.1). */
  enable(): void {
    this.config = new ConfigSpace(this.layout);
    this.irqs = new Interrupts(this.config);
    this.restartModel();
    this.bus.refused = 0;
    this.bus.wire.dropped = 0;
    this.resetWorks = this.resets.length > 0;
    this.zpciErrors.clear();
    this.inReset = undefined;
  }

  /** What of a first open takes time: the reset, and what the model asks others. */
  *resetForUser(): Op<void> {
    yield* this.resetAsLong();
    if (this.model.opened) yield* this.model.opened();
  }

  /**
   * First open and last close: the kernel resets the function, and a first open remembers whether that worked (semantics D1.1,
   * D1.2). `enable` has done it already where it takes no time and cannot fail.
   */
  private *resetAsLong(): Op<void> {
    const { faults, timing } = this;
    const asUsual = !faults.disturbs && !faults.spoilsResets && !timing.reset && !timing.stuckEvery;
    if (asUsual) return;
    yield* lockWrite(this.memory);
    this.resetWorks = (yield* resetLadder(this)).ok;
    yield* unlock(this.memory);
  }

  /** Last close: no more DMA, none under way, no interrupts, no client's values left (semantics D1.2, E9). */
  *disable(): Op<void> {
    yield* this.ioeventfds.removeAll();
    yield* lockWrite(this.memory);
    yield* this.leaveLowPower();
    this.config.clearBusMaster();
    yield* this.revoke();
    this.lent.clear();
    this.made.killDmabufs();
    this.log.stop();
    this.migration?.close();
    this.restartModel();
    if (this.facts.freezes) yield* call(IOMMU, iommuApi.endpointOp, { bdf: this.name, op: 'thaw' });
    yield* unlock(this.memory);
    yield* lockWrite(this.irqs.gate);
    yield* this.irqs.shutDown();
    yield* unlock(this.irqs.gate);
    if (this.resetWorks) yield* this.resetAsLong();
    this.enable();
    yield* this.tellReset();
    yield* tellMemory(this);
  }

  /** The caller holds `memory` for writing, and the function is not in low power. */
  *enterLowPower(wake: number | undefined): Op<void> {
    this.power.enter(wake);
    yield* this.revoke();
  }

  /** Do BARs answer to others than the client's own calls? */
  get lends(): boolean {
    return this.config.memoryEnabled && !this.power.engaged && this.inReset !== 'hot';
  }

  /** Importers of its dma-bufs lose them (semantics B8.3). */
  *revoke(): Op<void> {
    if (this.lent.size > 0) yield* call(IOMMUFD, iommufdApi.dmabufRevoke, undefined);
  }

  *leaveLowPower(): Op<void> {
    const event = this.power.leave();
    if (event !== undefined) yield* call(PAGES, pagesApi.eventfdDrop, { event });
  }

  /** A call has come: a function that asked to be told wakes up for good (semantics D7.2). */
  *wakeUp(): Op<void> {
    if (this.power.wake === undefined) return;
    const event = this.power.leave()!;
    yield* call(PAGES, pagesApi.eventfdSignal, { event });
    yield* call(PAGES, pagesApi.eventfdDrop, { event });
  }

  /**
   * The function is about to be reset. The caller holds `memory` for writing, so no DMA is under way. The host puts config space
   * back as it was, so enables, bus master and vectors stay as they were (semantics D6.2, trace b060).
   */
  *beforeReset(): Op<void> {
    yield* this.revoke();
    this.config.wake();
  }

  /** The hardware resets, whoever told it to; `bus`: with all that is on its bus. */
  *resetHardware(bus: boolean): Op<void> {
    this.resetModel();
    this.resetCount++;
    yield* this.tellReset();
    yield* beginSilence(this, bus);
  }

  private *tellReset(): Op<void> {
    if (this.model.wasReset) yield* this.model.wasReset();
  }

  /**
   * Resets this function alone, which the kernel parks meanwhile; a reset of its bus does not (semantics C1.5). ENOTTY: no method
   * worked.
   */
  *resetFunction(): Op<Result<void>> {
    const { bdf } = this.facts;
    const parks = this.flags.parksInReset && this.layout.places.ats !== undefined;
    if (parks) yield* call(IOMMU, iommuApi.park, { bdf, over: false });
    yield* this.beforeReset();
    const done = yield* resetLadder(this);
    if (parks) yield* call(IOMMU, iommuApi.park, { bdf, over: true });
    return done;
  }

  /** Does it leave accesses unanswered now? */
  *isSilent(): Op<boolean> {
    const { faults } = this;
    return faults.gone || (faults.silentUntil > 0 && faults.isSilent(yield* time()));
  }

  /** It stops in the middle of whatever it does. */
  *fallSilent(): Op<void> {
    this.bus.forget();
    this.irqs.setLine(false);
    yield* this.revoke();
  }

  /**
   * Resets the function's PE (semantics C10.5, traces p061, p062). The caller holds `memory` for writing. A hot reset clears
   * the bus master bit for good; afterwards the host has errors reported again, and decoding is as it was.
   */
  *endpointReset(phase: EndpointPhase | 'over'): Op<void> {
    this.inReset = phase === 'over' ? undefined : phase;
    if (phase === 'over') this.config.reportErrors();
    if (phase !== 'hot') return;
    yield* this.revoke();
    this.config.loseCommand();
    this.resetModel();
    yield* this.tellReset();
  }

  /** Does the function start requests of its own? Not while migration has stopped it (semantics D9.5). */
  get initiates(): boolean {
    return this.migration === undefined || initiates(this.migration.state);
  }

  /** Do writes to its registers change it? */
  get responds(): boolean {
    return this.migration === undefined || responds(this.migration.state);
  }

  /** The IOMMU has refused a DMA: on s390 the function's user is told, when the kernel does (capability 103). */
  *dmaRefused(address: bigint, write: boolean): Op<void> {
    if (!this.facts.zpci || !this.flags.zpciErrors) return;
    this.zpciErrors.push(this.name, address, write);
    yield* this.irqs.signalSingle('err');
  }

  private resetModel(): void {
    this.migration?.restart();
    this.restartModel();
    this.irqs.setLine(false);
  }

  /** What a write to config space set off, dma-bufs included. The caller holds `memory` for writing. */
  *carryOut(effects: readonly ConfigEffect[]): Op<void> {
    if (!this.lends) yield* this.revoke();
    for (const effect of effects) {
      if (effect === 'intx-disable') this.irqs.maskIntx();
      else if (effect === 'intx-enable') yield* this.irqs.unmaskIntx();
      else if (effect === 'soft-reset') {
        this.resetModel();
        yield* this.tellReset();
      } else if (this.resets.length > 0) yield* this.resetFunction();
    }
  }

  /** Interrupts of an index (semantics D5.6 for ERR). */
  irqCount(index: number): number {
    const { hardware, places } = this.layout;
    switch (index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
        return hardware[pci.INTERRUPT_PIN] ? 1 : 0;
      case VFIO_PCI_MSI_IRQ_INDEX:
        return places.msi === undefined
          ? 0
          : 1 << ((read16(hardware, places.msi + pci.MSI_CONTROL) & pci.MSI_ASKED) >> 1);
      case VFIO_PCI_MSIX_IRQ_INDEX:
        return places.msix?.vectors ?? 0;
      case VFIO_PCI_ERR_IRQ_INDEX:
        return this.hasErrorIndex ? 1 : 0;
      case VFIO_PCI_REQ_IRQ_INDEX:
        return 1;
      default:
        return 0;
    }
  }

  /** Only functions with PCI Express have the ERR index, up to 7.2 (semantics F). */
  get hasErrorIndex(): boolean {
    return this.facts.pcie || this.flags.errForAll;
  }

  /** MSI-X vectors can be added while it is on (semantics D5.1; not on Arm: trace b053 there). */
  get msixGrows(): boolean {
    return this.layout.places.msix !== undefined && this.facts.msixGrows;
  }

  get heldEventfds(): number {
    return this.irqs.heldEventfds + this.ioeventfds.size + (this.power.wake === undefined ? 0 : 1);
  }

  bar(index: number): Bar | undefined {
    return this.facts.bars.find((b) => b.index === index && index < 6);
  }

  /** The expansion ROM. */
  get rom(): Bar | undefined {
    return this.facts.bars.find(({ index }) => index === VFIO_PCI_ROM_REGION_INDEX);
  }

  /** The BAR behind which the model answers: the first memory BAR. */
  get registerBar(): number | undefined {
    return this.memoryBars[0]?.index;
  }

  /** The BAR behind which the model's own memory is: the second one. */
  get memoryBar(): number | undefined {
    return this.model.memory && this.memoryBars[1]?.index;
  }

  private get memoryBars(): readonly Bar[] {
    return this.facts.bars.filter((b) => !b.io && b.index < 6);
  }

  encode(w: ByteWriter, view: View): void {
    this.config.encode(w);
    this.irqs.encode(w, view);
    this.model.encode(w);
    this.power.encode(w, view);
    this.ioeventfds.encode(w, view);
    this.migration?.encode(w);
    this.log.encode(w);
    this.zpciErrors.encode(w);
    w.list(this.resets, (name) => w.str(name));
    w.bool(this.resetWorks);
    w.u8(PHASES.indexOf(this.inReset));
    if (view === 'snapshot') w.list(this.lent, ([bar, frame]) => (w.u8(bar), w.num(frame)));
    if (view === 'meaning') return;
    w.num(this.bus.refused);
    w.num(this.bus.wire.dropped);
    w.num(this.resetCount);
    w.bool(this.mapped);
    w.bool(this.memoryTold);
  }

  decode(r: ByteReader): void {
    this.config.decode(r);
    this.irqs.decode(r);
    this.model.decode(r);
    this.power.decode(r);
    this.ioeventfds.decode(r);
    this.migration?.decode(r);
    this.log.decode(r);
    this.zpciErrors.decode(r);
    this.resets = r.list(() => r.str());
    this.resetWorks = r.bool();
    this.inReset = PHASES[r.u8()];
    r.list(() => this.lent.set(r.u8(), r.num()));
    this.bus.refused = r.num();
    this.bus.wire.dropped = r.num();
    this.resetCount = r.num();
    this.mapped = r.bool();
    this.memoryTold = r.bool();
  }
}

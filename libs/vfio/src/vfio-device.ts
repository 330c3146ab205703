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
  type FunctionFacts,
  Lock,
  lockWrite,
  type Op,
  unlock,
  type View,
} from '@vfiolab/core';
import { type DeviceModel, makeModel, modelNames } from '@vfiolab/devices';
import {
  isKernelProfile,
  type KernelProfile,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from '@vfiolab/uapi';
import type { Binding, CdevFile } from './cdev-file.js';
import { type ConfigLayout, configLayout, resetMethods } from './config-layout.js';
import { type ConfigEffect, ConfigSpace } from './config-space.js';
import { FunctionBus } from './function-bus.js';
import type { Bar } from './function-image.js';
import { Interrupts } from './interrupts.js';
import { read16 } from './little-endian.js';
import * as pci from './pci-registers.js';

export class VfioDevice {
  /** Held by bind, attach, detach and the release of a bound file (the kernel's device set lock). */
  readonly set = new Lock();
  /** Held for reading by accesses to BARs, for writing by resets and by writes of the command register. */
  readonly memory = new Lock();
  readonly profile: KernelProfile;
  readonly layout: ConfigLayout;
  readonly resets: readonly string[];
  readonly bus: FunctionBus;
  readonly model: DeviceModel;
  config: ConfigSpace;
  irqs: Interrupts;
  /** The file of the cdev that has access. */
  bound: CdevFile | undefined;
  /** The function is open through its group: by how many files, and bound to which iommufd, if to one. */
  shared: { files: number; readonly binding: Binding | undefined } | undefined;

  /** A process has mapped a region; and what the pages service was told last about the device's memory. */
  mapped = false;
  memoryTold = false;

  /** `facts` have been looked at by {@link whatIsWrong}. */
  constructor(readonly facts: FunctionFacts) {
    this.profile = facts.profile as KernelProfile;
    this.layout = configLayout(facts);
    this.resets = resetMethods(this.layout, facts);
    this.config = new ConfigSpace(this.layout);
    this.irqs = new Interrupts(this.config);
    this.bus = new FunctionBus(facts.bdf, this);
    this.model = makeModel(facts.model, this.bus)!;
  }

  get isOpen(): boolean {
    return this.bound !== undefined || this.shared !== undefined;
  }

  /** First open: bus master off, the function reset, config space read anew (semantics D1.1). */
  enable(): void {
    this.config = new ConfigSpace(this.layout);
    this.irqs = new Interrupts(this.config);
    this.model.reset();
    this.bus.refused = 0;
  }

  /** Last close: no more DMA, none under way, no interrupts, no client's values left (semantics D1.2, E9). */
  *disable(): Op<void> {
    yield* lockWrite(this.memory);
    this.config.clearBusMaster();
    this.model.reset();
    yield* unlock(this.memory);
    yield* lockWrite(this.irqs.gate);
    yield* this.irqs.shutDown();
    yield* unlock(this.irqs.gate);
    this.enable();
  }

  /**
   * Resets the function. The caller holds `memory` for writing, so no DMA is under way. The host puts config space back
   * as it was, so enables, bus master and vectors stay as they were (semantics D6.2, trace b060).
   */
  resetFunction(): void {
    this.config.wake();
    this.resetModel();
  }

  private resetModel(): void {
    this.model.reset();
    this.irqs.setLine(false);
  }

  /** What a write to config space set off. The caller holds `memory` for writing. */
  *carryOut(effects: readonly ConfigEffect[]): Op<void> {
    for (const effect of effects) {
      if (effect === 'intx-disable') this.irqs.maskIntx();
      else if (effect === 'intx-enable') yield* this.irqs.unmaskIntx();
      else if (effect === 'soft-reset') this.resetModel();
      else this.resetFunction();
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
    return this.facts.pcie || this.profile === '7.3';
  }

  bar(index: number): Bar | undefined {
    return this.facts.bars.find((b) => b.index === index && index < 6);
  }

  /** The BAR behind which the model answers: the first memory BAR. */
  get registerBar(): number | undefined {
    return this.facts.bars.find((b) => !b.io && b.index < 6)?.index;
  }

  encode(w: ByteWriter, view: View): void {
    this.config.encode(w);
    this.irqs.encode(w, view);
    this.model.encode(w);
    if (view === 'meaning') return;
    w.num(this.bus.refused);
    w.bool(this.mapped);
    w.bool(this.memoryTold);
  }

  decode(r: ByteReader): void {
    this.config.decode(r);
    this.irqs.decode(r);
    this.model.decode(r);
    this.bus.refused = r.num();
    this.mapped = r.bool();
    this.memoryTold = r.bool();
  }

  check(): string[] {
    const broken = [...this.config.check(), ...this.model.check()];
    const vectors = {
      none: 0,
      intx: 1,
      msi: this.irqCount(VFIO_PCI_MSI_IRQ_INDEX),
      msix: this.irqCount(VFIO_PCI_MSIX_IRQ_INDEX),
    };
    broken.push(...this.irqs.check(vectors));
    if (!this.isOpen && this.config.busMaster) broken.push('I42: bus master is on and nobody has the function open');
    if (
      !this.isOpen &&
      (this.irqs.kind !== 'none' || this.irqs.single.err !== undefined || this.irqs.single.req !== undefined)
    )
      broken.push('I17: interrupts are on and nobody has the function open');
    return broken;
  }

  describe(): string[] {
    const { config, facts } = this;
    const command = config.command.toString(16).padStart(4, '0');
    return [
      `function ${facts.bdf} vfio${facts.minor} command 0x${command} D${config.powerState} resets [${this.resets.join(' ')}] refused DMA ${this.bus.refused}`,
      this.irqs.describe(),
      this.model.describe(),
    ];
  }
}

const MAX_MINOR = 1 << 20;

/** Why a function cannot be driven, in words; undefined when it can. */
export function whatIsWrong(facts: FunctionFacts): string | undefined {
  const { config, bars } = facts;
  if (![0, 64, 256, 4096].includes(config.length)) return `config: ${config.length} bytes; give 0, 64, 256 or 4096`;
  if ((config[pci.HEADER_TYPE] ?? 0) & 0x7f)
    return 'config: header type is not 0; only endpoints can be passed through';
  if (!isKernelProfile(facts.profile)) return `profile: there is no '${facts.profile}'`;
  if (facts.minor >= MAX_MINOR) return `minor: ${facts.minor} is not below ${MAX_MINOR}`;
  const used = new Set<number>();
  for (const bar of bars) {
    const power = Number.isInteger(Math.log2(bar.size)) && bar.size >= 4;
    if (!power) return `bar ${bar.index}: size ${bar.size} is not a power of two of at least 4`;
    if (bar.index > 6) return `bar ${bar.index}: there are BARs 0 to 5, and 6 is the expansion ROM`;
    if (bar.wide && (bar.io || bar.index > 4)) return `bar ${bar.index}: cannot be 64 bits wide`;
    for (const index of bar.wide ? [bar.index, bar.index + 1] : [bar.index]) {
      if (used.has(index)) return `bar ${index}: given twice`;
      used.add(index);
    }
  }
  if (facts.model !== '' && !modelNames.includes(facts.model)) return `model: there is no '${facts.model}'`;
  return undefined;
}

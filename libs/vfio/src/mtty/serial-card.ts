/**
 * A mediated serial card: config space, ports, one interrupt, migration. [samples/vfio-mdev/mtty.c]
 *
 * Words: the *interrupt* is INTx, which masks itself when it fires, or MSI; one at a time, as an eventfd has asked for it.
 * Rule: the card keeps everything but interrupts and migration sessions from one open to the next, RESET included.
 */
import {
  type ByteReader,
  type ByteWriter,
  call,
  Lock,
  lockWrite,
  type MdevFacts,
  type Op,
  PAGES,
  pagesApi,
  unlock,
  type View,
} from '@vfiolab/core';
import { type KernelProfile, VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_NUM_IRQS } from '@vfiolab/uapi';
import type { Binding, CdevFile } from '../cdev-file.js';
import type { CommonDevice, DmaLogging } from '../common-device.js';
import { flagsOf, type ProfileFlags } from '../profile-flags.js';
import { SerialConfig } from './serial-config.js';
import { SerialMigration } from './serial-migration.js';
import { SerialPort } from './serial-port.js';

/** The card does no DMA: every start and stop of a log is fine, and no page is ever written (trace b095). */
const NOTHING_LOGGED: DmaLogging = { canStart: true, on: true, start: () => {}, stop: () => {}, take: () => [] };

/** The index that has an eventfd, and the eventfd, as `pages` knows it. */
interface Interrupt {
  readonly index: number;
  readonly event: number;
}

export class SerialCard implements CommonDevice {
  readonly emulated = true;
  readonly noiommu = false;
  readonly takesToken = false;
  readonly set = new Lock();
  readonly memory = new Lock();
  readonly flags: ProfileFlags;
  readonly log = NOTHING_LOGGED;
  readonly config: SerialConfig;
  /** A second one is there on a card that does not show it. */
  readonly ports: readonly SerialPort[] = [new SerialPort(), new SerialPort()];
  readonly migration: SerialMigration;
  bound: CdevFile | undefined;
  shared: { files: number; readonly binding: Binding | undefined } | undefined;
  interrupt: Interrupt | undefined;
  /** INTx does not fire. */
  masked = false;
  /** VFIO_DEVICE_GET_INFO was called once: until then the card has no interrupt indexes to ask about or set. */
  told = false;

  constructor(readonly facts: MdevFacts) {
    this.flags = flagsOf(facts.profile as KernelProfile);
    this.config = new SerialConfig(facts.ports);
    this.migration = new SerialMigration(this.ports.slice(0, facts.ports));
  }

  get name(): string {
    return this.facts.uuid;
  }

  get heldEventfds(): number {
    return this.interrupt ? 1 : 0;
  }

  get node(): string {
    return `/dev/vfio/devices/vfio${this.facts.minor}`;
  }

  readonly refusesOpen = undefined;

  get isOpen(): boolean {
    return this.bound !== undefined || this.shared !== undefined;
  }

  get irqIndexes(): number {
    return this.told ? VFIO_PCI_NUM_IRQS : 0;
  }

  /** The card is as the last user left it. */
  enable(): void {}

  *disable(): Op<void> {
    yield* lockWrite(this.memory);
    this.migration.close();
    yield* this.disableInterrupt();
    yield* unlock(this.memory);
  }

  /** The caller holds `memory` for writing. */
  *disableInterrupt(): Op<void> {
    const { interrupt } = this;
    if (!interrupt) return;
    this.interrupt = undefined;
    if (interrupt.index === VFIO_PCI_INTX_IRQ_INDEX) this.masked = false;
    yield* call(PAGES, pagesApi.eventfdDrop, { event: interrupt.event });
  }

  /** Fires `times` in a row, of which INTx lets one through. The caller holds `memory` for writing. */
  *fire(times = 1): Op<void> {
    for (let i = 0; i < times; i++) {
      const { interrupt } = this;
      const isIntx = interrupt?.index === VFIO_PCI_INTX_IRQ_INDEX;
      if (!interrupt || (isIntx && this.masked)) return;
      this.masked = isIntx;
      yield* call(PAGES, pagesApi.eventfdSignal, { event: interrupt.event });
    }
  }

  encode(w: ByteWriter, view: View): void {
    this.config.encode(w);
    for (const { state } of this.ports) w.bytes(state);
    this.migration.encode(w);
    w.bool(this.masked);
    w.bool(this.told);
    w.u8(this.interrupt ? this.interrupt.index + 1 : 0);
    if (view === 'snapshot') w.num(this.interrupt?.event ?? 0);
  }

  decode(r: ByteReader): void {
    this.config.decode(r);
    for (const port of this.ports) port.load(r.bytes());
    this.migration.decode(r);
    this.masked = r.bool();
    this.told = r.bool();
    const [index, event] = [r.u8(), r.num()];
    this.interrupt = index === 0 ? undefined : { index: index - 1, event };
  }

  check(): string[] {
    const broken = this.migration.check();
    if (!this.isOpen && this.interrupt) broken.push('I17: an interrupt is on and nobody has the card open');
    if (!this.isOpen && this.migration.session) broken.push('D9.3: a session is on and nobody has the card open');
    return broken;
  }

  describe(): string[] {
    const { uuid, minor, ports } = this.facts;
    return [
      `mdev ${uuid} vfio${minor}, ${ports} serial ports, migration state ${this.migration.state}`,
      ...this.ports.slice(0, ports).map((port, i) => `port ${i}: ${port.describe()}`),
    ];
  }
}

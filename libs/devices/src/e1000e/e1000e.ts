/**
 * A network card like Intel's 82574L (8086:10d3), which the drivers of operating systems know.
 *
 * Words: a *reset* is the driver's own, by CTRL: the transceiver and the EEPROM outlive it. The *link* is up when the port is on a
 * network, the transceiver has power, and the driver wants it.
 */
import { ByteReader, ByteWriter, type Op } from '@vfiolab/core';
import type { DeviceModel, ModelBus, ModelFacts } from '../model.js';
import { Controller, type Part } from './controller.js';
import { MDI_DONE } from './interrupts.js';
import { Nvm, WORDS } from './nvm.js';
import { INTERRUPT, Phy } from './phy.js';
import * as reg from './registers.js';

export class E1000e extends Controller implements DeviceModel {
  readonly name = 'e1000e';
  private readonly nvm: Nvm;
  private readonly phy: Phy;

  constructor(bus: ModelBus, { mac, wiring }: ModelFacts) {
    super(bus);
    this.nvm = new Nvm(mac);
    this.phy = new Phy(wiring.connected);
    this.loadAddress();
  }

  protected get wired(): boolean {
    return this.phy.link;
  }

  protected get ownAddress(): Uint8Array {
    return this.nvm.mac;
  }

  protected get portParts(): readonly Part[] {
    return [this.nvm, this.phy];
  }

  protected override get loops(): boolean {
    return this.phy.loopback || super.loops;
  }

  protected override load(offset: number): number {
    if (offset === reg.EECD) return eecd(this.registers.get(reg.EECD));
    return offset === reg.SWSM ? this.takeSemaphore() : super.load(offset);
  }

  /** Who reads the semaphore as free has it. */
  private takeSemaphore(): number {
    const value = this.registers.get(reg.SWSM);
    this.registers.set(reg.SWSM, value | 1);
    return value;
  }

  protected override *store(offset: number, value: number): Op<void> {
    switch (offset) {
      case reg.CTRL_EXT:
        if (value & reg.CTRL_EXT_EEPROM_RESET) this.loadAddress();
        this.registers.set(offset, value & ~(reg.CTRL_EXT_EEPROM_RESET | reg.CTRL_EXT_PBA_CLEAR));
        return;
      case reg.EERD:
        return this.registers.set(offset, this.nvm.read(value));
      case reg.EEWR:
        return this.registers.set(offset, this.nvm.write(value));
      case reg.MDIC:
        return yield* this.accessPhy(value);
      default:
        yield* super.store(offset, value);
    }
  }

  protected override *control(value: number): Op<void> {
    if (value & reg.CTRL_PHY_RESET) yield* this.watchLink(() => this.phy.reset());
    yield* super.control(value);
  }

  private *accessPhy(command: number): Op<void> {
    yield* this.watchLink(() => this.registers.set(reg.MDIC, this.phy.access(command)));
    if (command & INTERRUPT) yield* this.causes.raise(MDI_DONE);
  }

  protected out(frame: Uint8Array): Op<void> {
    return this.bus.transmit(frame);
  }

  *receive(frame: Uint8Array): Op<void> {
    if (this.link) yield* this.take(frame);
  }

  takeMedia(): Uint8Array {
    const w = new ByteWriter(2 * WORDS);
    this.nvm.encode(w);
    return w.take();
  }

  putMedia(stored: Uint8Array): void {
    this.nvm.decode(new ByteReader(stored));
    this.loadAddress();
  }

  override reset(): void {
    super.reset();
    this.phy.reset();
  }
}

/** A grant is given to who asks; the EEPROM was read after power-on. */
const eecd = (asked: number): number => 0x300 | (asked & 0x40 ? 0xc0 : 0);

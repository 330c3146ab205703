/**
 * A network card like Intel's 82574L (8086:10d3), which the drivers of operating systems know.
 *
 * Words: a *reset* is the driver's own, by CTRL: the transceiver and the EEPROM outlive it. The *link* is up when the port is on a
 * network, the transceiver has power, and the driver wants it.
 * Rule: registers are read and written in 4 or 8 bytes; narrower accesses do nothing. Interrupt delays, flow control, manageability,
 * wake-up and time stamps are not there: their registers hold what was written.
 */
import { ByteReader, ByteWriter, type Op } from '@vfiolab/core';
import { type DeviceModel, MAX_FRAME, type ModelBus, type ModelFacts, type Width } from '../model.js';
import { filtered } from './filters.js';
import { Causes, LINK_CHANGED, MDI_DONE } from './interrupts.js';
import type { Mac } from './mac.js';
import { Nvm, WORDS } from './nvm.js';
import { VLAN, withCrc, word } from './packet.js';
import { INTERRUPT, Phy } from './phy.js';
import { arrived, Receiver } from './receive.js';
import * as reg from './registers.js';
import { OVERSIZE, Statistics, UNDERSIZE } from './statistics.js';
import { Transmitter } from './transmit.js';
import { untagged } from './vlan.js';

const LOW = 0xffff_ffffn;
/** Bytes of a frame without CRC: the shortest, and the longest that is not long. */
const [SHORTEST, LONGEST] = [60, 1518];

const AFTER_POWER_ON: ReadonlyMap<number, number> = new Map([
  [reg.CTRL, reg.CTRL_FULL_DUPLEX | reg.CTRL_SET_LINK_UP | reg.CTRL_SPEED_1000],
  [reg.VET, VLAN],
  [reg.PBA, 0x0014_0014],
  [reg.PSRCTL, 0x0004_0402],
  [reg.LEDCTL, 0x0706_8302],
  [reg.EEMNGCTL, 0x0004_0000],
]);

export class E1000e implements DeviceModel, Mac {
  readonly name = 'e1000e';
  readonly registerBytes = reg.REGISTER_BYTES;
  readonly registers = new reg.Registers(AFTER_POWER_ON);
  readonly statistics = new Statistics();
  readonly causes: Causes;
  life = 0;
  private readonly nvm: Nvm;
  private readonly phy: Phy;
  private readonly transmitters: readonly Transmitter[];
  private readonly receivers: readonly Receiver[];

  constructor(
    readonly bus: ModelBus,
    { mac, wiring }: ModelFacts,
  ) {
    this.causes = new Causes(bus, this.registers, this.statistics);
    this.nvm = new Nvm(mac);
    this.phy = new Phy(wiring.connected);
    const queues = Array.from({ length: reg.QUEUES }, (_, queue) => queue);
    this.transmitters = queues.map((queue) => new Transmitter(this, queue));
    this.receivers = queues.map((queue) => new Receiver(this, queue));
    this.loadAddress();
  }

  get vlanMode(): boolean {
    return (this.registers.get(reg.CTRL) & reg.CTRL_VLAN_MODE) !== 0;
  }

  get vlanType(): number {
    return this.registers.get(reg.VET) & 0xffff;
  }

  private get link(): boolean {
    return this.phy.link && (this.registers.get(reg.CTRL) & reg.CTRL_SET_LINK_UP) !== 0;
  }

  private get status(): number {
    const link = this.link ? reg.STATUS_LINK_UP : 0;
    const master = this.registers.get(reg.CTRL) & reg.CTRL_MASTER_DISABLE ? 0 : reg.STATUS_MASTER;
    return reg.CTRL_FULL_DUPLEX | link | master | reg.STATUS_SPEED_1000 | reg.STATUS_INITIALISED;
  }

  read(offset: number, width: Width): bigint {
    if (width < 4) return 0n;
    const low = BigInt(this.dword(offset));
    return width === 8 ? low | (BigInt(this.dword(offset + 4)) << 32n) : low;
  }

  private dword(offset: number): number {
    if (offset >= reg.STATISTICS && offset < reg.STATISTICS_END) return this.statistics.read(offset);
    switch (offset) {
      case reg.CTRL_COPY:
        return this.registers.get(reg.CTRL);
      case reg.STATUS:
        return this.status;
      case reg.EECD:
        return eecd(this.registers.get(reg.EECD));
      case reg.ICR:
        return this.causes.read();
      case reg.IMS:
      case reg.IMC:
        return this.causes.enabled;
      case reg.SWSM:
        return this.takeSemaphore();
      default:
        return this.registers.get(offset);
    }
  }

  /** Who reads the semaphore as free has it. */
  private takeSemaphore(): number {
    const value = this.registers.get(reg.SWSM);
    this.registers.set(reg.SWSM, value | 1);
    return value;
  }

  *write(offset: number, width: Width, value: bigint): Op<void> {
    if (width < 4) return;
    yield* this.store(offset, Number(value & LOW));
    if (width === 8) yield* this.store(offset + 4, Number(value >> 32n));
  }

  private *store(offset: number, value: number): Op<void> {
    switch (offset) {
      case reg.CTRL:
      case reg.CTRL_COPY:
        return yield* this.control(value);
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
      case reg.ICR:
        return this.causes.acknowledge(value);
      case reg.ICS:
        return yield* this.causes.raise(value);
      case reg.IMS:
        return yield* this.causes.enable(value);
      case reg.IMC:
        return this.causes.disable(value);
    }
    if (reg.isPlain(offset)) this.registers.set(offset, value);
    for (const [queue, transmitter] of this.transmitters.entries())
      if (offset === reg.TCTL || offset === reg.TRANSMIT_RING + queue * reg.QUEUE_STRIDE + reg.TAIL)
        yield* transmitter.run();
  }

  private *control(value: number): Op<void> {
    const { link } = this;
    if (value & reg.CTRL_PHY_RESET) this.phy.reset();
    if (value & reg.CTRL_RESET) return this.restart();
    this.registers.set(reg.CTRL, value & ~reg.CTRL_PHY_RESET);
    yield* this.tellLink(link);
  }

  private *accessPhy(command: number): Op<void> {
    const { link } = this;
    this.registers.set(reg.MDIC, this.phy.access(command));
    if (command & INTERRUPT) yield* this.causes.raise(MDI_DONE);
    yield* this.tellLink(link);
  }

  private *tellLink(before: boolean): Op<void> {
    if (this.link !== before) yield* this.causes.raise(LINK_CHANGED);
  }

  /** The first receive address is the card's own. */
  private loadAddress(): void {
    const { mac } = this.nvm;
    const view = new DataView(mac.buffer);
    this.registers.set(reg.RECEIVE_ADDRESSES, view.getUint32(0, true));
    this.registers.set(reg.RECEIVE_ADDRESSES + 4, reg.ADDRESS_VALID | view.getUint16(4, true));
  }

  private restart(): void {
    this.life++;
    this.registers.reset();
    this.statistics.reset();
    this.causes.reset();
    for (const part of [...this.transmitters, ...this.receivers]) part.reset();
    this.loadAddress();
  }

  /** In loopback a frame comes back to the card. */
  *send(frame: Uint8Array): Op<void> {
    const loops = this.phy.loopback || (this.registers.get(reg.RCTL) & reg.RCTL_LOOPBACK) !== 0;
    if (loops) yield* this.take(frame);
    else if (this.link) yield* this.bus.transmit(frame);
  }

  *receive(frame: Uint8Array): Op<void> {
    if (this.link) yield* this.take(frame);
  }

  private *take(frame: Uint8Array): Op<void> {
    const control = this.registers.get(reg.RCTL);
    if (!(control & reg.RCTL_ENABLE)) return;
    this.statistics.came(frame);
    if (frame.length < SHORTEST) return this.statistics.count(UNDERSIZE);
    if (frame.length > (control & reg.RCTL_LONG ? MAX_FRAME : LONGEST)) return this.statistics.count(OVERSIZE);
    const passed = filtered(this.registers, frame);
    if (!passed) return;
    const isTagged = this.vlanMode && word(frame, 12) === this.vlanType;
    const bare = isTagged ? untagged(frame) : frame;
    const stored = control & reg.RCTL_STRIP_CRC ? bare : withCrc(bare);
    const tag = isTagged ? word(frame, 14) : undefined;
    const known = arrived(this.registers, frame, { stored, tag, inexact: passed.inexact });
    yield* this.receivers[known.hash.queue]!.receive(known);
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

  reset(): void {
    this.restart();
    this.causes.restart();
    this.phy.reset();
  }

  private get parts() {
    return [this.registers, this.nvm, this.phy, this.statistics, this.causes, ...this.transmitters];
  }

  encode(w: ByteWriter): void {
    for (const part of this.parts) part.encode(w);
  }

  decode(r: ByteReader): void {
    for (const part of this.parts) part.decode(r);
  }

  check(): string[] {
    return this.transmitters.flatMap((transmitter) => transmitter.check());
  }

  describe(): string {
    const link = this.link ? 'up' : 'down';
    return `e1000e link ${link}, ${this.causes.describe()}`;
  }
}

/** A grant is given to who asks; the EEPROM was read after power-on. */
const eecd = (asked: number): number => 0x300 | (asked & 0x40 ? 0xc0 : 0);

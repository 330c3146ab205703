/**
 * A network controller with the rings, filters, offloads and interrupts of the 82574L: what all cards here have.
 *
 * Words: the *port* is what a kind of card adds: where frames go, when the link is up, and further registers.
 * Rule: registers are read and written in 4 or 8 bytes; narrower accesses do nothing. Interrupt delays, flow control, manageability,
 * wake-up and time stamps are not there: their registers hold what was written.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import { MAX_FRAME, type ModelBus, type Width } from '../model.js';
import { filtered } from './filters.js';
import { Causes, LINK_CHANGED } from './interrupts.js';
import type { Mac } from './mac.js';
import { VLAN, withCrc, word } from './packet.js';
import { arrived, Receiver } from './receive.js';
import * as reg from './registers.js';
import { OVERSIZE, Statistics, UNDERSIZE } from './statistics.js';
import { Transmitter } from './transmit.js';
import { untagged } from './vlan.js';

const LOW = 0xffff_ffffn;
/** Bytes of a frame without CRC: the shortest, and the longest that is not long. */
const [SHORTEST, LONGEST] = [60, 1518];

export const AFTER_POWER_ON: ReadonlyMap<number, number> = new Map([
  [reg.CTRL, reg.CTRL_FULL_DUPLEX | reg.CTRL_SET_LINK_UP | reg.CTRL_SPEED_1000],
  [reg.VET, VLAN],
  [reg.PBA, 0x0014_0014],
  [reg.PSRCTL, 0x0004_0402],
  [reg.LEDCTL, 0x0706_8302],
  [reg.EEMNGCTL, 0x0004_0000],
]);

/** A part of the state. */
export interface Part {
  encode(w: ByteWriter): void;
  decode(r: ByteReader): void;
}

export abstract class Controller implements Mac {
  abstract readonly name: string;
  readonly registerBytes = reg.REGISTER_BYTES;
  readonly registers = new reg.Registers(AFTER_POWER_ON);
  readonly statistics = new Statistics();
  readonly causes: Causes;
  life = 0;
  private readonly transmitters: readonly Transmitter[];
  private readonly receivers: readonly Receiver[];

  constructor(readonly bus: ModelBus) {
    this.causes = new Causes(bus, this.registers, this.statistics);
    const queues = Array.from({ length: reg.QUEUES }, (_, queue) => queue);
    this.transmitters = queues.map((queue) => new Transmitter(this, queue));
    this.receivers = queues.map((queue) => new Receiver(this, queue));
  }

  /** Can the port send and receive, if the driver wants it? */
  protected abstract get wired(): boolean;
  /** Sends a frame out of the port, whose link is up. */
  protected abstract out(frame: Uint8Array): Op<void>;
  /** The address that the card has of its own; undefined: none. */
  protected abstract get ownAddress(): Uint8Array | undefined;
  /** State of the port. */
  protected abstract get portParts(): readonly Part[];

  /** Do frames that are sent come back? */
  protected get loops(): boolean {
    return (this.registers.get(reg.RCTL) & reg.RCTL_LOOPBACK) !== 0;
  }

  get vlanMode(): boolean {
    return (this.registers.get(reg.CTRL) & reg.CTRL_VLAN_MODE) !== 0;
  }

  get vlanType(): number {
    return this.registers.get(reg.VET) & 0xffff;
  }

  protected get link(): boolean {
    return this.wired && (this.registers.get(reg.CTRL) & reg.CTRL_SET_LINK_UP) !== 0;
  }

  private get status(): number {
    const link = this.link ? reg.STATUS_LINK_UP : 0;
    const master = this.registers.get(reg.CTRL) & reg.CTRL_MASTER_DISABLE ? 0 : reg.STATUS_MASTER;
    return reg.CTRL_FULL_DUPLEX | link | master | reg.STATUS_SPEED_1000 | reg.STATUS_INITIALISED;
  }

  read(offset: number, width: Width): bigint {
    if (width < 4) return 0n;
    const low = BigInt(this.load(offset));
    return width === 8 ? low | (BigInt(this.load(offset + 4)) << 32n) : low;
  }

  protected load(offset: number): number {
    if (offset >= reg.STATISTICS && offset < reg.STATISTICS_END) return this.statistics.read(offset);
    switch (offset) {
      case reg.CTRL_COPY:
        return this.registers.get(reg.CTRL);
      case reg.STATUS:
        return this.status;
      case reg.ICR:
        return this.causes.read();
      case reg.IMS:
      case reg.IMC:
        return this.causes.enabled;
      default:
        return this.registers.get(offset);
    }
  }

  *write(offset: number, width: Width, value: bigint): Op<void> {
    if (width < 4) return;
    yield* this.store(offset, Number(value & LOW));
    if (width === 8) yield* this.store(offset + 4, Number(value >> 32n));
  }

  protected *store(offset: number, value: number): Op<void> {
    switch (offset) {
      case reg.CTRL:
      case reg.CTRL_COPY:
        return yield* this.control(value);
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

  protected *control(value: number): Op<void> {
    if (value & reg.CTRL_RESET) return this.restart();
    yield* this.watchLink(() => this.registers.set(reg.CTRL, value & ~reg.CTRL_PHY_RESET));
  }

  /** Tells when the change has changed the link. */
  protected *watchLink(change: () => void): Op<void> {
    const { link } = this;
    change();
    if (this.link !== link) yield* this.causes.raise(LINK_CHANGED);
  }

  /** The first receive address is the card's own. */
  protected loadAddress(): void {
    const own = this.ownAddress;
    if (!own) return;
    const view = new DataView(own.buffer, own.byteOffset);
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

  *send(frame: Uint8Array): Op<void> {
    if (this.loops) yield* this.take(frame);
    else if (this.link) yield* this.out(frame);
  }

  /** A frame for the rings, if filters let it through. */
  protected *take(frame: Uint8Array): Op<void> {
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

  reset(): void {
    this.restart();
    this.causes.restart();
  }

  private get parts(): readonly Part[] {
    return [this.registers, this.statistics, this.causes, ...this.transmitters, ...this.portParts];
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
    return `${this.name} link ${this.link ? 'up' : 'down'}, ${this.causes.describe()}`;
  }
}

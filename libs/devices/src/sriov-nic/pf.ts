/**
 * The physical function of an SR-IOV network card: a controller of its own, the switch, and what its VFs are granted.
 *
 * Rule: VFs have a link while the PF has switched the switch on and enabled them. A reset of the PF takes all grants away, and its
 * VFs are told.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import { Controller, type Part } from '../e1000e/controller.js';
import { isAddress } from '../e1000e/filters.js';
import type { DeviceModel, ModelBus, ModelFacts } from '../model.js';
import { pfNote, readVfNote } from './notes.js';
import * as reg from './registers.js';
import { Row } from './row.js';
import { type End, NETWORK, PF, route } from './switch.js';

export class SriovPf extends Controller implements DeviceModel {
  readonly name = 'sriov-nic';
  private readonly rows: readonly Row[];
  private readonly connected: boolean;
  protected readonly ownAddress: Uint8Array;
  private switchOn = false;
  private drops = 0;
  /** By VF, as bits of two registers each. */
  private readonly messages = new Uint32Array(2);
  private readonly resets = new Uint32Array(2);

  constructor(bus: ModelBus, { mac, wiring }: ModelFacts) {
    super(bus);
    this.connected = wiring.connected;
    this.ownAddress = mac;
    this.rows = Array.from({ length: Math.min(Math.max(wiring.ports - 1, 0), reg.MAX_VFS) }, () => new Row());
    this.loadAddress();
  }

  protected get wired(): boolean {
    return this.connected;
  }

  protected get portParts(): readonly Part[] {
    return this.rows;
  }

  protected override load(offset: number): number {
    const place = this.rowAt(offset);
    if (place) return place.row.load(place.at);
    switch (offset) {
      case reg.SWITCH_CONTROL:
        return this.switchOn ? reg.SWITCH_ON : 0;
      case reg.VFS:
        return this.rows.length;
      case reg.SWITCH_DROPS:
        return this.takeDrops();
      case reg.MESSAGES:
      case reg.MESSAGES + 4:
        return this.messages[(offset - reg.MESSAGES) / 4]!;
      case reg.RESETS:
      case reg.RESETS + 4:
        return this.resets[(offset - reg.RESETS) / 4]!;
      default:
        return super.load(offset);
    }
  }

  private takeDrops(): number {
    const { drops } = this;
    this.drops = 0;
    return drops;
  }

  protected override *store(offset: number, value: number): Op<void> {
    const place = this.rowAt(offset);
    if (place) {
      if (place.row.store(place.at, value)) yield* this.tell(place.n);
      return;
    }
    switch (offset) {
      case reg.SWITCH_CONTROL:
        this.switchOn = (value & reg.SWITCH_ON) !== 0;
        return yield* this.tellAll();
      case reg.MESSAGES:
      case reg.MESSAGES + 4:
        this.messages[(offset - reg.MESSAGES) / 4]! &= ~value;
        return;
      case reg.RESETS:
      case reg.RESETS + 4:
        this.resets[(offset - reg.RESETS) / 4]! &= ~value;
        return;
      default:
        yield* super.store(offset, value);
    }
  }

  private rowAt(offset: number): { readonly n: number; readonly row: Row; readonly at: number } | undefined {
    const n = Math.floor((offset - reg.ROWS) / reg.ROW_BYTES);
    const row = this.rows[n];
    return row && { n, row, at: (offset - reg.ROWS) % reg.ROW_BYTES };
  }

  /** A VF that nobody uses is told when somebody does. */
  private *tell(n: number): Op<void> {
    const { active, enabled, mac, mailbox } = this.rows[n]!;
    if (active) yield* this.bus.notify(pfNote({ link: this.switchOn && enabled, mac }, mailbox), 1 + n);
  }

  private *tellAll(): Op<void> {
    for (const n of this.rows.keys()) yield* this.tell(n);
  }

  *notified(note: Uint8Array, port: number): Op<void> {
    const row = this.rows[port - 1];
    if (!row) return;
    const { active, fresh, changed, message, unaware } = readVfNote(note, row.mailbox);
    const bit = 1 << ((port - 1) & 31);
    const began = active && (!row.active || fresh);
    const news = fresh || changed || active !== row.active;
    row.active = active;
    if (fresh) {
      this.resets[(port - 1) >> 5]! |= bit;
      row.mailbox.withdraw();
    }
    if (message) this.messages[(port - 1) >> 5]! |= bit;
    if (began || unaware) yield* this.tell(port - 1);
    if (news) yield* this.causes.raise(reg.MAILBOX_CAUSE);
  }

  protected *out(frame: Uint8Array): Op<void> {
    yield* this.forward(PF, frame);
  }

  *receive(frame: Uint8Array, port: number): Op<void> {
    yield* this.forward(port === 0 ? NETWORK : port - 1, frame);
  }

  private *forward(from: End, frame: Uint8Array): Op<void> {
    const rows = this.switchOn ? this.rows : [];
    const ways = route(rows, from, frame, (each) => isAddress(this.registers, each));
    if (!ways) {
      this.drops = Math.min(this.drops + 1, 0xffff_ffff);
      return;
    }
    for (const { to, frame: routed } of ways)
      if (to === PF) yield* this.arrives(routed);
      else if (to !== NETWORK) yield* this.bus.transmit(routed, 1 + to);
      else if (this.connected) yield* this.bus.transmit(routed, 0);
  }

  private *arrives(frame: Uint8Array): Op<void> {
    if (this.link) yield* this.take(frame);
  }

  override reset(): void {
    super.reset();
    for (const row of this.rows) row.reset();
    this.switchOn = false;
    this.drops = 0;
    this.messages.fill(0);
    this.resets.fill(0);
  }

  *wasReset(): Op<void> {
    yield* this.tellAll();
  }

  override encode(w: ByteWriter): void {
    super.encode(w);
    w.bool(this.switchOn);
    w.u32(this.drops);
    for (const bits of [...this.messages, ...this.resets]) w.u32(bits);
  }

  override decode(r: ByteReader): void {
    super.decode(r);
    this.switchOn = r.bool();
    this.drops = r.u32();
    for (const bits of [this.messages, this.resets]) bits.forEach((_, i) => (bits[i] = r.u32()));
  }

  override describe(): string {
    const active = this.rows.filter((row) => row.active).length;
    return `${super.describe()}, switch ${this.switchOn ? 'on' : 'off'}, ${active} of ${this.rows.length} VFs in use`;
  }
}

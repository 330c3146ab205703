/**
 * A virtual function of an SR-IOV network card: a controller whose port is its PF's switch.
 *
 * Words: a VF is *in use* from its driver's first write to a register until it is reset.
 * Rule: it knows what the PF grants and nothing of other VFs.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import { Controller, type Part } from '../e1000e/controller.js';
import type { DeviceModel, ModelBus, ModelFacts } from '../model.js';
import { Mailbox } from './mailbox.js';
import { readPfNote, vfNote } from './notes.js';
import * as reg from './registers.js';
import { putWord, wordAt } from './row.js';

export class SriovVf extends Controller implements DeviceModel {
  readonly name = 'sriov-nic';
  private readonly number: number;
  private readonly mailbox = new Mailbox();
  private inUse = false;
  protected wired = false;
  protected ownAddress: Uint8Array | undefined;

  constructor(bus: ModelBus, { wiring }: ModelFacts) {
    super(bus);
    this.number = wiring.vf ?? 0;
  }

  protected get portParts(): readonly Part[] {
    return [this.mailbox];
  }

  protected override load(offset: number): number {
    if (offset === reg.VF_STATUS) return this.mailbox.status | (this.number << 8);
    const word = wordAt(this.mailbox.in, offset - reg.VF_IN) ?? wordAt(this.mailbox.out, offset - reg.VF_OUT);
    return word ?? super.load(offset);
  }

  protected override *store(offset: number, value: number): Op<void> {
    if (!this.inUse) {
      this.inUse = true;
      yield* this.tell();
    }
    putWord(this.mailbox.out, offset - reg.VF_OUT, value);
    if (offset !== reg.VF_DOORBELL) return yield* super.store(offset, value);
    if (this.mailbox.ring(value)) yield* this.tell();
  }

  private *tell(): Op<void> {
    yield* this.bus.notify(vfNote(this.inUse, this.mailbox));
  }

  *notified(note: Uint8Array): Op<void> {
    const { changed, fresh, link, mac, unaware } = readPfNote(note, this.mailbox);
    if (unaware) return yield* this.tell();
    yield* this.watchLink(() => (this.wired = link));
    const before = this.ownAddress;
    this.ownAddress = mac;
    if (mac && !(before && before.every((byte, i) => byte === mac[i]))) this.loadAddress();
    if (fresh) yield* this.tell();
    if (changed || fresh) yield* this.causes.raise(reg.MAILBOX_CAUSE);
  }

  protected out(frame: Uint8Array): Op<void> {
    return this.bus.transmit(frame);
  }

  *receive(frame: Uint8Array): Op<void> {
    if (this.link) yield* this.take(frame);
  }

  override reset(): void {
    this.wired = false;
    this.ownAddress = undefined;
    super.reset();
    this.mailbox.reset();
    this.inUse = false;
  }

  *wasReset(): Op<void> {
    yield* this.tell();
  }

  override encode(w: ByteWriter): void {
    super.encode(w);
    w.bool(this.inUse);
    w.bool(this.wired);
    w.bytes(this.ownAddress ?? new Uint8Array(0));
  }

  override decode(r: ByteReader): void {
    super.decode(r);
    this.inUse = r.bool();
    this.wired = r.bool();
    const address = r.bytes().slice();
    this.ownAddress = address.length > 0 ? address : undefined;
  }
}

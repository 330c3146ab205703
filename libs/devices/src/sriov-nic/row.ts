/** What a PF has for one of its VFs: what it grants, and the mailbox between them. */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { Mailbox } from './mailbox.js';
import * as reg from './registers.js';

export class Row {
  readonly mailbox = new Mailbox();
  private macLow = 0;
  private macHigh = 0;
  private vlanTag = 0;
  private control = 0;
  /** A driver uses the VF. */
  active = false;

  /** The address that the VF is granted, six bytes. */
  get mac(): Uint8Array | undefined {
    if (!(this.macHigh & reg.VALID)) return undefined;
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.macLow, true);
    view.setUint16(4, this.macHigh, true);
    return bytes.subarray(0, 6);
  }

  /** The VLAN that the VF is in; undefined: none. */
  get vlan(): number | undefined {
    return this.vlanTag & reg.VALID ? this.vlanTag & 0xfff : undefined;
  }

  get enabled(): boolean {
    return (this.control & reg.VF_ENABLED) !== 0;
  }

  get trusted(): boolean {
    return (this.control & reg.VF_TRUSTED) !== 0;
  }

  /** `at`: inside of the row. */
  load(at: number): number {
    switch (at) {
      case reg.ROW_MAC_LOW:
        return this.macLow;
      case reg.ROW_MAC_HIGH:
        return this.macHigh;
      case reg.ROW_VLAN:
        return this.vlanTag;
      case reg.ROW_CONTROL:
        return this.control;
      case reg.ROW_STATUS:
        return (this.active ? reg.ACTIVE : 0) | this.mailbox.status;
      default:
        return wordAt(this.mailbox.in, at - reg.ROW_IN) ?? wordAt(this.mailbox.out, at - reg.ROW_OUT) ?? 0;
    }
  }

  /** Is there something to tell the VF? */
  store(at: number, value: number): boolean {
    switch (at) {
      case reg.ROW_MAC_LOW:
        this.macLow = value;
        return true;
      case reg.ROW_MAC_HIGH:
        this.macHigh = (value & (reg.VALID | 0xffff)) >>> 0;
        return true;
      case reg.ROW_VLAN:
        this.vlanTag = (value & (reg.VALID | 0xfff)) >>> 0;
        return false;
      case reg.ROW_CONTROL:
        this.control = value & (reg.VF_ENABLED | reg.VF_TRUSTED);
        return true;
      case reg.ROW_DOORBELL:
        return this.mailbox.ring(value);
    }
    putWord(this.mailbox.out, at - reg.ROW_OUT, value);
    return false;
  }

  /** The PF was reset: nothing is granted. Whether the VF is in use is not the PF's affair. */
  reset(): void {
    this.macLow = this.macHigh = this.vlanTag = this.control = 0;
    this.mailbox.reset();
  }

  encode(w: ByteWriter): void {
    for (const value of [this.macLow, this.macHigh, this.vlanTag, this.control]) w.u32(value);
    w.bool(this.active);
    this.mailbox.encode(w);
  }

  decode(r: ByteReader): void {
    [this.macLow, this.macHigh, this.vlanTag, this.control] = [r.u32(), r.u32(), r.u32(), r.u32()];
    this.active = r.bool();
    this.mailbox.decode(r);
  }
}

/** `at`: in bytes from the first word. */
export const wordAt = (words: Uint32Array, at: number): number | undefined => (at & 3 ? undefined : words[at >> 2]);

export function putWord(words: Uint32Array, at: number, value: number): void {
  if (wordAt(words, at) !== undefined) words[at >> 2] = value;
}

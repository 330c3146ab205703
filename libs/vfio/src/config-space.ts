/**
 * The config space of an open function: what a client reads and writes, and what reaches the function.
 *
 * Words: *hardware* is the function's registers; *shadow* is the virtual ones; a *chunk* is an aligned piece of 4, 2 or 1
 * bytes inside one area, as the kernel cuts an access. An *effect* is what a chunk's write asks the device to do.
 * Rule (I42): a write changes a bit of the hardware only if the table says writable and not virtual, and BARs never.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { ConfigLayout } from './config-layout.js';
import { type Bar, barFlags } from './function-image.js';
import { read16, read32, readWord, write16, writeWord } from './little-endian.js';
import * as pci from './pci-registers.js';

export type ConfigEffect = 'intx-disable' | 'intx-enable' | 'function-reset' | 'soft-reset';

export class ConfigSpace {
  private readonly hardware: Uint8Array;
  private readonly shadow: Uint8Array;
  /** log2 of the MSI vectors that were enabled last: the most a client may grant. */
  msiGrantable = 0;
  /** The function was reset and its host has not put its registers back: its BARs are nowhere, though clients see them. */
  lost = false;

  constructor(private readonly layout: ConfigLayout) {
    this.hardware = layout.hardware.slice();
    this.shadow = layout.shadow.slice();
    this.fixBars();
  }

  /** A copy of the function's own registers. */
  get registers(): Uint8Array {
    return this.hardware.slice();
  }

  get command(): number {
    return read16(this.hardware, pci.COMMAND);
  }

  get busMaster(): boolean {
    return (this.command & pci.COMMAND_MASTER) !== 0;
  }

  /** D0 to D3hot. */
  get powerState(): number {
    const { pm } = this.layout.places;
    return pm === undefined ? 0 : this.hardware[pm + pci.PM_CONTROL]! & pci.PM_STATE;
  }

  /** Memory BARs answer: decoding is on and the function is not asleep (semantics D2.4). */
  get memoryEnabled(): boolean {
    const decodes = this.layout.alwaysDecodes || this.lost || (this.command & pci.COMMAND_MEMORY) !== 0;
    return decodes && this.powerState < pci.D3HOT;
  }

  get msiEnabled(): boolean {
    const { msi } = this.layout.places;
    return msi !== undefined && (this.hardware[msi + pci.MSI_CONTROL]! & pci.MSI_ENABLE) !== 0;
  }

  get msixEnabled(): boolean {
    const { msix } = this.layout.places;
    return msix !== undefined && (read16(this.hardware, msix.at + pci.MSIX_CONTROL) & pci.MSIX_ENABLE) !== 0;
  }

  /** The command register after a hot reset of the PE: nothing but memory decoding, which the host puts back. */
  loseCommand(): void {
    write16(this.hardware, pci.COMMAND, this.command & pci.COMMAND_MEMORY);
  }

  /**
   * The function has been reset behind the host's back, or did not take in what the host put back. The driver goes by what clients
   * have written, and a write of the command register puts BARs back that it finds gone (semantics D3: backdoor reset). A VF's are
   * not its own.
   */
  lose(): void {
    this.lost = this.memoryEnabled && !this.layout.alwaysDecodes;
    write16(this.hardware, pci.COMMAND, 0);
  }

  reportErrors(): void {
    write16(this.hardware, pci.COMMAND, this.command | pci.COMMAND_SERR);
  }

  /** The kernel lets the function send AtomicOps. */
  allowAtomics(): void {
    const { express } = this.layout.places;
    if (express !== undefined) this.setBit(express + pci.EXPRESS_DEVICE_CONTROL2, pci.EXPRESS_ATOMIC_REQUESTS, true);
  }

  clearBusMaster(): void {
    write16(this.hardware, pci.COMMAND, this.command & ~pci.COMMAND_MASTER);
  }

  /** The function's own MSI switch; what a client reads of it is virtual (trace b045). */
  setMsi(on: boolean, grantable = this.msiGrantable): void {
    const { msi } = this.layout.places;
    this.msiGrantable = grantable;
    if (msi !== undefined) this.setBit(msi + pci.MSI_CONTROL, pci.MSI_ENABLE, on);
  }

  setMsix(on: boolean): void {
    const { msix } = this.layout.places;
    if (msix) this.setBit(msix.at + pci.MSIX_CONTROL + 1, pci.MSIX_ENABLE >>> 8, on);
  }

  /** The interrupt pin's level, as the status register shows it. */
  setInterruptStatus(asserted: boolean): void {
    this.setBit(pci.STATUS, pci.STATUS_INTERRUPT, asserted);
  }

  private setBit(at: number, bit: number, on: boolean): void {
    this.hardware[at] = on ? this.hardware[at]! | bit : this.hardware[at]! & ~bit;
  }

  /** EFAULT when any byte is outside of config space (trace b042). */
  read(offset: number, length: number): Result<Uint8Array> {
    if (!this.contains(offset, length)) return fail('EFAULT');
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      const at = offset + i;
      const virtual = this.layout.virtual[at]!;
      out[i] = (this.shadow[at]! & virtual) | (this.hardware[at]! & ~virtual);
    }
    return ok(out);
  }

  /** What is read of a function that does not answer: ones, but what is virtual. Bounds are the caller's. */
  readUnanswered(offset: number, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => {
      const virtual = this.layout.virtual[offset + i]!;
      return (this.shadow[offset + i]! & virtual) | (~virtual & 0xff);
    });
  }

  /** Can the bytes be read without the function: are they wholly virtual? Bounds are the caller's. */
  isVirtual(offset: number, length: number): boolean {
    return this.layout.virtual.subarray(offset, offset + length).every((bits) => bits === 0xff);
  }

  /** Does a write to these bytes reach the function? */
  writesThrough(offset: number, length: number): boolean {
    const { virtual, writable } = this.layout;
    for (let at = offset; at < offset + length; at++) if ((writable[at]! & ~virtual[at]!) !== 0) return true;
    return false;
  }

  /** May a write to these bytes forbid DMA or registers? Such writes wait until accesses to BARs have ended. */
  stopsAccesses(offset: number, length: number): boolean {
    const { pm, express, af } = this.layout.places;
    const over = (word: number | undefined): boolean =>
      word !== undefined && offset < word + 2 && offset + length > word;
    return (
      over(pci.COMMAND) ||
      over(inCap(pm, pci.PM_CONTROL)) ||
      over(inCap(express, pci.EXPRESS_DEVICE_CONTROL)) ||
      over(inCap(af, pci.AF_CONTROL))
    );
  }

  contains(offset: number, length: number): boolean {
    return offset < this.layout.size && offset + length <= this.layout.size;
  }

  /** Bytes of the next chunk of an access. */
  chunkLength(offset: number, left: number): number {
    const { area } = this.layout;
    let inside = 1;
    while (inside < 4 && area[offset + inside] === area[offset]) inside++;
    const most = Math.min(left, inside);
    if (most >= 4 && offset % 4 === 0) return 4;
    return most >= 2 && offset % 2 === 0 ? 2 : 1;
  }

  /**
   * Writes one chunk. The effects are for the device to carry out before the next chunk. Of a function that does not answer
   * (`unanswered`) only what is virtual changes.
   */
  writeChunk(offset: number, data: Uint8Array, unanswered = false): ConfigEffect[] {
    const disabled = this.intxDisabled;
    const before = unanswered ? this.hardware.slice() : undefined;
    for (let i = 0; i < data.length; i++) this.writeByte(offset + i, data[i]!);
    const covers = (at: number | undefined): boolean => at !== undefined && offset <= at && offset + data.length > at;
    const { pm, msi, express, af } = this.layout.places;
    this.fixBars();
    if (covers(pci.COMMAND) && !unanswered) this.lost = false;
    if (covers(inCap(msi, pci.MSI_CONTROL))) this.fixMsi(msi!);
    if (before) this.hardware.set(before);
    const effects: ConfigEffect[] = [];
    if (this.intxDisabled !== disabled) effects.push(disabled ? 'intx-enable' : 'intx-disable');
    if (offset === inCap(pm, pci.PM_CONTROL) && !unanswered && this.movePower(pm!, data[0]! & pci.PM_STATE))
      effects.push('soft-reset');
    // The reset bits are in the second byte of device control and in the only one of AF control.
    if (covers(inCap(express, pci.EXPRESS_DEVICE_CONTROL + 1)) && this.takeFlr(express!))
      effects.push('function-reset');
    if (covers(inCap(af, pci.AF_CONTROL)) && this.takeAfFlr(af!)) effects.push('function-reset');
    return effects;
  }

  private writeByte(at: number, value: number): void {
    const { virtual, writable, kept } = this.layout;
    const shadow = writable[at]! & virtual[at]!;
    this.shadow[at] = (this.shadow[at]! & ~shadow) | (value & shadow);
    const through = writable[at]! & ~virtual[at]! & kept[at]!;
    this.hardware[at] = (this.hardware[at]! & ~through) | (value & through);
  }

  get intxDisabled(): boolean {
    return (read16(this.shadow, pci.COMMAND) & pci.COMMAND_INTX_DISABLE) !== 0;
  }

  /** What sizing relies on: address bits below the window's size read 0, type bits are fixed, no window reads 0. */
  private fixBars(): void {
    const all = new Uint8Array(28);
    for (const bar of this.layout.bars) this.fixBar(bar, all);
    this.shadow.set(all.subarray(0, 24), pci.BAR0);
    this.shadow.set(all.subarray(24), pci.ROM_BAR);
  }

  private fixBar(bar: Bar, all: Uint8Array): void {
    const rom = bar.index === 6;
    const register = rom ? pci.ROM_BAR : pci.BAR0 + 4 * bar.index;
    const width = bar.wide && !rom ? 8 : 4;
    const kept = ~BigInt(bar.size - 1);
    const value = readWord(this.shadow, register, width);
    const flags = rom ? value & 1n : BigInt(barFlags(bar));
    writeWord(all, 4 * bar.index, width, (value & kept) | flags);
  }

  /** MSI is switched by SET_IRQS: a client's enable bit sticks only while that has it on (semantics D3, trace b045). */
  private fixMsi(msi: number): void {
    const control = msi + pci.MSI_CONTROL;
    let flags = this.shadow[control]!;
    if (!this.msiAllowed) flags &= ~pci.MSI_ENABLE;
    if ((flags & pci.MSI_GRANTED) >>> 4 > this.msiGrantable)
      flags = (flags & ~pci.MSI_GRANTED) | (this.msiGrantable << 4);
    this.shadow[control] = flags;
    const through = pci.MSI_ENABLE | pci.MSI_GRANTED;
    this.hardware[control] = (this.hardware[control]! & ~through) | (flags & through);
  }

  /** Set by the interrupts: MSI is the enabled kind. */
  msiAllowed = false;

  /** Moves to another power state. True when the function comes back from D3hot without keeping its state. */
  private movePower(pm: number, state: number): boolean {
    if (this.layout.powerFixed) return false;
    const was = this.powerState;
    const supported = read16(this.hardware, pm + pci.PM_CAPABILITIES);
    if ((state === 1 && !(supported & pci.PM_CAP_D1)) || (state === 2 && !(supported & pci.PM_CAP_D2))) return false;
    this.hardware[pm + pci.PM_CONTROL] = (this.hardware[pm + pci.PM_CONTROL]! & ~pci.PM_STATE) | state;
    const keeps = read16(this.hardware, pm + pci.PM_CONTROL) & pci.PM_NO_SOFT_RESET;
    return was === pci.D3HOT && state === 0 && !keeps;
  }

  /** A reset leaves the function awake, its power control as after enabling: the host does not save that (random trace r4). */
  wake(): void {
    const { pm } = this.layout.places;
    if (pm === undefined) return;
    const control = pm + pci.PM_CONTROL;
    this.hardware.set(this.layout.hardware.subarray(control, control + 2), control);
  }

  private takeFlr(express: number): boolean {
    const at = express + pci.EXPRESS_DEVICE_CONTROL;
    const asked = (read16(this.shadow, at) & pci.EXPRESS_FLR) !== 0;
    write16(this.shadow, at, read16(this.shadow, at) & ~pci.EXPRESS_FLR);
    return asked && (read32(this.hardware, express + pci.EXPRESS_DEVICE_CAP) & pci.EXPRESS_CAP_FLR) !== 0;
  }

  private takeAfFlr(af: number): boolean {
    const asked = (this.shadow[af + pci.AF_CONTROL]! & pci.AF_FLR) !== 0;
    this.shadow[af + pci.AF_CONTROL]! &= ~pci.AF_FLR;
    return asked && (this.hardware[af + pci.AF_CAPABILITIES]! & pci.AF_CAP_TP_FLR) === pci.AF_CAP_TP_FLR;
  }

  encode(w: ByteWriter): void {
    w.raw(this.hardware);
    w.raw(this.shadow);
    w.u8(this.msiGrantable);
    w.bool(this.msiAllowed);
    w.bool(this.lost);
  }

  decode(r: ByteReader): void {
    this.hardware.set(r.raw(this.hardware.length));
    this.shadow.set(r.raw(this.shadow.length));
    this.msiGrantable = r.u8();
    this.msiAllowed = r.bool();
    this.lost = r.bool();
  }

  /** I42: hardware bits that nothing may have changed and that did. */
  check(): string[] {
    const broken: string[] = [];
    const { hardware, kept, size, places } = this.layout;
    const free = ownBits(size, places);
    for (let at = 0; at < size; at++) {
      const changed = (this.hardware[at]! ^ hardware[at]!) & ~(kept[at]! | free[at]!);
      if (changed)
        broken.push(`I42: config byte 0x${at.toString(16)} of the function changed in bits 0x${changed.toString(16)}`);
    }
    return broken;
  }
}

/** A register of a capability that may not be there. */
const inCap = (start: number | undefined, offset: number): number | undefined =>
  start === undefined ? undefined : start + offset;

/** Hardware bits that the service itself moves. */
function ownBits(size: number, { pm, msi, msix, express }: ConfigLayout['places']): Uint8Array {
  const free = new Uint8Array(size);
  free[pci.STATUS] = pci.STATUS_INTERRUPT;
  if (pm !== undefined) free[pm + pci.PM_CONTROL] = pci.PM_STATE;
  if (msi !== undefined) free[msi + pci.MSI_CONTROL] = pci.MSI_ENABLE | pci.MSI_GRANTED;
  if (msix) free[msix.at + pci.MSIX_CONTROL + 1] = pci.MSIX_ENABLE >>> 8;
  if (express !== undefined) free[express + pci.EXPRESS_DEVICE_CONTROL2] = pci.EXPRESS_ATOMIC_REQUESTS;
  return free;
}

/**
 * An NVMe controller with one namespace of 64 MiB: what the drivers of operating systems find behind BAR 0. A PF's and its VFs'
 * have a namespace each.
 *
 * Words: a *controller* lives from CC.EN set to CC.EN cleared; the registers outlive it, and the media outlives all.
 * Rule: registers are read and written in 4 or 8 bytes; a doorbell's write ends when the commands it told of have ended. A VF's
 * controller that is offline has no register but CSTS, which says that it cannot work.
 */
import { ByteReader, ByteWriter, type Op } from '@vfiolab/core';
import type { DeviceModel, ModelBus, Width, Wiring } from '../model.js';
import { Controller } from './controller.js';
import { newMedia } from './media.js';
import { Primary } from './primary.js';
import { CompletionQueue, SubmissionQueue } from './queues.js';
import * as reg from './registers.js';
import { ALONE, type Role } from './role.js';
import { Secondary } from './secondary.js';

const LOW = 0xffff_ffffn;
const HEARD = Uint8Array.of(1);
const NOTHING = new Uint8Array(0);

export class Nvme implements DeviceModel {
  readonly name: string = 'nvme';
  readonly registerBytes = reg.REGISTER_BYTES;
  readonly media = newMedia();
  private cc = 0;
  private aqa = 0;
  private asq = 0n;
  private acq = 0n;
  private masked = 0;
  /** The controller could not be started: what the registers say cannot be. */
  private refused = false;
  /** Undefined while CC.EN is clear. */
  private controller: Controller | undefined;

  private readonly primary: Primary | undefined;
  private readonly secondary: Secondary | undefined;

  constructor(
    protected readonly bus: ModelBus,
    wiring: Wiring = { connected: false, ports: 0, vf: undefined },
  ) {
    const { ports, vf } = wiring;
    this.secondary = vf === undefined ? undefined : new Secondary(bus, vf);
    this.primary = vf === undefined && ports > 1 ? new Primary(bus, ports - 1) : undefined;
  }

  private get role(): Role {
    return this.primary ?? this.secondary ?? ALONE;
  }

  private get offline(): boolean {
    return this.secondary?.online === false;
  }

  read(offset: number, width: Width): bigint {
    if (width < 4) return (this.dword(offset & ~3) >> BigInt(8 * (offset & 3))) & ((1n << BigInt(8 * width)) - 1n);
    const low = this.dword(offset);
    return width === 8 ? low | (this.dword(offset + 4) << 32n) : low;
  }

  private dword(offset: number): bigint {
    if (this.offline && offset !== reg.CSTS) return 0n;
    switch (offset) {
      case reg.CAP:
      case reg.CAP + 4:
        return half(reg.CAPABILITIES, offset);
      case reg.VS:
        return BigInt(reg.VERSION);
      case reg.INTMS:
      case reg.INTMC:
        return BigInt(this.masked);
      case reg.CC:
        return BigInt(this.cc);
      case reg.CSTS:
        return BigInt(this.status);
      case reg.AQA:
        return BigInt(this.aqa);
      case reg.ASQ:
      case reg.ASQ + 4:
        return half(this.asq, offset);
      case reg.ACQ:
      case reg.ACQ + 4:
        return half(this.acq, offset);
      default:
        return 0n;
    }
  }

  private get status(): number {
    const fatal = this.offline || this.refused || this.controller?.fatal === true;
    const shut = reg.shutdownOf(this.cc) !== 0;
    return (this.controller ? reg.CSTS_READY : 0) | (fatal ? reg.CSTS_FATAL : 0) | (shut ? reg.CSTS_SHUT_DOWN : 0);
  }

  *write(offset: number, width: Width, value: bigint): Op<void> {
    if (width < 4) return;
    yield* this.store(offset, Number(value & LOW));
    if (width === 8) yield* this.store(offset + 4, Number(value >> 32n));
  }

  private *store(offset: number, value: number): Op<void> {
    if (this.offline) return;
    if (offset >= reg.DOORBELLS) return yield* this.ring((offset - reg.DOORBELLS) / reg.DOORBELL_BYTES, value);
    switch (offset) {
      case reg.INTMS:
        return this.mask(this.masked | value);
      case reg.INTMC:
        return this.mask(this.masked & ~value);
      case reg.CC:
        return yield* this.configure(value);
      case reg.AQA:
        this.aqa = value & 0x0fff_0fff;
        return;
      case reg.ASQ:
      case reg.ASQ + 4:
        this.asq = withHalf(this.asq, offset, value);
        return;
      case reg.ACQ:
      case reg.ACQ + 4:
        this.acq = withHalf(this.acq, offset, value);
    }
  }

  private *ring(doorbell: number, value: number): Op<void> {
    const { controller } = this;
    if (!controller || doorbell >= 2 * reg.QUEUES) return;
    const queue = doorbell >>> 1;
    if (doorbell & 1) yield* controller.acknowledge(queue, value & 0xffff);
    else yield* controller.submit(queue, value & 0xffff);
  }

  private mask(bits: number): void {
    this.masked = bits >>> 0;
    if (this.controller) this.controller.masked = this.masked;
  }

  private *configure(value: number): Op<void> {
    const enabled = (this.cc & reg.CC_ENABLE) !== 0;
    this.cc = value;
    if (enabled === ((value & reg.CC_ENABLE) !== 0)) return;
    if (!enabled) return this.start();
    this.stop();
    if (this.primary) yield* this.primary.allOffline();
  }

  /** Queue 0 is where the registers say. */
  private start(): void {
    const [submissions, completions] = [(this.aqa & 0xfff) + 1, ((this.aqa >>> 16) & 0xfff) + 1];
    const shift = reg.pageShiftOf(this.cc);
    const page = BigInt(1 << shift) - 1n;
    this.refused =
      shift > reg.MAX_PAGE_SHIFT || submissions < 2 || completions < 2 || ((this.asq | this.acq) & page) !== 0n;
    if (this.refused) return;
    const controller = new Controller(this.bus, this.media, shift, this.role);
    controller.masked = this.masked;
    controller.submissions.set(0, new SubmissionQueue(0, this.asq, submissions, 0));
    controller.completions.set(0, new CompletionQueue(0, this.acq, completions, 0));
    this.controller = controller;
  }

  private stop(): void {
    if (this.controller) this.controller.stopped = true;
    this.controller = undefined;
    this.refused = false;
    this.bus.lower();
  }

  takeMedia(): Uint8Array {
    const w = new ByteWriter(this.media.used * 4096 + 64);
    this.media.encode(w);
    return w.take();
  }

  putMedia(stored: Uint8Array): void {
    this.media.decode(new ByteReader(stored));
  }

  reset(): void {
    this.primary?.reset();
    this.clear();
  }

  *wasReset(): Op<void> {
    if (this.primary) yield* this.primary.tellAll();
  }

  *opened(): Op<void> {
    if (this.secondary) yield* this.secondary.learn();
  }

  /** A VF asks its PF what it has; the PF tells a VF that it has something else, and begins anew. */
  answer(question: Uint8Array, port: number): Uint8Array {
    if (this.primary) return this.primary.asked(port - 1);
    if (!this.secondary) return NOTHING;
    this.secondary.told(question);
    this.clear();
    return HEARD;
  }

  /** Registers as after power-on. */
  private clear(): void {
    this.stop();
    this.cc = 0;
    this.aqa = 0;
    this.asq = 0n;
    this.acq = 0n;
    this.masked = 0;
  }

  encode(w: ByteWriter): void {
    this.media.encode(w);
    this.primary?.encode(w);
    this.secondary?.encode(w);
    this.encodeState(w);
  }

  decode(r: ByteReader): void {
    this.media.decode(r);
    this.primary?.decode(r);
    this.secondary?.decode(r);
    this.decodeState(r);
  }

  /** All but the media and what the card has granted. */
  protected encodeState(w: ByteWriter): void {
    for (const value of [this.cc, this.aqa, this.masked]) w.u32(value >>> 0);
    w.u64(this.asq);
    w.u64(this.acq);
    w.bool(this.refused);
    w.bool(this.controller !== undefined);
    this.controller?.encode(w);
  }

  protected decodeState(r: ByteReader): void {
    [this.cc, this.aqa, this.masked] = [r.u32(), r.u32(), r.u32()];
    this.asq = r.u64();
    this.acq = r.u64();
    this.refused = r.bool();
    this.controller = undefined;
    if (!r.bool()) return;
    this.controller = new Controller(this.bus, this.media, reg.pageShiftOf(this.cc), this.role);
    this.controller.masked = this.masked;
    this.controller.decode(r);
  }

  check(): string[] {
    const pages = this.controller && reg.pageShiftOf(this.cc) > reg.MAX_PAGE_SHIFT ? ['pages are too large'] : [];
    const granted = this.primary?.check() ?? this.secondary?.check() ?? [];
    const works = this.offline && this.controller ? ['a controller works that is offline'] : [];
    return [...pages, ...granted, ...works, ...this.media.check(), ...(this.controller?.check() ?? [])];
  }

  describe(): string {
    const queues = this.controller ? `${this.controller.submissions.size} queues` : 'off';
    const card = this.primary?.describe() ?? this.secondary?.describe() ?? '';
    return `nvme ${card}${queues}, CSTS 0x${this.status.toString(16)}, ${this.media.used} pages stored`;
  }
}

/** Of a register of 64 bits, the one that is at the offset. */
const half = (value: bigint, offset: number): bigint => (offset & 4 ? value >> 32n : value & LOW);

/** The address of a page with one half written. */
const withHalf = (address: bigint, offset: number, value: number): bigint =>
  offset & 4 ? (address & LOW) | (BigInt(value) << 32n) : (address & ~LOW) | BigInt((value & ~0xfff) >>> 0);

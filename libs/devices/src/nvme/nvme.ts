/**
 * An NVMe controller with one namespace of 64 MiB: what the drivers of operating systems find behind BAR 0.
 *
 * Words: a *controller* lives from CC.EN set to CC.EN cleared; the registers outlive it, and the media outlives all.
 * Rule: registers are read and written in 4 or 8 bytes; a doorbell's write ends when the commands it told of have ended.
 */
import { ByteReader, ByteWriter, type Op } from '@vfiolab/core';
import type { DeviceModel, ModelBus, Width } from '../model.js';
import { Controller } from './controller.js';
import { newMedia } from './media.js';
import { CompletionQueue, SubmissionQueue } from './queues.js';
import * as reg from './registers.js';

const LOW = 0xffff_ffffn;

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

  constructor(protected readonly bus: ModelBus) {}

  read(offset: number, width: Width): bigint {
    if (width < 4) return (this.dword(offset & ~3) >> BigInt(8 * (offset & 3))) & ((1n << BigInt(8 * width)) - 1n);
    const low = this.dword(offset);
    return width === 8 ? low | (this.dword(offset + 4) << 32n) : low;
  }

  private dword(offset: number): bigint {
    switch (offset) {
      case reg.CAP:
        return reg.CAPABILITIES & LOW;
      case reg.CAP + 4:
        return reg.CAPABILITIES >> 32n;
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
        return this.asq & LOW;
      case reg.ASQ + 4:
        return this.asq >> 32n;
      case reg.ACQ:
        return this.acq & LOW;
      case reg.ACQ + 4:
        return this.acq >> 32n;
      default:
        return 0n;
    }
  }

  private get status(): number {
    const fatal = this.refused || this.controller?.fatal === true;
    const shut = reg.shutdownOf(this.cc) !== 0;
    return (this.controller ? reg.CSTS_READY : 0) | (fatal ? reg.CSTS_FATAL : 0) | (shut ? reg.CSTS_SHUT_DOWN : 0);
  }

  *write(offset: number, width: Width, value: bigint): Op<void> {
    if (width < 4) return;
    yield* this.store(offset, Number(value & LOW));
    if (width === 8) yield* this.store(offset + 4, Number(value >> 32n));
  }

  private *store(offset: number, value: number): Op<void> {
    if (offset >= reg.DOORBELLS) return yield* this.ring((offset - reg.DOORBELLS) / reg.DOORBELL_BYTES, value);
    switch (offset) {
      case reg.INTMS:
        return this.mask(this.masked | value);
      case reg.INTMC:
        return this.mask(this.masked & ~value);
      case reg.CC:
        return this.configure(value);
      case reg.AQA:
        this.aqa = value & 0x0fff_0fff;
        return;
      case reg.ASQ:
        this.asq = (this.asq & ~LOW) | BigInt((value & ~0xfff) >>> 0);
        return;
      case reg.ASQ + 4:
        this.asq = (this.asq & LOW) | (BigInt(value) << 32n);
        return;
      case reg.ACQ:
        this.acq = (this.acq & ~LOW) | BigInt((value & ~0xfff) >>> 0);
        return;
      case reg.ACQ + 4:
        this.acq = (this.acq & LOW) | (BigInt(value) << 32n);
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

  private configure(value: number): void {
    const enabled = (this.cc & reg.CC_ENABLE) !== 0;
    this.cc = value;
    if (enabled === ((value & reg.CC_ENABLE) !== 0)) return;
    if (enabled) this.stop();
    else this.start();
  }

  /** Queue 0 is where the registers say. */
  private start(): void {
    const [submissions, completions] = [(this.aqa & 0xfff) + 1, ((this.aqa >>> 16) & 0xfff) + 1];
    const shift = reg.pageShiftOf(this.cc);
    const page = BigInt(1 << shift) - 1n;
    this.refused =
      shift > reg.MAX_PAGE_SHIFT || submissions < 2 || completions < 2 || ((this.asq | this.acq) & page) !== 0n;
    if (this.refused) return;
    const controller = new Controller(this.bus, this.media, shift);
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
    this.stop();
    this.cc = 0;
    this.aqa = 0;
    this.asq = 0n;
    this.acq = 0n;
    this.masked = 0;
  }

  encode(w: ByteWriter): void {
    this.media.encode(w);
    this.encodeState(w);
  }

  decode(r: ByteReader): void {
    this.media.decode(r);
    this.decodeState(r);
  }

  /** All but the media. */
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
    this.controller = new Controller(this.bus, this.media, reg.pageShiftOf(this.cc));
    this.controller.masked = this.masked;
    this.controller.decode(r);
  }

  check(): string[] {
    const pages = this.controller && reg.pageShiftOf(this.cc) > reg.MAX_PAGE_SHIFT ? ['pages are too large'] : [];
    return [...pages, ...this.media.check(), ...(this.controller?.check() ?? [])];
  }

  describe(): string {
    const queues = this.controller ? `${this.controller.submissions.size} queues` : 'off';
    return `nvme ${queues}, CSTS 0x${this.status.toString(16)}, ${this.media.used} pages stored`;
  }
}

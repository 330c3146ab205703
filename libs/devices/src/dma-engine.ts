/**
 * The DMA engine: a small device that copies between memory and a buffer of its own. Its registers are those of QEMU's
 * edu device, so a driver written for edu works with it.
 *
 * Words: the *buffer* is 4 KiB of device memory at device address 0x40000. It is reached by DMA only; as in edu it is not
 * part of the BAR. A *command* is a write to the command register with the run bit set; its transfer is one *request* on the
 * bus, or two.
 * Rule: the write of a command ends after its transfer and its interrupt, so a program sees the same whatever carries its
 * messages. Accesses that come while it runs see the run bit, and their writes to the DMA registers are lost.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import { type DeviceModel, type ModelBus, PENDING, type Width } from './model.js';

/** Register offsets in bytes. */
export const REG_ID = 0x00;
export const REG_LIVENESS = 0x04;
export const REG_FACTORIAL = 0x08;
export const REG_STATUS = 0x20;
export const REG_IRQ_STATUS = 0x24;
export const REG_IRQ_RAISE = 0x60;
export const REG_IRQ_ACK = 0x64;
export const REG_DMA_SOURCE = 0x80;
export const REG_DMA_DESTINATION = 0x88;
export const REG_DMA_COUNT = 0x90;
export const REG_DMA_COMMAND = 0x98;

/** Major version 1, minor version 0, and the letters that name the register set. */
export const IDENTIFICATION = 0x010000ed;
/** Status bit: raise an interrupt when a factorial is done. */
export const STATUS_IRQ_FACTORIAL = 0x80;
export const DMA_RUN = 1;
/** Direction bit: set = from the buffer to memory. */
export const DMA_TO_MEMORY = 2;
export const DMA_IRQ = 4;
/** Bits of the interrupt status register that the engine itself sets. */
export const IRQ_FACTORIAL = 0x001;
export const IRQ_DMA = 0x100;
/** Device address and bytes of the buffer. */
export const BUFFER_START = 0x40000n;
export const BUFFER_SIZE = 4096;

/** No request crosses such an address (PCI Express 2.2.7): each is translated, and gets through or not, by itself (p051). */
const REQUEST_BOUNDARY = 4096;
const ADDRESS_END = 1n << 64n;
const REGISTER_BYTES = 0xa0;
const FIRST_WIDE = 0x80;
/** 34! is the first factorial divisible by 2^32, so all from there on are 0 in 32 bits. */
const FIRST_ZERO_FACTORIAL = 34;
const DMA_REGISTERS = [REG_DMA_SOURCE, REG_DMA_DESTINATION, REG_DMA_COUNT, REG_DMA_COMMAND] as const;
type DmaRegister = (typeof DMA_REGISTERS)[number];

const isDmaRegister = (offset: number): offset is DmaRegister => (DMA_REGISTERS as readonly number[]).includes(offset);
const allOnes = (width: Width): bigint => (1n << BigInt(8 * width)) - 1n;

function factorial(n: number): number {
  if (n >= FIRST_ZERO_FACTORIAL) return 0;
  let product = 1;
  for (let k = 2; k <= n; k++) product = Math.imul(product, k);
  return product >>> 0;
}

export class DmaEngine implements DeviceModel {
  readonly name: string = 'dma-engine';
  readonly registerBytes: number = REGISTER_BYTES;
  private liveness = 0;
  private factorial = 0;
  private status = 0;
  private irqStatus = 0;
  private dma: Record<DmaRegister, bigint> = { 128: 0n, 136: 0n, 144: 0n, 152: 0n };
  private readonly buffer = new Uint8Array(BUFFER_SIZE);
  /** The command waits for a page. */
  private waiting = false;

  constructor(protected readonly bus: ModelBus) {}

  /**
   * As edu answers: accesses of 1 or 2 bytes read 0; 8 bytes below 0x80, and what is no register, read all ones.
   */
  read(offset: number, width: Width): bigint {
    if (width < 4) return 0n;
    if (isDmaRegister(offset)) return this.dma[offset] & allOnes(width);
    if (offset < FIRST_WIDE && width === 4) return BigInt(this.readControl(offset));
    return allOnes(width);
  }

  private readControl(offset: number): number {
    switch (offset) {
      case REG_ID:
        return IDENTIFICATION;
      case REG_LIVENESS:
        return this.liveness;
      case REG_FACTORIAL:
        return this.factorial;
      case REG_STATUS:
        return this.status;
      case REG_IRQ_STATUS:
        return this.irqStatus;
      default:
        return 0xffffffff;
    }
  }

  *write(offset: number, width: Width, value: bigint): Op<void> {
    if (width < 4) return;
    if (isDmaRegister(offset)) yield* this.writeDma(offset, value);
    else if (offset < FIRST_WIDE && width === 4) yield* this.writeControl(offset, Number(value));
  }

  private *writeControl(offset: number, value: number): Op<void> {
    switch (offset) {
      case REG_LIVENESS:
        this.liveness = ~value >>> 0;
        return;
      case REG_FACTORIAL:
        this.factorial = factorial(value);
        if (this.status & STATUS_IRQ_FACTORIAL) yield* this.raise(IRQ_FACTORIAL);
        return;
      case REG_STATUS:
        this.status = value & STATUS_IRQ_FACTORIAL;
        return;
      case REG_IRQ_RAISE:
        return yield* this.raise(value);
      case REG_IRQ_ACK:
        this.irqStatus = (this.irqStatus & ~value) >>> 0;
        if (this.irqStatus === 0) this.bus.lower();
    }
  }

  private *raise(bits: number): Op<void> {
    this.irqStatus = (this.irqStatus | bits) >>> 0;
    if (this.irqStatus !== 0) yield* this.bus.raise(0);
  }

  private *writeDma(offset: DmaRegister, value: bigint): Op<void> {
    if (this.running) return;
    if (offset !== REG_DMA_COMMAND) {
      this.dma[offset] = value;
      return;
    }
    if (!(value & BigInt(DMA_RUN))) return;
    this.dma[offset] = value;
    yield* this.runCommand();
  }

  /** A command that has to wait for a page goes on in `pageResponse`, from its beginning. */
  private *runCommand(): Op<void> {
    this.waiting = (yield* this.transfer()) === PENDING;
    if (!this.waiting) yield* this.endCommand();
  }

  private *endCommand(): Op<void> {
    const command = this.dma[REG_DMA_COMMAND];
    this.stop();
    if (command & BigInt(DMA_IRQ)) yield* this.raise(IRQ_DMA);
  }

  *pageResponse(success: boolean): Op<void> {
    if (!this.waiting) return;
    this.waiting = false;
    if (success) yield* this.runCommand();
    else yield* this.endCommand();
  }

  /** The address space of DMA; undefined: the function's own. */
  protected get pasid(): number | undefined {
    return undefined;
  }

  private get running(): boolean {
    return (this.dma[REG_DMA_COMMAND] & BigInt(DMA_RUN)) !== 0n;
  }

  get waits(): boolean {
    return this.waiting;
  }

  /** No command is running any more. */
  protected stop(): void {
    this.dma[REG_DMA_COMMAND] &= ~BigInt(DMA_RUN);
    this.waiting = false;
  }

  /** Requests that do not get through leave memory and buffer as they were; the command ends all the same. */
  private *transfer(): Op<typeof PENDING | undefined> {
    const toMemory = (this.dma[REG_DMA_COMMAND] & BigInt(DMA_TO_MEMORY)) !== 0n;
    const inside = this.dma[toMemory ? REG_DMA_SOURCE : REG_DMA_DESTINATION];
    const iova = this.dma[toMemory ? REG_DMA_DESTINATION : REG_DMA_SOURCE];
    const whole = this.pieceOfBuffer(inside, this.dma[REG_DMA_COUNT]);
    if (!whole) return undefined;
    for (let at = 0, end = 0; at < whole.length; at = end) {
      const start = iova + BigInt(at);
      if (start >= ADDRESS_END) return undefined;
      end = Math.min(whole.length, at + REQUEST_BOUNDARY - Number(start % BigInt(REQUEST_BOUNDARY)));
      if ((yield* this.request(start, whole.subarray(at, end), toMemory)) === PENDING) return PENDING;
    }
    return undefined;
  }

  private *request(iova: bigint, piece: Uint8Array, toMemory: boolean): Op<typeof PENDING | undefined> {
    if (toMemory) return (yield* this.bus.dmaWrite(iova, piece.slice(), this.pasid)) === PENDING ? PENDING : undefined;
    const data = yield* this.bus.dmaRead(iova, piece.length, this.pasid);
    if (data === PENDING) return PENDING;
    if (data) piece.set(data);
    return undefined;
  }

  /** The buffer's bytes behind a device address; undefined for none, or for any outside of it: nothing is transferred. */
  private pieceOfBuffer(address: bigint, count: bigint): Uint8Array | undefined {
    const first = address - BUFFER_START;
    if (count === 0n || first < 0n || first + count > BigInt(BUFFER_SIZE)) return undefined;
    return this.buffer.subarray(Number(first), Number(first + count));
  }

  reset(): void {
    this.liveness = 0;
    this.factorial = 0;
    this.status = 0;
    this.irqStatus = 0;
    for (const r of DMA_REGISTERS) this.dma[r] = 0n;
    this.buffer.fill(0);
    this.waiting = false;
  }

  encode(w: ByteWriter): void {
    for (const v of [this.liveness, this.factorial, this.status, this.irqStatus]) w.u32(v);
    for (const r of DMA_REGISTERS) w.u64(this.dma[r]);
    w.raw(this.buffer);
    w.bool(this.waiting);
  }

  decode(r: ByteReader): void {
    this.liveness = r.u32();
    this.factorial = r.u32();
    this.status = r.u32();
    this.irqStatus = r.u32();
    for (const d of DMA_REGISTERS) this.dma[d] = r.u64();
    this.buffer.set(r.raw(BUFFER_SIZE));
    this.waiting = r.bool();
  }

  check(): string[] {
    return this.running !== this.waiting ? ['DMA engine: the run bit is set and no command is running'] : [];
  }

  describe(): string {
    const [source, destination, count, command] = DMA_REGISTERS.map((r) => `0x${this.dma[r].toString(16)}`);
    return `dma-engine: source ${source} destination ${destination} count ${count} command ${command} irq 0x${this.irqStatus.toString(16)}`;
  }
}

/**
 * A device like a graphics card: a large memory of its own behind the second BAR, and engines that copy between it and the
 * host while the driver does other things.
 *
 * Words: *device memory* is as large as that BAR, up to 128 GiB; 256 MiB of it can hold something at a time. A *copy engine*
 * does one command at a time; each has its own registers and its own interrupt vector.
 * Rule: it takes its time to come back from a reset. A command is begun by the write of its control register and ends when its time has passed: bytes over the speed of
 * the link, in whole ms. A command that does not get through changes nothing behind the byte where it failed.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import type { DeviceModel, ModelBus, Width } from './model.js';
import { PENDING } from './model.js';
import { MEMORY_PAGE, SparseMemory } from './sparse-memory.js';

/** Registers, as offsets in bytes; all are read and written in 4 or 8 bytes. */
export const ID = 0x00;
/** Bytes of device memory. */
export const MEMORY_BYTES = 0x08;
export const ENGINES = 2;
/** Registers of engine n from here on, `ENGINE_STRIDE` apart. */
export const ENGINE = 0x100;
export const ENGINE_STRIDE = 0x40;
export const SOURCE = 0x00;
export const DESTINATION = 0x08;
export const COUNT = 0x10;
export const CONTROL = 0x18;
export const STATUS = 0x20;

/** "GPUL". */
export const IDENTIFICATION = 0x4c555047;
export const START = 1;
/** Set: from device memory to the host; clear: from the host. */
export const TO_HOST = 2;
export const INTERRUPT = 4;
export const [IDLE, BUSY, DONE, FAILED] = [0, 1, 2, 3] as const;

/** Bytes of one command at most. */
export const MAX_COPY = 256 * 1024 * 1024;
/** 16 GB/s, as a link of 16 lanes at 8 GT/s has. */
export const BYTES_PER_MS = 16_000_000;
/** Until its firmware is up again, ms. */
export const RESET_MS = 300;
/** Bytes of one DMA request. */
const PIECE = 256 * 1024;
const MOST_PAGES = MAX_COPY / MEMORY_PAGE;
const REGISTER_BYTES = ENGINE + ENGINES * ENGINE_STRIDE;

interface Engine {
  source: bigint;
  destination: bigint;
  count: bigint;
  control: number;
  status: number;
}

const newEngine = (): Engine => ({ source: 0n, destination: 0n, count: 0n, control: 0, status: IDLE });

export class Gpu implements DeviceModel {
  readonly name = 'gpu';
  readonly registerBytes = REGISTER_BYTES;
  readonly timing = { reset: RESET_MS };
  readonly memory: SparseMemory;
  private engines = Array.from({ length: ENGINES }, newEngine);

  constructor(
    private readonly bus: ModelBus,
    memoryBytes: number,
  ) {
    this.memory = new SparseMemory(memoryBytes, MOST_PAGES);
  }

  read(offset: number, width: Width): bigint {
    if (width < 4) return 0n;
    return this.register(offset) & ((1n << BigInt(8 * width)) - 1n);
  }

  private register(offset: number): bigint {
    if (offset === ID) return BigInt(IDENTIFICATION);
    if (offset === MEMORY_BYTES) return BigInt(this.memory.bytes);
    const place = placeOf(offset);
    const engine = place && this.engines[place.engine];
    if (!engine) return 0n;
    const { source, destination, count, control, status } = engine;
    const registers = new Map([
      [SOURCE, source],
      [DESTINATION, destination],
      [COUNT, count],
      [CONTROL, BigInt(control)],
      [STATUS, BigInt(status)],
    ]);
    return registers.get(place.register) ?? 0n;
  }

  *write(offset: number, width: Width, value: bigint): Op<void> {
    const place = placeOf(offset);
    const engine = place && this.engines[place.engine];
    if (width < 4 || !engine || engine.status === BUSY) return;
    if (place.register === SOURCE) engine.source = value;
    else if (place.register === DESTINATION) engine.destination = value;
    else if (place.register === COUNT) engine.count = value;
    else if (place.register === CONTROL) yield* this.control(place.engine, engine, Number(value & 0xffn));
  }

  private *control(n: number, engine: Engine, control: number): Op<void> {
    engine.control = control;
    if (!(control & START)) return;
    engine.status = BUSY;
    const ms = Math.ceil(Number(engine.count) / BYTES_PER_MS);
    yield* this.bus.later(Math.max(1, Math.min(ms, MAX_COPY / BYTES_PER_MS)), () => this.finish(n, engine));
  }

  private *finish(n: number, engine: Engine): Op<void> {
    engine.status = (yield* this.copy(engine)) ? DONE : FAILED;
    if (engine.control & INTERRUPT) yield* this.bus.raise(n);
  }

  /** False: it did not get through, or is none that could. */
  private *copy({ source, destination, count, control }: Engine): Op<boolean> {
    const toHost = (control & TO_HOST) !== 0;
    const [inside, iova] = toHost ? [source, destination] : [destination, source];
    if (count > BigInt(MAX_COPY) || inside + count > BigInt(this.memory.bytes)) return false;
    const [at, length] = [Number(inside), Number(count)];
    for (let done = 0; done < length; done += PIECE) {
      const piece = Math.min(PIECE, length - done);
      const host = iova + BigInt(done);
      if (toHost) {
        if ((yield* this.bus.dmaWrite(host, this.memory.read(at + done, piece))) !== true) return false;
        continue;
      }
      const data = yield* this.bus.dmaRead(host, piece);
      if (!data || data === PENDING || !this.memory.write(at + done, data)) return false;
    }
    return true;
  }

  /** Device memory is lost, as after power-on. */
  reset(): void {
    this.engines = this.engines.map(newEngine);
    this.memory.empty();
  }

  encode(w: ByteWriter): void {
    for (const { source, destination, count, control, status } of this.engines) {
      for (const value of [source, destination, count]) w.u64(value);
      w.u8(control);
      w.u8(status);
    }
    this.memory.encode(w);
  }

  decode(r: ByteReader): void {
    this.engines = this.engines.map(() => {
      const [source, destination, count] = [r.u64(), r.u64(), r.u64()];
      return { source, destination, count, control: r.u8(), status: r.u8() };
    });
    this.memory.decode(r);
  }

  check(): string[] {
    return this.memory.check();
  }

  describe(): string {
    const busy = this.engines.filter(({ status }) => status === BUSY).length;
    return `gpu with ${this.memory.bytes} bytes, ${this.memory.used} pages in use, ${busy} engines busy`;
  }
}

function placeOf(offset: number): { readonly engine: number; readonly register: number } | undefined {
  if (offset < ENGINE || offset >= REGISTER_BYTES) return undefined;
  const inside = offset - ENGINE;
  return { engine: Math.floor(inside / ENGINE_STRIDE), register: inside % ENGINE_STRIDE };
}

/**
 * The audio function that comes with a graphics card: it plays what is in memory, piece by piece, by itself.
 *
 * Words: the *stream* is a ring in memory; a *period* is a part of it, 10 ms of sound: 48 kHz, two channels of 16 bits.
 * Rule: while it runs it reads a period every 10 ms and then interrupts. A period that cannot be read stops the stream; nothing is
 * ever written.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import { type DeviceModel, type ModelBus, PENDING, type Width } from './model.js';

/** Registers, as offsets in bytes, of 8 bytes each. */
export const AUDIO_ID = 0x00;
export const STREAM = 0x08;
/** Bytes of the ring: periods, at most MAX_PERIODS. */
export const RING = 0x10;
export const PLAY = 0x18;
/** Bytes of the ring that were played last. */
export const POSITION = 0x20;
export const STATE = 0x28;
/** Sum of all bytes played, modulo 2^64: what a listener hears. */
export const HEARD = 0x30;

/** "HDAL". */
export const AUDIO_IDENTIFICATION = 0x4c414448n;
export const PERIOD_MS = 10;
export const PERIOD_BYTES = 1920;
export const MAX_PERIODS = 1024;
export const [STOPPED, PLAYING, BROKEN] = [0n, 1n, 2n] as const;
const REGISTER_BYTES = 0x38;
const MOST = BigInt(MAX_PERIODS * PERIOD_BYTES);

export class GpuAudio implements DeviceModel {
  readonly name = 'gpu-audio';
  readonly registerBytes = REGISTER_BYTES;
  private stream = 0n;
  private ring = 0n;
  private position = 0n;
  private state: bigint = STOPPED;
  private heard = 0n;

  constructor(private readonly bus: ModelBus) {}

  read(offset: number, width: Width): bigint {
    const registers = [AUDIO_IDENTIFICATION, this.stream, this.ring, 0n, this.position, this.state, this.heard];
    return (registers[offset / 8] ?? 0n) & ((1n << BigInt(8 * width)) - 1n);
  }

  *write(offset: number, width: Width, value: bigint): Op<void> {
    if (width !== 8) return;
    const running = this.state === PLAYING;
    if (offset === STREAM && !running) this.stream = value;
    else if (offset === RING && !running) this.ring = value;
    else if (offset === PLAY && value === 0n) this.state = STOPPED;
    else if (offset === PLAY && !running && this.fits()) yield* this.play();
  }

  private fits(): boolean {
    return this.ring > 0n && this.ring <= MOST && this.ring % BigInt(PERIOD_BYTES) === 0n;
  }

  private *play(): Op<void> {
    this.position = 0n;
    this.state = PLAYING;
    yield* this.bus.later(PERIOD_MS, () => this.period());
  }

  /** One that was planned before the stream was stopped and begun anew goes on with the new one. */
  private *period(): Op<void> {
    if (this.state !== PLAYING) return;
    const data = yield* this.bus.dmaRead(this.stream + this.position, PERIOD_BYTES);
    const played = data !== undefined && data !== PENDING;
    if (played) this.hear(data);
    else this.state = BROKEN;
    yield* this.bus.raise(0);
    if (played && this.state === PLAYING) yield* this.bus.later(PERIOD_MS, () => this.period());
  }

  private hear(data: Uint8Array): void {
    this.heard = BigInt.asUintN(64, this.heard + BigInt(data.reduce((sum, byte) => sum + byte, 0)));
    this.position = (this.position + BigInt(PERIOD_BYTES)) % this.ring;
  }

  reset(): void {
    [this.stream, this.ring, this.position, this.state, this.heard] = [0n, 0n, 0n, STOPPED, 0n];
  }

  encode(w: ByteWriter): void {
    for (const value of [this.stream, this.ring, this.position, this.state, this.heard]) w.u64(value);
  }

  decode(r: ByteReader): void {
    [this.stream, this.ring, this.position, this.state, this.heard] = [r.u64(), r.u64(), r.u64(), r.u64(), r.u64()];
  }

  check(): string[] {
    return this.state > BROKEN ? [`the audio function is in state ${this.state}`] : [];
  }

  describe(): string {
    return `gpu-audio ${['stopped', 'playing', 'broken'][Number(this.state)]} at ${this.position} of ${this.ring}`;
  }
}

/**
 * A model whose registers are big endian, as QEMU's edu has them on POWER: the bytes of every access are the other way round.
 *
 * Rule: only the accesses differ; DMA moves bytes as they are.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import type { DeviceModel, Width } from './model.js';

function swapped(value: bigint, width: Width): bigint {
  let out = 0n;
  for (let i = 0; i < width; i++) out = (out << 8n) | ((value >> BigInt(8 * i)) & 0xffn);
  return out;
}

export class BigEndian implements DeviceModel {
  readonly registerBytes: number;

  constructor(
    readonly name: string,
    private readonly model: DeviceModel,
  ) {
    this.registerBytes = model.registerBytes;
  }

  read(offset: number, width: Width): bigint {
    return swapped(this.model.read(offset, width), width);
  }

  write(offset: number, width: Width, value: bigint): Op<void> {
    return this.model.write(offset, width, swapped(value, width));
  }

  reset(): void {
    this.model.reset();
  }
  encode(w: ByteWriter): void {
    this.model.encode(w);
  }
  decode(r: ByteReader): void {
    this.model.decode(r);
  }
  check(): string[] {
    return this.model.check();
  }
  describe(): string {
    return this.model.describe();
  }
}

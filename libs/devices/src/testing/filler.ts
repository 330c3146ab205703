/** Fills host memory with a byte. Registers: 0x00 address, 0x08 bytes, 0x10 value; writing 0x10 begins; 0x18 busy. */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import type { DeviceModel, ModelBus, Width } from '../model.js';

export class Filler implements DeviceModel {
  readonly name = 'filler';
  readonly registerBytes = 0x20;
  readonly timing = { read: 1, reset: 20 };
  private registers = new BigUint64Array(4);

  constructor(private readonly bus: ModelBus) {}

  read(offset: number, width: Width): bigint {
    return width === 8 ? this.registers[offset >>> 3]! : 0n;
  }

  *write(offset: number, width: Width, value: bigint): Op<void> {
    if (width !== 8 || offset >= 0x18 || this.registers[3] !== 0n) return;
    this.registers[offset >>> 3] = value;
    if (offset !== 0x10) return;
    this.registers[3] = 1n;
    yield* this.bus.later(5, () => this.fill());
  }

  private *fill(): Op<void> {
    const [address, bytes, value] = this.registers as unknown as [bigint, bigint, bigint];
    yield* this.bus.dmaWrite(address, new Uint8Array(Number(bytes & 0xffffn) + 1).fill(Number(value & 0xffn)));
    this.registers[3] = 0n;
    yield* this.bus.raise(0);
  }

  reset(): void {
    this.registers.fill(0n);
  }

  encode(w: ByteWriter): void {
    for (const value of this.registers) w.u64(value);
  }

  decode(r: ByteReader): void {
    this.registers = this.registers.map(() => r.u64());
  }

  check(): string[] {
    return [];
  }

  describe(): string {
    return `filler ${this.registers[3] ? 'busy' : 'idle'}`;
  }
}

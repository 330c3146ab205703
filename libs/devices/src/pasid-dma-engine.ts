/**
 * The DMA engine with one register more: the PASID of its requests.
 *
 * Words: the *PASID register* holds a PASID of 20 bits and, in bit 31, whether requests carry it.
 * Rule: everything else is the DMA engine's, so its drivers work; after power-on requests carry no PASID.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import { DmaEngine } from './dma-engine.js';
import type { Width } from './model.js';

/** Offset in bytes; 4 bytes wide. */
export const REG_DMA_PASID = 0xa0;
export const PASID_ENABLE = 0x80000000;
const PASID_MASK = 0xfffff;
const REGISTER_BYTES = 0xa4;

export class PasidDmaEngine extends DmaEngine {
  override readonly name = 'pasid-dma-engine';
  override readonly registerBytes = REGISTER_BYTES;
  private tag = 0;

  protected override get pasid(): number | undefined {
    return this.tag & PASID_ENABLE ? this.tag & PASID_MASK : undefined;
  }

  override read(offset: number, width: Width): bigint {
    return offset === REG_DMA_PASID && width === 4 ? BigInt(this.tag) : super.read(offset, width);
  }

  override *write(offset: number, width: Width, value: bigint): Op<void> {
    if (offset !== REG_DMA_PASID) yield* super.write(offset, width, value);
    else if (width === 4) this.tag = (Number(value) & (PASID_ENABLE | PASID_MASK)) >>> 0;
  }

  override reset(): void {
    super.reset();
    this.tag = 0;
  }

  override encode(w: ByteWriter): void {
    super.encode(w);
    w.u32(this.tag);
  }

  override decode(r: ByteReader): void {
    super.decode(r);
    this.tag = r.u32();
  }

  override describe(): string {
    return `${super.describe()} pasid ${this.pasid ?? 'none'}`;
  }
}

/**
 * The DMA engine as a device that can be moved to another host: the same registers, and their state as bytes.
 *
 * Words: an *image* is one state of the device; the bytes of a migration are one image or several, the last of which counts.
 * Rule: an image is taken only if all of it is right; what is not leaves the device as it is.
 */
import { ByteReader, ByteWriter } from '@vfiolab/core';
import { BUFFER_SIZE, DmaEngine } from './dma-engine.js';
import type { MigratableModel } from './model.js';

/** "DMAE", and the layout's version. */
const MAGIC = 0x45414d44;
const VERSION = 1;
const REGISTER_STATE = 4 * 4 + 4 * 8 + 1;

export class MigratableEngine extends DmaEngine implements MigratableModel {
  override readonly name: string = 'migratable-engine';
  readonly imageBytes = 8 + REGISTER_STATE + BUFFER_SIZE;

  save(): Uint8Array {
    const w = new ByteWriter(this.imageBytes);
    w.u32(MAGIC);
    w.u32(VERSION);
    this.encode(w);
    return w.take();
  }

  load(image: Uint8Array): boolean {
    const r = new ByteReader(image);
    if (image.length !== this.imageBytes || r.u32() !== MAGIC || r.u32() !== VERSION) return false;
    this.decode(r);
    this.stop();
    return true;
  }
}

/**
 * An NVMe controller that can be moved to another function or host while its driver works.
 *
 * Words: an *image* is the controller: registers, features, queues with where they are and how far, held event requests. What a VF
 * is granted is its card's affair: an image with more queues than that is none for it.
 * Rule: the media stay where they are, as disks do that two hosts share: who moves a controller sees to it that the other one has
 * the same blocks. Commands end before a doorbell's write does, so none is under way in an image; those that wait for room are in
 * their ring, in the driver's memory.
 */
import { ByteReader, ByteWriter, WireError } from '@vfiolab/core';
import type { MigratableModel } from '../model.js';
import { Nvme } from './nvme.js';

/** "NVME", and the layout's version. */
const MAGIC = 0x454d564e;
const VERSION = 1;
/** Room for all queues that there can be. */
const IMAGE_BYTES = 1024;

export class MigratableNvme extends Nvme implements MigratableModel {
  override readonly name = 'migratable-nvme';
  readonly imageBytes = IMAGE_BYTES;

  save(): Uint8Array {
    const w = new ByteWriter(IMAGE_BYTES);
    w.u32(MAGIC);
    w.u32(VERSION);
    this.encodeState(w);
    const image = new Uint8Array(IMAGE_BYTES);
    image.set(w.take());
    return image;
  }

  load(image: Uint8Array): boolean {
    if (image.length !== IMAGE_BYTES) return false;
    const before = this.save();
    if (this.take(image)) return true;
    this.take(before);
    return false;
  }

  /** False: it is none of this model, or says what cannot be; what was there is lost. */
  private take(image: Uint8Array): boolean {
    try {
      const r = new ByteReader(image);
      if (r.u32() !== MAGIC || r.u32() !== VERSION) return false;
      this.decodeState(r);
      return this.check().length === 0;
    } catch (e) {
      if (e instanceof WireError) return false;
      throw e;
    }
  }
}

/**
 * What drivers of devices that are no PCI functions have in common: a table of ioctls, and nothing that can be mapped.
 *
 * Rule: nobody is asked to let go; an unbind waits until the device is closed (trace b096).
 */
import {
  answerIoctl,
  type AnyIoctlRow,
  type ByteReader,
  type ByteWriter,
  failed,
  type IoctlArgs,
  type IoctlReply,
  type IoctlResult,
  type Op,
  type Request,
  type View,
} from '@vfiolab/core';
import { type Errno, fail, type Result } from '@vfiolab/uapi';
import type { CommonDevice, DmaLogging, Driver, OpenFile } from './common-device.js';
import type { OpenDevice } from './device-call.js';

/** A device that has no log of the memory it writes to. */
export const NO_LOG: DmaLogging = { canStart: false, on: false, start: () => {}, stop: () => {}, take: () => [] };

export interface PlainDevice extends CommonDevice {
  readonly heldEventfds: number;
  encode(w: ByteWriter, view: View): void;
  decode(r: ByteReader): void;
  check(): string[];
  describe(): string[];
}

export abstract class PlainDriver<D extends PlainDevice> implements Driver {
  /** `unmappable`: what mmap answers. */
  protected constructor(
    readonly device: D,
    private readonly rows: ReadonlyMap<number, AnyIoctlRow<OpenDevice<D>>>,
    private readonly unmappable: Errno = 'EINVAL',
  ) {}

  abstract reset(): Op<IoctlResult>;
  abstract read(offset: number, length: number): Op<Result<Uint8Array>>;
  abstract write(offset: number, data: Uint8Array, client: string): Op<Result<number>>;

  get heldEventfds(): number {
    return this.device.heldEventfds;
  }

  *wakeUp(): Op<void> {}

  ioctl(on: OpenFile, req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply> {
    const found = this.rows.get(args.cmd);
    if (!found) return failed('ENOTTY');
    return answerIoctl(found, this.device.flags.profile, { ...on, device: this.device }, req, args);
  }

  *map(): Op<Result<number>> {
    return fail(this.unmappable);
  }

  *load(): Op<Result<Uint8Array>> {
    return fail('EIO');
  }

  *store(): Op<Result<number>> {
    return fail('EIO');
  }

  *request(): Op<void> {}

  encode(w: ByteWriter, view: View): void {
    this.device.encode(w, view);
  }

  decode(r: ByteReader): void {
    this.device.decode(r);
  }

  check(): string[] {
    return this.device.check();
  }

  describe(): string[] {
    return this.device.describe();
  }
}

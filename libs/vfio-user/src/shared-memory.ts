/** Memory that a VMM gives to its device as a descriptor, as the VMM itself sees it. */
import { native } from './native.js';

export class SharedMemory {
  readonly fd: number;
  private readonly mapping: number;

  /** `length`: bytes. Throws when there is no memory. */
  constructor(readonly length: number) {
    this.fd = native().memfd(length);
    this.mapping = native().map(this.fd, 0, length, 1);
    if (this.mapping < 0) throw new Error(`map: ${this.mapping}`);
  }

  /** Throws when not all of it is inside. */
  readInto(at: number, into: Uint8Array): void {
    if (native().peek(this.mapping, at, into) !== 0) throw new Error(`${into.length} bytes at ${at} are outside`);
  }

  write(at: number, bytes: Uint8Array): void {
    if (native().poke(this.mapping, at, bytes) !== 0) throw new Error(`${bytes.length} bytes at ${at} are outside`);
  }

  free(): void {
    native().unmap(this.mapping);
    native().close(this.fd);
  }
}

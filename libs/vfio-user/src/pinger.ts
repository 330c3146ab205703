/**
 * A client that does nothing but ask and wait, for measurements: no event loop lies between question and answer.
 *
 * Rule: it waits by looking again and again, which takes a processor: only for seconds, and never in a service.
 */
import { encode } from '@vfiolab/uapi';
import { DEFAULT_TRANSFER, versionPayload } from './capabilities.js';
import { type Native, native } from './native.js';
import type { Work } from './nvme-driver.js';
import * as wire from './wire.js';

const EAGAIN = -11;
const EINTR = -4;
const NOTHING = new Uint8Array(0);

export class Pinger {
  private readonly native: Native = native();
  private readonly fd: number;
  private readonly answer = new Uint8Array(1 << 16);
  private answerEnd = 0;
  private readonly noFds = new Int32Array(2);

  /** Throws when nobody listens, or the first message is refused. */
  constructor(path: string, { speaks = true } = {}) {
    this.fd = this.native.connect(path);
    if (this.fd < 0) throw new Error(`${path}: errno ${-this.fd}`);
    if (speaks) this.call(Pinger.message(wire.VERSION, versionPayload({ maxFds: 1, maxTransfer: DEFAULT_TRANSFER })));
  }

  static message(command: number, payload: Uint8Array): Uint8Array {
    const size = wire.HEADER_BYTES + payload.length;
    const bytes = wire.makeMessage({ id: 1, command, size, flags: wire.TYPE_COMMAND, error: 0 });
    bytes.set(payload, wire.HEADER_BYTES);
    return bytes;
  }

  static read(region: number, offset: number, count: number): Uint8Array {
    const place = encode(wire.vfio_user_region_access, { offset: BigInt(offset), region, count });
    return Pinger.message(wire.REGION_READ, place);
  }

  /** DMA_MAP of a descriptor's first bytes, and DMA_UNMAP. */
  static mapping(address: bigint, bytes: number): readonly [Uint8Array, Uint8Array] {
    const [map, unmap] = [wire.vfio_user_dma_map, wire.vfio_user_dma_unmap];
    const size = BigInt(bytes);
    return [
      Pinger.message(wire.DMA_MAP, encode(map, { argsz: map.size, flags: 3, offset: 0n, address, size })),
      Pinger.message(wire.DMA_UNMAP, encode(unmap, { argsz: unmap.size, flags: 0, address, size })),
    ];
  }

  /** One message there and its reply back; throws for an error reply. */
  call(message: Uint8Array, fds?: Int32Array): void {
    this.post(message, fds);
    let got = 0;
    for (let size = wire.HEADER_BYTES; got < size;) {
      const read = this.native.receive(this.fd, this.answer, got, this.noFds);
      if (read === EAGAIN || read === EINTR) continue;
      if (read <= 0) throw new Error(`the server has gone: ${read}`);
      got += read;
      if (got >= wire.HEADER_BYTES) ({ size } = wire.readHeader(this.answer, 0));
    }
    const { flags, error } = wire.readHeader(this.answer, 0);
    this.answerEnd = got;
    if ((flags & wire.ERROR) !== 0) throw new Error(`the server answered errno ${error}`);
  }

  /** One message that nobody answers. */
  private post(message: Uint8Array, fds?: Int32Array): void {
    for (let from = 0; from < message.length;) {
      const sent = this.native.send(this.fd, message, from, message.length, from === 0 ? fds : undefined);
      if (sent === EAGAIN || sent === EINTR) continue;
      if (sent < 0) throw new Error(`a message was not sent: ${sent}`);
      from += sent;
    }
  }

  /** Carries out the work. Throws what it throws. */
  run<T>(work: Work<T>): T {
    for (let payload = NOTHING; ;) {
      const { done, value } = work.next(payload);
      if (done) return value;
      payload = NOTHING;
      if (!value) continue;
      const fds = value.fds && Int32Array.from(value.fds);
      if (value.answered) {
        this.call(value.message, fds);
        payload = this.answer.slice(wire.HEADER_BYTES, this.answerEnd);
      } else this.post(value.message, fds);
    }
  }

  close(): void {
    this.native.close(this.fd);
  }
}

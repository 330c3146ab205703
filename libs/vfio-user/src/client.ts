/**
 * A vfio-user client: what a VMM is to the server, for tests and measurements.
 *
 * Words: the *memory* of a client is what it answers DMA_READ and DMA_WRITE with.
 * Rule: it sends what it is told, right or wrong, and gives back what came.
 */
import { decode, encode, type Errno, errnoName } from '@vfiolab/uapi';
import { DEFAULT_TRANSFER, MAX_FDS, versionPayload } from './capabilities.js';
import { Channel, type Message } from './channel.js';
import { native } from './native.js';
import type { Work } from './nvme-driver.js';
import * as wire from './wire.js';

export interface Answer {
  /** Undefined: it went well. */
  readonly errno: Errno | undefined;
  readonly payload: Uint8Array;
}

export interface ClientOptions {
  readonly maxFds?: number;
  readonly maxTransfer?: number;
}

/** What the server asks of the client's memory; undefined: an error reply; 'silence': none. */
export interface Memory {
  read(address: bigint, count: number): Uint8Array | 'silence' | undefined;
  write(address: bigint, data: Uint8Array): boolean | 'silence';
}

const ACCESS = wire.vfio_user_dma_access;

export class VfioUserClient {
  readonly native = native();
  /** Set by who has such memory. */
  memory: Memory | undefined;
  /** Commands of the server, as they came. */
  readonly heard: { readonly command: number; readonly bytes: number }[] = [];
  private readonly channel: Channel;
  private readonly waiting = new Map<number, (answer: Answer | undefined) => void>();
  private nextId = 0;
  private over: () => void = () => undefined;
  /** Resolves when the connection has ended. */
  readonly closed = new Promise<void>((resolve) => (this.over = resolve));

  private constructor(fd: number) {
    const limits = { maxFds: MAX_FDS, maxMessage: (1 << 24) + 4096 };
    const events = {
      message: (message: Message) => this.receive(message),
      garbage: () => this.close(),
      closed: () => this.ended(),
    };
    this.channel = new Channel(this.native, fd, events, limits);
  }

  /** Throws when nobody listens at the path. */
  static connect(path: string): VfioUserClient {
    const fd = native().connect(path);
    if (fd < 0) throw new Error(`${path}: ${errnoName(-fd) ?? `errno ${-fd}`}`);
    return new VfioUserClient(fd);
  }

  /** Connected, and VERSION answered. Throws when that is refused. */
  static async open(path: string, options: ClientOptions = {}): Promise<VfioUserClient> {
    const client = VfioUserClient.connect(path);
    const { errno } = await client.version(options);
    if (errno === undefined) return client;
    client.close();
    throw new Error(`${path}: VERSION answered ${errno}`);
  }

  version({ maxFds = MAX_FDS, maxTransfer = DEFAULT_TRANSFER }: ClientOptions = {}): Promise<Answer> {
    return this.call(wire.VERSION, versionPayload({ maxFds, maxTransfer }));
  }

  /** Asks and waits. ENODEV stands for a connection that has ended. */
  async call(command: number, payload: Uint8Array = new Uint8Array(0), fds: readonly number[] = []): Promise<Answer> {
    const id = this.nextId;
    this.nextId = (id + 1) & 0xffff;
    const answer = new Promise<Answer | undefined>((resolve) => this.waiting.set(id, resolve));
    if (this.channel.open) this.post(command, payload, { fds, id, flags: wire.TYPE_COMMAND });
    else this.ended();
    return (await answer) ?? { errno: 'ENODEV', payload: new Uint8Array(0) };
  }

  /** Sends a command without waiting: by default one that wants no reply. */
  post(
    command: number,
    payload: Uint8Array,
    { fds = [], id = 0xffff, flags = wire.NO_REPLY }: { fds?: readonly number[]; id?: number; flags?: number } = {},
  ): void {
    const size = wire.HEADER_BYTES + payload.length;
    const bytes = wire.makeMessage({ id, command, size, flags, error: 0 });
    bytes.set(payload, wire.HEADER_BYTES);
    this.channel.send(bytes, fds.length > 0 ? Int32Array.from(fds) : undefined);
  }

  /** The event loop goes round where the work looks again. Throws what the work throws, and for an error reply. */
  async run<T>(work: Work<T>): Promise<T> {
    let payload: Uint8Array = new Uint8Array(0);
    for (;;) {
      const { done, value } = work.next(payload);
      if (done) return value;
      if (!value) await new Promise((resolve) => setImmediate(resolve));
      else if (!value.answered) this.raw(value.message.slice());
      else {
        const answer = await this.call(
          wire.readHeader(value.message, 0).command,
          value.message.subarray(wire.HEADER_BYTES),
          value.fds,
        );
        if (answer.errno !== undefined) throw new Error(`the server answered ${answer.errno}`);
        ({ payload } = answer);
      }
    }
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.channel.send(bytes);
  }

  async read(region: number, offset: number, count: number): Promise<Answer> {
    const place = { offset: BigInt(offset), region, count };
    const answer = await this.call(wire.REGION_READ, encode(wire.vfio_user_region_access, place));
    return { errno: answer.errno, payload: answer.payload.subarray(wire.vfio_user_region_access.size) };
  }

  write(region: number, offset: number, data: Uint8Array): Promise<Answer> {
    return this.call(wire.REGION_WRITE, VfioUserClient.writePayload(region, offset, data));
  }

  static writePayload(region: number, offset: number, data: Uint8Array): Uint8Array {
    const head = encode(wire.vfio_user_region_access, { offset: BigInt(offset), region, count: data.length });
    const payload = new Uint8Array(head.length + data.length);
    payload.set(head);
    payload.set(data, head.length);
    return payload;
  }

  /** `flags`: DMA_READABLE, DMA_WRITABLE. */
  map(address: bigint, size: number, { fd, offset = 0, flags = 3 }: { fd?: number; offset?: number; flags?: number }) {
    const { size: argsz } = wire.vfio_user_dma_map;
    const fields = { argsz, flags, offset: BigInt(offset), address, size: BigInt(size) };
    return this.call(wire.DMA_MAP, encode(wire.vfio_user_dma_map, fields), fd === undefined ? [] : [fd]);
  }

  unmap(address: bigint, size: number, flags = 0): Promise<Answer> {
    const fields = { argsz: wire.vfio_user_dma_unmap.size, flags, address, size: BigInt(size) };
    return this.call(wire.DMA_UNMAP, encode(wire.vfio_user_dma_unmap, fields));
  }

  private receive(message: Message): void {
    for (const fd of message.fds.splice(0)) this.native.close(fd);
    const { header, payload } = message;
    if ((header.flags & wire.TYPE_MASK) === wire.TYPE_COMMAND) return this.serve(message);
    const settle = this.waiting.get(header.id);
    this.waiting.delete(header.id);
    const failed = (header.flags & wire.ERROR) !== 0;
    settle?.({ errno: failed ? (errnoName(header.error) ?? 'EINVAL') : undefined, payload });
  }

  private serve({ header, payload }: Message): void {
    const { address, count } = decode(ACCESS, payload);
    const { command, id } = header;
    this.heard.push({ command, bytes: Number(count) });
    const isRead = command === wire.DMA_READ;
    const answer = isRead
      ? this.memory?.read(address, Number(count))
      : this.memory?.write(address, payload.slice(ACCESS.size));
    if (answer === 'silence') return;
    const data = answer instanceof Uint8Array ? answer : new Uint8Array(0);
    const good = isRead ? answer instanceof Uint8Array : answer === true;
    const flags = wire.TYPE_REPLY | (good ? 0 : wire.ERROR);
    const size = wire.HEADER_BYTES + (good ? ACCESS.size + data.length : 0);
    const bytes = wire.makeMessage({ id, command, size, flags, error: good ? 0 : 14 });
    if (good) {
      bytes.set(payload.subarray(0, ACCESS.size), wire.HEADER_BYTES);
      bytes.set(data, wire.HEADER_BYTES + ACCESS.size);
    }
    this.channel.send(bytes);
  }

  private ended(): void {
    for (const settle of this.waiting.values()) settle(undefined);
    this.waiting.clear();
    this.over();
  }

  close(): void {
    this.channel.close();
  }
}

/**
 * One connected socket: messages in and out, with their descriptors.
 *
 * Rule: no read goes beyond the message that is being read, so a descriptor belongs to the message in which it came,
 * however messages follow each other in the stream. Nothing here throws for what a peer does.
 */
import { type Native, READABLE, type Watcher, WRITABLE } from './native.js';
import { type Header, HEADER_BYTES, readHeader } from './wire.js';

/** Bytes of replies that a peer may leave unread; then it is cut off. */
export const MAX_UNSENT = 16 << 20;
const EAGAIN = -11;
const EINTR = -4;

export interface Message {
  readonly header: Header;
  readonly payload: Uint8Array;
  /** The receiver's now. */
  readonly fds: number[];
  /** More descriptors came than may; they are closed. */
  readonly tooManyFds: boolean;
}

export interface ChannelEvents {
  message(message: Message): void;
  /** The header cannot be one, so nothing behind it can be understood. No more messages come. */
  garbage(header: Header): void;
  /** Once: the peer has gone, or was cut off. */
  closed(): void;
}

interface Unsent {
  readonly bytes: Uint8Array;
  from: number;
  fds: Int32Array | undefined;
}

export class Channel {
  private readonly head = new Uint8Array(HEADER_BYTES);
  private readonly fdsIn: Int32Array;
  private header: Header | undefined;
  private body = new Uint8Array(0);
  private got = 0;
  private fds: number[] = [];
  private tooMany = false;
  private watcher: Watcher | undefined;
  private readonly unsent: Unsent[] = [];
  private unsentBytes = 0;
  private reading = true;
  private closing = false;

  constructor(
    private readonly native: Native,
    private readonly fd: number,
    private readonly events: ChannelEvents,
    /** The most descriptors of a message, and its most bytes, header included. */
    private readonly limits: { readonly maxFds: number; readonly maxMessage: number },
  ) {
    this.fdsIn = new Int32Array(limits.maxFds + 1);
    const watcher = native.watch(fd, READABLE, (ready) => this.onReady(ready));
    if (typeof watcher === 'number') throw new Error(`watching a socket: errno ${-watcher}`);
    this.watcher = watcher;
  }

  get open(): boolean {
    return this.watcher !== undefined;
  }

  private onReady(ready: number): void {
    if (ready < 0) return this.close();
    if ((ready & WRITABLE) !== 0) this.flush();
    if ((ready & READABLE) !== 0 && this.reading) this.readOne();
  }

  /** Reads what there is of one message; the rest, and further ones, come with the next turn. */
  private readOne(): void {
    if (!this.header && !this.fill(this.head)) return;
    if (!this.header) {
      const header = readHeader(this.head);
      if (header.size < HEADER_BYTES || header.size > this.limits.maxMessage) {
        this.pause();
        this.dropFds();
        return this.events.garbage(header);
      }
      this.header = header;
      this.body = new Uint8Array(header.size - HEADER_BYTES);
      this.got = 0;
    }
    if (!this.fill(this.body)) return;
    const message = { header: this.header, payload: this.body, fds: this.fds, tooManyFds: this.tooMany };
    this.header = undefined;
    this.got = 0;
    this.fds = [];
    this.tooMany = false;
    this.events.message(message);
  }

  /** Reads until the buffer is full; false: it is not yet, or the connection has ended. */
  private fill(buffer: Uint8Array): boolean {
    while (this.got < buffer.length) {
      const read = this.native.receive(this.fd, buffer, this.got, this.fdsIn);
      if (read === EINTR) continue;
      if (read === EAGAIN) return false;
      if (read <= 0) {
        this.close();
        return false;
      }
      this.got += read;
      this.takeFds();
    }
    return true;
  }

  private takeFds(): void {
    const count = this.fdsIn[0]!;
    const room = this.limits.maxFds - this.fds.length;
    if (count < 0 || count > room) this.tooMany = true;
    for (let i = 1; i <= count; i++)
      if (this.fds.length < this.limits.maxFds) this.fds.push(this.fdsIn[i]!);
      else this.native.close(this.fdsIn[i]!);
  }

  private dropFds(): void {
    for (const fd of this.fds.splice(0)) this.native.close(fd);
  }

  /** `fds` are the caller's, who keeps them open until the peer has answered: the bytes may wait for room. */
  send(bytes: Uint8Array, fds?: Int32Array): void {
    if (!this.open) return;
    if (this.unsent.length === 0) {
      const sent = this.native.send(this.fd, bytes, 0, bytes.length, fds);
      if (sent === bytes.length) return;
      if (sent < 0 && sent !== EAGAIN && sent !== EINTR) return this.close();
      this.unsent.push({ bytes, from: Math.max(sent, 0), fds: sent > 0 ? undefined : fds });
    } else this.unsent.push({ bytes, from: 0, fds });
    this.unsentBytes += bytes.length;
    if (this.unsentBytes > MAX_UNSENT) this.close();
    else this.wants();
  }

  private flush(): void {
    for (let first = this.unsent[0]; first; first = this.unsent[0]) {
      const sent = this.native.send(this.fd, first.bytes, first.from, first.bytes.length, first.fds);
      if (sent === EAGAIN || sent === EINTR) return;
      if (sent < 0) return this.close();
      first.from += sent;
      first.fds = undefined;
      if (first.from < first.bytes.length) return;
      this.unsent.shift();
      this.unsentBytes -= first.bytes.length;
    }
    this.wants();
    if (this.closing) this.close();
  }

  /** Bytes that the peer has yet to read. */
  get backlog(): number {
    return this.unsentBytes;
  }

  private wants(): void {
    if (this.watcher)
      this.native.rewatch(this.watcher, (this.reading ? READABLE : 0) | (this.unsent.length > 0 ? WRITABLE : 0));
  }

  /** No more messages until `resume`. */
  pause(): void {
    if (!this.reading) return;
    this.reading = false;
    this.wants();
  }

  resume(): void {
    if (this.reading) return;
    this.reading = true;
    this.wants();
  }

  /** Closes when what was sent is with the peer. */
  closeSoon(): void {
    this.pause();
    if (this.unsent.length === 0) this.close();
    else this.closing = true;
  }

  close(): void {
    if (!this.watcher) return;
    this.native.unwatch(this.watcher);
    this.watcher = undefined;
    this.dropFds();
    this.unsent.length = 0;
    this.native.close(this.fd);
    this.events.closed();
  }
}

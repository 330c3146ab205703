/**
 * One connected socket: messages in and out, with their descriptors.
 *
 * Rule: no read goes beyond the message that is being read, so a descriptor belongs to the message in which it came,
 * however messages follow each other in the stream. Nothing here throws for what a peer does.
 */
import { availableParallelism } from 'node:os';
import { type Native, READABLE, type Watcher, WRITABLE } from './native.js';
import { type Header, HEADER_BYTES, readHeader } from './wire.js';

/** Bytes of replies that a peer may leave unread; then it is cut off. */
export const MAX_UNSENT = 16 << 20;
const EAGAIN = -11;
const EINTR = -4;
/** Messages are pieces of slabs: most are small, and gone before the slab is full. */
const SLAB = 65536;
/** A slab with less room than this is not begun again: messages up to so many bytes are read at once. */
const SLAB_END = 4352;
/**
 * How long the next message is waited for by looking, in microseconds, when the last one came as soon as that: waking up costs
 * more than the message. On one processor it would keep the peer from sending. Who waited in vain does without for twice as
 * many messages each time.
 */
const PATIENCE_US = availableParallelism() > 1 ? 50 : 0;
const MAX_WITHOUT = 64;
const NO_BYTES = new Uint8Array(0);
/** So long may messages follow each other before the event loop has its turn, ms. */
const TURN_MS = 0.5;

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
  private slab = new Uint8Array(SLAB);
  /** Where the next message goes in it. */
  private at = 0;
  private readonly fdsIn: Int32Array;
  /** Of the message that has not come in whole: its header, or what there is of it, and its body. */
  private head = NO_BYTES;
  private header: Header | undefined;
  private body = NO_BYTES;
  private got = 0;
  private fds: number[] = [];
  private tooMany = false;
  private watcher: Watcher | undefined;
  private readonly unsent: Unsent[] = [];
  private unsentBytes = 0;
  private reading = true;
  private closing = false;
  private patience = 0;
  /** Messages that are not waited for, and how many it will be after the next wait in vain. */
  private without = 0;
  private nextWithout = 1;
  /** When the event loop last had its turn, and when there was last nothing to read. */
  private turnBegan = 0;
  private idleSince = 0;

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
    if ((ready & READABLE) === 0 || !this.reading) return;
    this.turnBegan = performance.now();
    const isSoon = (this.turnBegan - this.idleSince) * 1000 < PATIENCE_US;
    this.patience = isSoon && this.without === 0 ? PATIENCE_US : 0;
    if (isSoon && this.without > 0) this.without--;
    this.readOne(0);
  }

  /**
   * For who has done with all messages: reads what there is of the next one, and waits for it for a moment where that is
   * promising. It comes as an event, as all do.
   */
  soon(): void {
    if (!this.open || !this.reading) return;
    if (this.patience > 0 && performance.now() - this.turnBegan < TURN_MS) this.waited(this.readOne(this.patience));
    this.idleSince = performance.now();
  }

  private waited(came: boolean): void {
    if (came) this.nextWithout = 1;
    else {
      this.patience = 0;
      this.without = this.nextWithout;
      this.nextWithout = Math.min(2 * this.nextWithout, MAX_WITHOUT);
    }
  }

  /** Reads what there is of one message; the rest, and further ones, come with the next turn. False: there was nothing. */
  private readOne(patience: number): boolean {
    if (this.header) return this.readRest();
    if (this.head.length > 0) return this.readRestOfHead();
    if (this.slab.length - this.at < SLAB_END) {
      this.slab = new Uint8Array(SLAB);
      this.at = 0;
    }
    const { slab, at } = this;
    const read = this.native.next(this.fd, slab, at, this.fdsIn, patience);
    if (read === EAGAIN || read === EINTR) return false;
    if (read <= 0) {
      this.close();
      return true;
    }
    if (this.fdsIn[0] !== 0) this.takeFds();
    if (read < HEADER_BYTES) {
      this.head = slab.slice(at, at + read);
      return true;
    }
    const header = readHeader(slab, at);
    if (read === header.size && this.isWhole(header)) {
      this.at = at + read;
      this.deliver(header, slab.subarray(at + HEADER_BYTES, at + read));
    } else this.begin(header, slab.subarray(at + HEADER_BYTES, at + read));
    return true;
  }

  /** A header came in pieces. */
  private readRestOfHead(): boolean {
    const { length } = this.head;
    const whole = new Uint8Array(HEADER_BYTES);
    whole.set(this.head);
    this.got = length;
    const full = this.fill(whole);
    this.head = whole.subarray(0, this.got);
    if (!full) return this.got > length;
    this.head = NO_BYTES;
    this.begin(readHeader(whole, 0), NO_BYTES);
    return true;
  }

  /** False: the header cannot be one. */
  private isWhole({ size }: Header): boolean {
    return size >= HEADER_BYTES && size <= this.limits.maxMessage;
  }

  /** A message of which not all has come. */
  private begin(header: Header, come: Uint8Array): void {
    if (!this.isWhole(header)) {
      this.pause();
      this.dropFds();
      return this.events.garbage(header);
    }
    this.header = header;
    this.body = new Uint8Array(header.size - HEADER_BYTES);
    this.body.set(come);
    this.got = come.length;
    this.readRest();
  }

  private readRest(): boolean {
    const before = this.got;
    const { header, body } = this;
    if (!this.fill(body)) return this.got > before;
    this.header = undefined;
    this.body = NO_BYTES;
    this.deliver(header!, body);
    return true;
  }

  private deliver(header: Header, payload: Uint8Array): void {
    const message = { header, payload, fds: this.fds, tooManyFds: this.tooMany };
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
    this.sendFrom(bytes, bytes.length, fds, false);
  }

  /** The first bytes of a buffer that the caller uses again. */
  sendCopy(buffer: Uint8Array, length: number): void {
    this.sendFrom(buffer, length, undefined, true);
  }

  private sendFrom(buffer: Uint8Array, length: number, fds: Int32Array | undefined, copies: boolean): void {
    if (!this.open) return;
    let from = 0;
    if (this.unsent.length === 0) {
      const sent = this.native.send(this.fd, buffer, 0, length, fds);
      if (sent === length) return;
      if (sent < 0 && sent !== EAGAIN && sent !== EINTR) return this.close();
      from = Math.max(sent, 0);
    }
    const bytes = copies ? buffer.slice(0, length) : buffer;
    this.unsent.push({ bytes, from, fds: from > 0 ? undefined : fds });
    this.unsentBytes += length;
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

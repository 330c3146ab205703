import { Channel, type Message } from './channel.js';
import type { Native } from './native.js';
import * as wire from './wire.js';

const EAGAIN = -11;
const request = (payload: number): Uint8Array => {
  const size = wire.HEADER_BYTES + payload;
  return wire.makeMessage({ id: 7, command: wire.REGION_READ, size, flags: 0, error: 0 }).fill(payload, 16);
};

/** A channel on a socket that is played here: what may be read now, and how it was asked for. */
function played(): { channel: Channel; ready(): void; stream: Uint8Array[]; waits: number[]; heard: Message[] } {
  const stream: Uint8Array[] = [];
  const [waits, heard]: [number[], Message[]] = [[], []];
  let ready = (_events: number): void => undefined;
  const take = (buffer: Uint8Array, from: number, fds: Int32Array, most: number): number => {
    fds[0] = 0;
    const first = stream[0];
    if (!first) return EAGAIN;
    const got = Math.min(first.length, buffer.length - from, most);
    buffer.set(first.subarray(0, got), from);
    if (got < first.length) stream[0] = first.subarray(got);
    else stream.shift();
    return got;
  };
  const native = {
    watch: (_fd: number, _events: number, callback: typeof ready) => ((ready = callback), {}),
    unwatch: () => 0,
    rewatch: () => 0,
    close: () => 0,
    receive: (_fd: number, buffer: Uint8Array, from: number, fds: Int32Array) => take(buffer, from, fds, Infinity),
    next: (_fd: number, buffer: Uint8Array, from: number, fds: Int32Array, patience: number) => {
      if (patience > 0) waits.push(patience);
      const got = take(buffer, from, fds, wire.HEADER_BYTES);
      if (got < wire.HEADER_BYTES) return got;
      const { size } = wire.readHeader(buffer, from);
      if (size === got || size > buffer.length - from) return got;
      return got + Math.max(take(buffer, from + got, fds, size - got), 0);
    },
  } as unknown as Native;
  const events = { message: (m: Message) => void heard.push(m), garbage: () => undefined, closed: () => undefined };
  const channel = new Channel(native, 3, events, { maxFds: 1, maxMessage: 1 << 20 });
  return { channel, ready: () => ready(1), stream, waits, heard };
}

const twice = (line: ReturnType<typeof played>): void => {
  line.stream.push(request(16));
  line.ready();
  line.channel.soon();
};

it('who was answered and asks again at once is waited for, but not for long where it was in vain', () => {
  const line = played();
  for (let i = 0; i < 20_000; i++) twice(line);
  expect(line.heard).toHaveLength(20_000);
  expect(line.waits.length).toBeGreaterThan(3);
  // 1, 2, 4 ... 64 messages lie between waits in vain.
  expect(line.waits.length).toBeLessThan(7 + 20_000 / 64);
});

it('messages that follow each other without a pause leave the event loop its turns', () => {
  const line = played();
  for (let i = 0; i < 4; i++) twice(line);
  for (let i = 0; i < 1e6 && line.waits.length === 0; i++) twice(line);
  for (let i = 0; i < 500_000; i++) line.stream.push(request(16));
  const before = line.heard.length;
  line.ready();
  const began = performance.now();
  for (let last = -1; last !== line.heard.length;) {
    last = line.heard.length;
    line.channel.soon();
  }
  expect(performance.now() - began).toBeLessThan(50);
  expect(line.heard.length - before).toBeLessThan(500_000);
});

it('messages of any length follow each other in any pieces', () => {
  const line = played();
  const sizes = [0, 16, 1, 4096, 70_000, 4300, 65_536 - 16, 100, 200_000, 16];
  const bytes = Buffer.concat(sizes.map(request));
  for (const piece of [1, 7, 15, 17, 64, 5000]) {
    line.heard.length = 0;
    for (let at = 0; at < bytes.length; at += piece) {
      line.stream.push(Uint8Array.from(bytes.subarray(at, at + piece)));
      // A read ends with its message.
      while (line.stream.length > 0) {
        const { length } = line.heard;
        line.ready();
        if (line.heard.length === length) break;
      }
    }
    while (line.stream.length > 0) line.ready();
    expect(line.heard.map(({ payload }) => payload.length)).toEqual(sizes);
    for (const { payload } of line.heard) expect(payload.every((byte) => byte === (payload.length & 0xff))).toBe(true);
  }
});

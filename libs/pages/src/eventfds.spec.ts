import {
  ByteReader,
  ByteWriter,
  type CallEffect,
  clientAddress,
  isOp,
  MAX_FILES_PER_CLIENT,
  pagesApi,
} from '@vfiolab/core';
import { Eventfds, MAX_EVENTFDS } from './eventfds.js';
import { Bench, errnoOf, type TestProcess, value } from './testing/harness.js';

const MAX = 2n ** 64n - 1n;
const DEVICE = 'device:0000:65:00_0';

const eventfd = (p: TestProcess, init = 0n): string => value(p.call(pagesApi.eventfd, { init }));
const write = (p: TestProcess, token: string, n: bigint) => errnoOf(p.call(pagesApi.eventfdWrite, { token, value: n }));
const read = (p: TestProcess, token: string) => {
  const reply = p.call(pagesApi.eventfdRead, { token });
  return reply.ok ? reply.value : reply.errno;
};
const hold = (bench: Bench, token: string, client: string) =>
  bench.call(DEVICE, pagesApi.eventfdHold, { token, client });

describe('the counter', () => {
  it.each([
    ['nothing written: a read waits', 0n, [], 'EAGAIN'],
    ['the initial value', 5n, [], 5n],
    [
      'writes add up',
      5n,
      [
        [1n, 0],
        [2n, 0],
      ],
      8n,
    ],
    ['writing 0 is fine and changes nothing', 0n, [[0n, 0]], 'EAGAIN'],
    ['2^64 - 1 is never a value', 1n, [[MAX, 'EINVAL']], 1n],
    ['up to 2^64 - 2', 1n, [[MAX - 2n, 0]], MAX - 1n],
    ['a write beyond that waits', 1n, [[MAX - 1n, 'EAGAIN']], 1n],
    [
      'a full counter still takes 0',
      0n,
      [
        [MAX - 1n, 0],
        [0n, 0],
        [1n, 'EAGAIN'],
      ],
      MAX - 1n,
    ],
  ] as [string, bigint, [bigint, string | 0][], bigint | string][])('%s', (_rule, init, writes, left) => {
    const p = new Bench(1).start('vm');
    const token = eventfd(p, init);
    for (const [n, errno] of writes) expect(write(p, token, n)).toBe(errno);
    expect(read(p, token)).toBe(left);
    expect(read(p, token)).toBe('EAGAIN');
  });

  it.each([
    [2n ** 32n - 1n, 0],
    [2n ** 32n, 'EINVAL'],
  ] as const)('the initial value is an unsigned int: %s', (init, errno) => {
    expect(errnoOf(new Bench(1).start('vm').call(pagesApi.eventfd, { init }))).toBe(errno);
  });

  it("a device's signal adds 1 and stays at 2^64 - 1", () => {
    const bench = new Bench(1);
    const p = bench.start('vm');
    const token = eventfd(p);
    write(p, token, MAX - 1n);
    const event = value(hold(bench, token, p.client));
    for (let i = 0; i < 3; i++) bench.call(DEVICE, pagesApi.eventfdSignal, { event });
    expect(write(p, token, 0n)).toBe('EAGAIN');
    expect(read(p, token)).toBe(MAX);
  });
});

describe('tokens and holds', () => {
  it.each([
    ['another client', (_p: TestProcess, other: TestProcess, token: string) => ({ who: other, token })],
    ['a token that never was', (p: TestProcess) => ({ who: p, token: 'f'.repeat(8) })],
  ])('EBADF for %s', (_who, pick) => {
    const bench = new Bench(1);
    const [p, other] = [bench.start('vm'), bench.start('other')];
    const { who, token } = pick(p, other, eventfd(p, 1n));
    expect([read(who, token), write(who, token, 1n)]).toEqual(['EBADF', 'EBADF']);
    expect(errnoOf(who.call(pagesApi.eventfdClose, { token }))).toBe('EBADF');
    expect(errnoOf(hold(bench, token, who.client))).toBe('EBADF');
  });

  it('a device keeps a closed eventfd; its signals disturb nobody', () => {
    const bench = new Bench(1);
    const p = bench.start('vm');
    const token = eventfd(p);
    const event = value(hold(bench, token, p.client));
    value(p.call(pagesApi.eventfdClose, { token }));
    bench.call(DEVICE, pagesApi.eventfdSignal, { event });
    expect([bench.events, bench.core.eventfds.size, read(p, token)]).toEqual([[], 1, 'EBADF']);
    bench.call(DEVICE, pagesApi.eventfdDrop, { event });
    expect(bench.core.eventfds.size).toBe(0);
    expect(() => bench.call(DEVICE, pagesApi.eventfdSignal, { event })).toThrow('is not held');
  });

  it('come back from a snapshot: token, counter, hold', () => {
    const bench = new Bench(1);
    const p = bench.start('vm');
    const token = eventfd(p, 5n);
    const event = value(hold(bench, token, p.client));
    bench.restart();
    bench.call(DEVICE, pagesApi.eventfdSignal, { event });
    expect([read(p, token), eventfd(p) === token]).toEqual([6n, false]);
    value(p.call(pagesApi.eventfdClose, { token }));
    bench.call(DEVICE, pagesApi.eventfdDrop, { event });
    expect(bench.core.eventfds.size).toBe(1);
  });

  it('tells the client when it becomes readable, once', () => {
    const bench = new Bench(1);
    const p = bench.start('vm');
    const token = eventfd(p);
    const event = value(hold(bench, token, p.client));
    for (let i = 0; i < 2; i++) bench.call(DEVICE, pagesApi.eventfdSignal, { event });
    expect(bench.events).toEqual([{ to: p.client, token }]);
    expect(read(p, token)).toBe(2n);
    write(p, token, 1n);
    expect(bench.events.length).toBe(2);
  });

  it('needs a process', () => {
    const bench = new Bench(1);
    expect(errnoOf(bench.call(clientAddress('nobody'), pagesApi.eventfd, { init: 0n }))).toBe('ESRCH');
  });

  it('one too many of a client is EMFILE, one too many of the host ENFILE', () => {
    const bench = new Bench(1);
    const clients = MAX_EVENTFDS / MAX_FILES_PER_CLIENT;
    for (let c = 0; c < clients; c++) {
      const p = bench.start(`c${c}`);
      for (let i = 0; i < MAX_FILES_PER_CLIENT; i++) value(bench.quick(p.client, pagesApi.eventfd, { init: 0n }));
      if (c < clients - 1) expect(errnoOf(p.call(pagesApi.eventfd, { init: 0n }))).toBe('EMFILE');
    }
    expect(errnoOf(bench.start('late').call(pagesApi.eventfd, { init: 0n }))).toBe('ENFILE');
  });
});

describe('watches', () => {
  const CLIENT = clientAddress('vm');
  const made = () => {
    const events = new Eventfds(() => undefined);
    return { events, token: value(events.create(CLIENT, 2n, new Uint8Array(32).fill(7))) };
  };
  /** The devices that a write is told to, in order; the counter is read between the calls. */
  const toldBy = (events: Eventfds, token: string): unknown[] => {
    const op = events.write(CLIENT, token, 1n);
    if (!isOp(op)) return [op];
    const told: unknown[] = [];
    for (let step = op.next(); !step.done; step = op.next(undefined))
      told.push([(step.value as CallEffect).to, (step.value as CallEffect).args, events.read(CLIENT, token)]);
    return told;
  };

  test('a write is told to every device once, and taken up', () => {
    const { events, token } = made();
    const { event, ready } = value(events.watch(CLIENT, token, DEVICE));
    expect(ready).toBe(true);
    events.watch(CLIENT, token, DEVICE);
    events.watch(CLIENT, token, 'device:0000:01:00_0');
    const empty = { ok: false, errno: 'EAGAIN' };
    expect(toldBy(events, token)).toEqual([
      ['device:0000:01:00_0', { event }, empty],
      [DEVICE, { event }, empty],
    ]);
  });

  test('the last one that goes leaves an eventfd like any other; a signal of a device is counted', () => {
    const { events, token } = made();
    const { event } = value(events.watch(CLIENT, token, DEVICE));
    events.signal(event);
    expect(value(events.read(CLIENT, token))).toBe(3n);
    events.unwatch(event, DEVICE);
    expect(toldBy(events, token)).toEqual([{ ok: true, value: undefined }]);
    expect(value(events.read(CLIENT, token))).toBe(1n);
    expect(() => events.unwatch(event, DEVICE)).toThrow('is not held');
  });

  test('a snapshot brings them back', () => {
    const { events, token } = made();
    const { event } = value(events.watch(CLIENT, token, DEVICE));
    const w = new ByteWriter();
    events.encode(w, 'snapshot');
    const again = new Eventfds(() => undefined);
    again.decode(new ByteReader(w.take()));
    expect(toldBy(again, token)).toHaveLength(1);
    again.unwatch(event, DEVICE);
    expect(() => again.unwatch(event, DEVICE)).toThrow('is not held');
  });
});

import { CounterCore, counterApi } from './testing/counter-core.js';
import { type Frame, TinyNet } from './testing/tiny-net.js';
import { decodeHeader, encodeEmptyFrame, encodeFrame, REPLY, REQUEST, STATUS } from './frame.js';
import { JournalFull } from './journal.js';
import { bootApi } from './protocol/boot.js';
import { WINDOW } from './session.js';

function twoCounters(limits = {}): { net: TinyNet; a: CounterCore; b: CounterCore } {
  const net = new TinyNet(limits);
  const a = new CounterCore();
  const b = new CounterCore();
  net.start('a', a);
  net.start('b', b);
  return { net, a, b };
}

const isReply = ({ frame }: Frame): boolean => decodeHeader(frame).kind === REPLY;

describe('a request', () => {
  it('is answered', async () => {
    const { net } = twoCounters();
    const answer = net.client.call('a', counterApi.add, { n: 5 });
    net.settle();
    await expect(answer).resolves.toBe(5);
  });

  it('that is doubled has its effect once, and both copies get the same answer', () => {
    const { net, a } = twoCounters();
    void net.client.call('a', counterApi.add, { n: 5 });
    const request = net.wire.shift()!;
    net.deliver(request);
    net.deliver(request);
    expect(a.total).toBe(5);
    const replies = net.wire.filter(isReply);
    expect(replies).toHaveLength(2);
    expect(replies[0]!.frame).toEqual(replies[1]!.frame);
  });

  it('whose answer is lost is asked again with the same id, and has its effect once', async () => {
    const { net, a } = twoCounters();
    const answer = net.client.call('a', counterApi.add, { n: 5 });
    net.settle((f) => !isReply(f));
    net.tick(1);
    net.tick(1000);
    net.settle();
    await expect(answer).resolves.toBe(5);
    expect(a.total).toBe(5);
  });

  it('that arrives after its deadline is not begun', async () => {
    const { net, a } = twoCounters();
    const answer = net.client.call('a', counterApi.add, { n: 5 }, net.now + 10);
    net.now += 11;
    net.settle();
    await expect(answer).rejects.toThrow('after its deadline');
    expect(a.total).toBe(0);
  });

  it('of an unknown method is refused and changes nothing', async () => {
    const { net, a } = twoCounters();
    const answer = net.client.call('a', { ...counterApi.add, id: 999 }, { n: 5 });
    net.settle();
    await expect(answer).rejects.toThrow('do not fit');
    expect(a.total).toBe(0);
  });

  it.each([
    ['too short', (f: Uint8Array) => f.subarray(0, f.length - 1)],
    ['too long', (f: Uint8Array) => new Uint8Array([...f, 0])],
  ])('with a payload that is %s is refused and changes nothing', async (_why, change) => {
    const { net, a } = twoCounters();
    const answer = net.client.call('a', counterApi.add, { n: 5 });
    const request = net.wire.shift()!;
    net.deliver({ ...request, frame: change(request.frame) });
    net.settle();
    await expect(answer).rejects.toThrow('do not fit');
    expect(a.total).toBe(0);
  });

  it('for a method between services is forbidden to a client', async () => {
    const { net } = twoCounters();
    const answer = net.client.call('a', counterApi.internal, undefined);
    net.settle();
    await expect(answer).rejects.toThrow('only services');
  });

  it('of a client that is gone is refused, however late it arrives', async () => {
    const { net, a } = twoCounters();
    const late = net.client.call('a', counterApi.add, { n: 5 });
    const request = net.wire.shift()!;
    a.surroundings!.forget('client:test');
    net.deliver(request);
    net.settle();
    await expect(late).rejects.toThrow('has ended');
    expect(a.total).toBe(0);
  });

  it('cannot push the clock out of its range', () => {
    const { net } = twoCounters();
    const header = {
      kind: REQUEST,
      flags: 0,
      method: counterApi.add.id,
      epoch: 0,
      id: 1,
      floor: 1,
      seen: 0,
      deadline: 0,
    };
    net.deliver({
      from: 'client:x',
      to: 'a',
      frame: encodeFrame({ ...header, clock: Number.MAX_SAFE_INTEGER }, counterApi.add.args, { n: 1 }),
    });
    expect(net.actors.get('a')!.machine.clock).toBeLessThan(2 ** 49);
  });

  it('that is no frame at all is ignored', () => {
    const { net, a } = twoCounters();
    for (const bytes of [[], [1], [9, 9, 9], Array(100).fill(255)])
      net.deliver({ from: 'client:x', to: 'a', frame: new Uint8Array(bytes) });
    expect(net.failures).toEqual([]);
    expect(a.total).toBe(0);
  });

  it('for entropy gets 32 bytes from the shell, the same in replay', async () => {
    const { net } = twoCounters();
    const answer = net.client.call('a', counterApi.secret, undefined);
    net.settle();
    await expect(answer).resolves.toBe('7'.repeat(32));
  });
});

describe('the journal', () => {
  it('holds a request before the request has an effect', () => {
    const { net, a } = twoCounters();
    net.journals.get('a')!.broken = true;
    void net.client.call('a', counterApi.add, { n: 5 });
    net.settle();
    expect(a.total).toBe(0);
    expect(net.failures.map((e) => e.message)).toEqual(['disk broken']);
    expect(net.actors.get('a')!.state).toBe('failed');
  });

  it('that is full makes the actor read-only: what came waits, it says why, and goes on by itself', async () => {
    const { net, a } = twoCounters();
    const journal = net.journals.get('a')!;
    void net.client.call('a', counterApi.add, { n: 1 });
    net.settle();
    journal.full = true;
    const answers = [net.client.call('a', counterApi.add, { n: 5 }), net.client.call('a', counterApi.add, { n: 7 })];
    net.settle();
    expect([a.total, net.actors.get('a')!.readOnly, net.actors.get('a')!.state]).toEqual([1, true, 'serving']);
    const seen = net.client.call('a', bootApi.inspect, undefined);
    net.settle();
    expect((await seen).lines[0]).toBe('read-only: disk full');
    net.tick(60);
    net.settle();
    expect([a.total, net.failures]).toEqual([1, []]);
    journal.full = false;
    net.tick(60);
    net.settle();
    expect(await Promise.all(answers)).toEqual([6, 13]);
    expect(net.room).toEqual(['a: disk full', 'a: room again']);
    net.crash('a');
    const again = new CounterCore();
    net.start('a', again);
    expect([again.total, net.failures]).toEqual([13, []]);
  });

  it('that is full when a snapshot is due keeps its records, and the snapshot comes later', () => {
    const { net, a } = twoCounters({ snapshotEvery: 2, snapshotGrowth: 0 });
    const journal = net.journals.get('a')!;
    const { saveSnapshot, snapshot } = journal;
    journal.saveSnapshot = () => {
      throw new JournalFull('disk full');
    };
    for (let i = 0; i < 6; i++) {
      void net.client.call('a', counterApi.add, { n: 1 });
      net.settle();
    }
    expect([a.total, journal.snapshot === snapshot, net.failures]).toEqual([6, true, []]);
    journal.saveSnapshot = saveSnapshot;
    for (let i = 0; i < 6; i++) {
      void net.client.call('a', counterApi.add, { n: 1 });
      net.settle();
    }
    expect(journal.snapshot).not.toBe(snapshot);
  });

  it('replays to the same outputs though requests were held for a snapshot in between', () => {
    const { net } = twoCounters({ snapshotEvery: 2, snapshotGrowth: 0 });
    // It waits for somebody, so that a snapshot cannot be taken and requests are held.
    void net.client.call('a', counterApi.waitFor, { atLeast: 100 });
    for (let i = 0; i < 12; i++) {
      void net.client.call('a', counterApi.add, { n: 1 });
      net.settle();
      net.tick(60);
      net.settle();
    }
    net.crash('a');
    const again = new CounterCore();
    net.start('a', again);
    expect([net.failures, again.total > 4]).toEqual([[], true]);
  });

  it('a clock that is set back by an hour stops no repetition', async () => {
    const { net } = twoCounters();
    const answer = net.client.call('a', counterApi.addAt, { peer: 'b', n: 3 });
    net.settle(({ from, to }) => !(from === 'a' && to === 'b'));
    net.tick(60);
    net.settle(({ from, to }) => !(from === 'a' && to === 'b'));
    net.now -= 3_600_000;
    for (let i = 0; i < 10; i++) {
      net.tick(60);
      net.settle();
    }
    expect(await answer).toBe(3);
  });

  it('brings back the state of a crashed actor', () => {
    const { net } = twoCounters();
    void net.client.call('a', counterApi.add, { n: 5 });
    net.settle();
    net.crash('a');
    const again = new CounterCore();
    net.start('a', again);
    expect(again.total).toBe(5);
  });

  it('brings back answers too: a repetition after the crash has no second effect', async () => {
    const { net } = twoCounters();
    const answer = net.client.call('a', counterApi.add, { n: 5 });
    net.settle((f) => !isReply(f));
    net.crash('a');
    const again = new CounterCore();
    net.start('a', again);
    net.tick(1);
    net.tick(1000);
    net.settle();
    await expect(answer).resolves.toBe(5);
    expect(again.total).toBe(5);
  });

  it('brings back operations in flight: they end exactly once', async () => {
    const { net, b } = twoCounters();
    const answer = net.client.call('a', counterApi.addAt, { peer: 'b', n: 3 });
    net.settle((f) => f.from !== 'b');
    net.crash('a');
    const again = new CounterCore();
    net.start('a', again);
    net.settle();
    net.tick(1);
    net.tick(1000);
    net.settle();
    await expect(answer).resolves.toBe(3);
    expect([again.total, b.total]).toEqual([3, 3]);
  });

  it('may begin with a snapshot, which is taken when nothing is in flight', async () => {
    const { net, a } = twoCounters({ snapshotEvery: 3 });
    for (let i = 0; i < 100; i++) {
      void net.client.call('a', counterApi.add, { n: 1 });
      net.settle();
    }
    expect(net.journals.get('a')!.snapshot).toBeDefined();
    expect(net.journals.get('a')!.records.length).toBeLessThan(30);
    net.crash('a');
    const again = new CounterCore();
    net.start('a', again);
    expect(again.total).toBe(a.total);
  });

  it('holds requests for a moment when a snapshot is overdue and operations are in flight, and lets them go on then', async () => {
    const { net, a } = twoCounters({ snapshotEvery: 4 });
    const slow = net.client.call('a', counterApi.addAt, { peer: 'b', n: 100 });
    const late: Frame[] = [];
    net.settle((f) => (f.from === 'b' ? (late.push(f), false) : true));
    for (let i = 0; i < 8; i++) {
      void net.client.call('a', counterApi.add, { n: 1 });
      net.settle((f) => f.from !== 'b');
    }
    const before = a.total;
    expect(before).toBeLessThan(8);
    const held = net.client.call('a', counterApi.add, { n: 1 });
    net.settle((f) => f.from !== 'b');
    expect(a.total).toBe(before);
    for (const f of late) net.deliver(f);
    net.settle();
    net.tick(1);
    net.settle();
    await expect(Promise.all([slow, held])).resolves.toBeDefined();
    expect(a.total).toBe(100 + 8 + 1);
    expect(net.journals.get('a')!.snapshot?.seq).toBeGreaterThan(8);
  });

  it('does not hold requests for ever: after a while they go on without a snapshot', async () => {
    const { net, a } = twoCounters({ snapshotEvery: 2 });
    void net.client.call('a', counterApi.waitFor, { atLeast: 50 });
    for (let i = 0; i < 50; i++) {
      void net.client.call('a', counterApi.add, { n: 1 });
      net.settle();
      net.tick(60);
      net.settle();
    }
    for (let i = 0; i < 20; i++) {
      net.tick(60);
      net.settle();
    }
    expect(a.total).toBe(50);
  });

  it('that ends before a record its witness saw stops the actor with a clear message', () => {
    const { net } = twoCounters();
    net.crash('a');
    net.registrar.witnessed = { seq: 99, hash: 'x' };
    net.start('a', new CounterCore());
    expect(net.failures[0]?.message).toMatch(/record 99 was witnessed: its tail is lost/);
    expect(net.actors.get('a')!.state).toBe('failed');
  });

  it('that lost its tail is noticed by what others have heard', () => {
    const { net } = twoCounters();
    void net.client.call('a', counterApi.addAt, { peer: 'b', n: 3 });
    net.settle();
    net.crash('b');
    net.journals.get('b')!.records.length = 0;
    net.start('b', new CounterCore());
    void net.client.call('a', counterApi.addAt, { peer: 'b', n: 3 });
    net.settle();
    expect(net.failures[0]?.message).toMatch(/has heard more .* tail is lost/);
    expect(net.actors.get('b')!.state).toBe('failed');
  });
});

describe('locks', () => {
  it('make the second operation wait until the first has ended', async () => {
    const { net, a } = twoCounters();
    const first = net.client.call('a', counterApi.addAt, { peer: 'b', n: 1 });
    const second = net.client.call('a', counterApi.addAt, { peer: 'b', n: 10 });
    const held: Frame[] = [];
    net.settle((f) => (f.from === 'b' ? (held.push(f), false) : true));
    expect(net.actors.get('a')!.machine.inFlight).toBe(2);
    expect(held).toHaveLength(1);
    for (const f of held) net.deliver(f);
    net.settle();
    await expect(Promise.all([first, second])).resolves.toEqual([1, 11]);
    expect(a.total).toBe(11);
  });

  it('do not stop operations that need no lock', async () => {
    const { net } = twoCounters();
    void net.client.call('a', counterApi.addAt, { peer: 'b', n: 1 });
    net.settle((f) => f.from !== 'b');
    const other = net.client.call('a', counterApi.add, { n: 2 });
    net.settle();
    await expect(other).resolves.toBe(2);
  });
});

describe('a signal', () => {
  it('wakes whoever waits for it', async () => {
    const { net } = twoCounters();
    const waited = net.client.call('a', counterApi.waitFor, { atLeast: 3 });
    net.settle();
    void net.client.call('a', counterApi.add, { n: 1 });
    void net.client.call('a', counterApi.add, { n: 2 });
    net.settle();
    await expect(waited).resolves.toBe(3);
  });
});

describe('an epoch', () => {
  const request = (epoch: number, id: number): Uint8Array =>
    encodeFrame(
      { kind: REQUEST, flags: 0, method: counterApi.add.id, epoch, id, floor: 1, clock: 1, seen: 0, deadline: 0 },
      counterApi.add.args,
      { n: 1 },
    );

  it('that is older than one seen from the same sender is fenced off', () => {
    const { net, a } = twoCounters();
    net.deliver({ from: 'x', to: 'a', frame: request(5, 1) });
    net.wire.length = 0;
    net.deliver({ from: 'x', to: 'a', frame: request(4, 2) });
    expect(decodeHeader(net.wire[0]!.frame).method).toBe(STATUS.fenced);
    expect(a.total).toBe(1);
  });

  it('of a late frame that is refused does not stop the instance that has a newer one', async () => {
    const { net, b } = twoCounters();
    const answer = net.client.call('a', counterApi.addAt, { peer: 'b', n: 3 });
    const late: Frame[] = [];
    net.settle((f) => (f.to === 'b' ? (late.push(f), false) : true));
    net.crash('a');
    const again = new CounterCore();
    net.start('a', again);
    net.settle();
    for (const f of late) net.deliver(f);
    net.settle();
    expect(net.failures).toEqual([]);
    net.tick(1);
    net.tick(1000);
    net.settle();
    await expect(answer).resolves.toBe(3);
    expect([again.total, b.total]).toEqual([3, 3]);
  });

  it('that is no longer the newest stops its instance', () => {
    const { net } = twoCounters();
    void net.client.call('a', counterApi.addAt, { peer: 'b', n: 3 });
    net.settle((f) => f.to !== 'b');
    const { machine } = net.actors.get('a')!;
    const header = { kind: REPLY, flags: 0, method: STATUS.fenced, epoch: 9, id: 1, clock: 1, seen: 0, deadline: 0 };
    const refusal = (floor: number) => ({ from: 'b', to: 'a', frame: encodeEmptyFrame({ ...header, floor }) });
    net.deliver(refusal(machine.epoch - 1));
    expect(net.failures).toEqual([]);
    net.deliver(refusal(machine.epoch));
    expect(net.failures[0]?.message).toContain('lost its authority');
  });

  it('grows with each instance', () => {
    const { net } = twoCounters();
    const before = net.actors.get('a')!.machine.epoch;
    net.crash('a');
    net.start('a', new CounterCore());
    expect(net.actors.get('a')!.machine.epoch).toBeGreaterThan(before);
  });
});

describe('bounds', () => {
  it('a full inbox drops frames, which come again', async () => {
    const { net, a } = twoCounters({ inbox: 2 });
    const calls = [1, 2, 3].map((n) => net.client.call('a', counterApi.add, { n }));
    for (const f of net.wire.splice(0)) net.actors.get('a')!.receive(f.from, f.frame);
    expect(net.actors.get('a')!.dropped).toBe(1);
    net.settle();
    net.tick(1);
    net.tick(1000);
    net.settle();
    await Promise.all(calls);
    expect(a.total).toBe(6);
  });

  it('a client keeps at most a window of requests open; the others wait for room', async () => {
    const { net, a } = twoCounters();
    const calls = Array.from({ length: WINDOW + 10 }, () => net.client.call('a', counterApi.add, { n: 1 }));
    expect(net.wire).toHaveLength(WINDOW);
    net.settle();
    await Promise.all(calls);
    expect(a.total).toBe(WINDOW + 10);
  });
});

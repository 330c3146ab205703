import { encodeFrame, EVENT } from './frame.js';
import { bootApi } from './protocol/boot.js';
import { CounterCore, counterApi } from './testing/counter-core.js';
import { TinyNet } from './testing/tiny-net.js';

function counter(): { net: TinyNet; a: CounterCore } {
  const net = new TinyNet();
  const a = new CounterCore();
  net.start('a', a);
  return { net, a };
}

describe('an operation that waits until a time', () => {
  const start = (net: TinyNet, ms = 100) => {
    const answer = net.client.call('a', counterApi.waitAtMost, { atLeast: 9, ms });
    net.settle();
    return answer;
  };
  const answered = async (answer: Promise<number>): Promise<number | undefined> =>
    Promise.race([answer, Promise.resolve(undefined)]);

  it('goes on when the time has come, and not before', async () => {
    const { net } = counter();
    const answer = start(net);
    net.tick(99);
    net.settle();
    expect(await answered(answer)).toBeUndefined();
    net.tick(1);
    net.settle();
    await expect(answer).resolves.toBe(0);
  });

  it('goes on with what it waits for, and the alarm is gone', async () => {
    const { net } = counter();
    const answer = start(net);
    void net.client.call('a', counterApi.add, { n: 9 });
    net.settle();
    await expect(answer).resolves.toBe(9);
    const { seq } = net.actors.get('a')!;
    net.tick(200);
    net.settle();
    expect(net.actors.get('a')!.seq).toBe(seq);
  });

  it('whose alarm and signal come together goes on once', async () => {
    const { net } = counter();
    const answer = start(net);
    void net.client.call('a', counterApi.add, { n: 9 });
    const request = net.wire.pop()!;
    net.now += 100;
    net.actors.get('a')!.tick();
    net.deliver(request);
    net.settle();
    expect(net.failures).toEqual([]);
    expect([0, 9]).toContain(await answer);
  });

  it('is woken after a crash: at once when the time has come meanwhile, else in time', async () => {
    for (const [down, left] of [
      [500, 0],
      [50, 50],
    ] as const) {
      const { net } = counter();
      const answer = start(net);
      net.crash('a');
      net.now += down;
      net.start('a', new CounterCore());
      net.tick(left);
      net.settle();
      net.tick(3000);
      net.settle();
      await expect(answer).resolves.toBe(0);
    }
  });

  it('replays to the same state from the journal, and after a snapshot the numbering goes on', async () => {
    const { net } = counter();
    const first = start(net);
    net.tick(100);
    net.settle();
    await expect(first).resolves.toBe(0);
    net.actors.get('a')!.snapshot();
    const second = start(net, 50);
    net.crash('a');
    net.start('a', new CounterCore());
    net.tick(50);
    net.settle();
    net.tick(3000);
    net.settle();
    await expect(second).resolves.toBe(0);
    net.crash('a');
    net.start('a', new CounterCore());
    expect(net.failures).toEqual([]);
    expect(net.actors.get('a')!.machine.idle).toBe(true);
  });

  it('may be one that nobody waits for: it outlives its caller, and a crash', async () => {
    const { net, a } = counter();
    const answer = net.client.call('a', counterApi.addLater, { n: 7, ms: 100 });
    net.settle();
    await expect(answer).resolves.toBeUndefined();
    expect([a.total, net.actors.get('a')!.machine.idle]).toEqual([0, false]);
    net.crash('a');
    const again = new CounterCore();
    net.start('a', again);
    net.tick(99);
    net.settle();
    expect(again.total).toBe(0);
    net.tick(1);
    net.settle();
    expect([again.total, net.actors.get('a')!.machine.idle]).toEqual([7, true]);
  });

  it('an alarm that somebody else sends is nothing', async () => {
    const { net } = counter();
    const answer = start(net);
    const frame = encodeFrame(
      { kind: EVENT, flags: 0, method: bootApi.alarm.id, epoch: 1, id: 0, floor: 0, clock: 1, seen: 0, deadline: 0 },
      bootApi.alarm.args,
      { id: 1 },
    );
    net.deliver({ from: 'b', to: 'a', frame });
    net.settle();
    expect(await answered(answer)).toBeUndefined();
  });
});

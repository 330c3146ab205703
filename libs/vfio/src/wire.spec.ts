import { clientAddress, deviceAddress, deviceApi, type Effect, type Op } from '@vfiolab/core';
import { MAX_FRAME, MAX_NOTE } from '@vfiolab/devices';
import { bench, boundBench } from './testing/client.js';
import { E1000E, EDU } from './testing/functions.js';
import { Harness } from './testing/harness.js';
import { MAX_UNDER_WAY, Wire } from './wire.js';

const [A, B] = ['0000:00:05.0', '0000:00:06.0'];
const NO_BYTES = new Uint8Array(0);

/** A wire whose peers answer when the test says so. */
class Line {
  readonly wire = new Wire([[A, B], [B]]);
  readonly asked: { readonly to: string; readonly length: number; readonly op: Op<void> }[] = [];

  send(length: number, port = 0): void {
    this.run(this.wire.transmit(new Uint8Array(length), port));
  }

  /** What an operation begins runs after it, as in the machine. */
  private run(op: Op<void>): void {
    const begun: Op<void>[] = [];
    for (let step = op.next(); !step.done; step = op.next()) {
      const effect: Effect = step.value;
      if (effect.kind === 'spawn') begun.push(effect.op);
      if (effect.kind !== 'call') continue;
      this.asked.push({ to: effect.to, length: (effect.args as { data: Uint8Array }).data.length, op });
      break;
    }
    for (const each of begun) this.run(each);
  }

  notify(length: number, port = 0): void {
    this.run(this.wire.notify(new Uint8Array(length), port));
  }

  /** An operation that does several things before what it begins can run. */
  atOnce(...lengths: readonly number[]): void {
    const { wire } = this;
    this.run(
      (function* () {
        for (const length of lengths) yield* wire.transmit(new Uint8Array(length), 1);
      })(),
    );
  }

  /** The oldest that was asked answers. */
  answer(): string {
    const { to, length, op } = this.asked.shift()!;
    this.run(op);
    return `${to} ${length}`;
  }
}

it('a frame goes to all at the end of its port, and each has them in order, one at a time', () => {
  const line = new Line();
  line.send(60);
  line.send(61);
  line.send(62, 1);
  expect(line.asked.map(({ length }) => length)).toEqual([60, 60]);
  const order = Array.from({ length: 5 }, () => line.answer());
  const to = (bdf: string): string[] => order.filter((each) => each.startsWith(deviceAddress(bdf)));
  expect(to(A).map((each) => each.slice(-2))).toEqual(['60', '61']);
  expect(to(B).map((each) => each.slice(-2))).toEqual(['60', '61', '62']);
  expect([line.asked.length, line.wire.dropped]).toEqual([0, 0]);
  line.send(63, 7);
  expect(line.asked).toEqual([]);
});

it('so many frames may be under way to a peer that does not answer; one more is dropped, and nobody else suffers', () => {
  const line = new Line();
  for (let i = 0; i < MAX_UNDER_WAY; i++) line.send(60, 1);
  expect(line.wire.dropped).toBe(0);
  line.send(61);
  expect([line.wire.dropped, line.asked.map(({ to, length }) => [to, length])]).toEqual([
    1,
    [
      [deviceAddress(B), 60],
      [deviceAddress(A), 61],
    ],
  ]);
  line.answer();
  line.send(62, 1);
  expect(line.wire.dropped).toBe(1);
  const lengths = Array.from({ length: MAX_UNDER_WAY + 1 }, () => line.answer());
  expect(lengths.at(-1)).toBe(`${deviceAddress(B)} 62`);
  expect(line.asked).toEqual([]);
});

it('frames that are sent at once are under way one by one too', () => {
  const line = new Line();
  line.atOnce(60, 61, 62);
  expect(line.asked.length).toBe(1);
  expect([line.answer(), line.answer(), line.answer()].map((each) => each.slice(-2))).toEqual(['60', '61', '62']);
});

it('of notes that have not left the newest is told, and one is under way at a time', () => {
  const line = new Line();
  for (const length of [1, 2, 3]) line.notify(length, 1);
  expect(line.asked.map(({ length }) => length)).toEqual([1]);
  expect([line.answer(), line.asked.map(({ length }) => length)]).toEqual([`${deviceAddress(B)} 1`, [3]]);
  line.answer();
  expect(line.asked).toEqual([]);
  line.notify(MAX_NOTE, 1);
  expect(line.asked.length).toBe(1);
  expect(() => line.notify(MAX_NOTE + 1)).toThrow(/65 bytes/);
});

it('a question goes to who is at the end of the port, and nobody answers where nobody is', () => {
  const { wire } = new Line();
  const asked = wire.ask(new Uint8Array(MAX_NOTE), 1);
  expect(asked.next().value).toMatchObject({ kind: 'call', to: deviceAddress(B) });
  expect(asked.next(Uint8Array.of(7))).toEqual({ done: true, value: Uint8Array.of(7) });
  expect(wire.ask(new Uint8Array(1), 9).next()).toEqual({ done: true, value: new Uint8Array(0) });
  expect(() => wire.ask(new Uint8Array(MAX_NOTE + 1), 1).next()).toThrow(/65 bytes/);
});

it('the longest frame is carried, a longer one is the model’s mistake', () => {
  const line = new Line();
  line.send(MAX_FRAME, 1);
  expect(line.asked.length).toBe(1);
  expect(() => line.send(MAX_FRAME + 1)).toThrow(/9231 bytes/);
});

it('a sender’s port is the one at whose end it is', () => {
  const { wire } = new Line();
  expect([A, B].map((bdf) => wire.portTo(deviceAddress(bdf)))).toEqual([0, 0]);
  expect(wire.portTo(deviceAddress('0000:00:07.0'))).toBeUndefined();
  expect(wire.portTo(clientAddress('one'))).toBeUndefined();
});

const WIRING = { connected: true, ports: [[A]], vf: undefined };
const CARD = { ...E1000E, model: 'e1000e', wiring: WIRING };
/** Frames that came in, a counter that reading clears. */
const [RCTL, CAME] = [0x0100, 0x40d0];

it.each([
  ['from a peer', deviceAddress(A), 64, 1],
  ['of the most bytes', deviceAddress(A), MAX_FRAME, 1],
  ['that is too long', deviceAddress(A), MAX_FRAME + 1, 0],
  ['from where no port leads', deviceAddress(B), 64, 0],
  ['from a client', clientAddress('one'), 64, 0],
])('a frame %s comes to the model or does not', (_what, from, length, came) => {
  const { c, dev } = boundBench(CARD);
  c.pwrite(dev, RCTL, '02800004');
  c.h.ask(deviceApi.frame, { data: new Uint8Array(length).fill(0xff) }, from);
  expect(c.pread(dev, CAME, 4)).toBe(`0${came}000000`);
});

it.each([
  ['without a driver', () => new Harness()],
  ['without a port', () => bench(E1000E).h],
  ['whose model takes no frames', () => bench({ ...EDU, wiring: WIRING }).h],
  ['that nobody has open', () => bench(CARD).h],
])('a function %s drops a frame and says so', (_what, make) => {
  const h = make();
  h.ask(deviceApi.frame, { data: new Uint8Array(64).fill(0xff) }, deviceAddress(A));
  expect(h.calls).toEqual([]);
});

const PF_WIRING = { connected: false, ports: [[], [A], [B]], vf: undefined };
const NVME = { ...EDU, model: 'nvme', wiring: PF_WIRING };

it.each([
  ['from a VF', NVME, deviceAddress(B), 0, 5],
  ['in the most bytes', NVME, deviceAddress(B), MAX_NOTE, 5],
  ['in too many', NVME, deviceAddress(B), MAX_NOTE + 1, 0],
  ['from where no port leads', NVME, deviceAddress('0000:00:07.0'), 0, 0],
  ['from a client', NVME, clientAddress('one'), 0, 0],
  ['to a model that is asked nothing', { ...EDU, wiring: PF_WIRING }, deviceAddress(B), 0, 0],
])('a question %s is answered or is not', (_what, facts, from, length, bytes) => {
  const { h } = bench(facts);
  expect(h.ask(deviceApi.ask, { data: new Uint8Array(length) }, from)).toHaveLength(bytes);
});

it('nobody answers without a driver', () =>
  expect(new Harness().ask(deviceApi.ask, { data: NO_BYTES }, deviceAddress(A))).toEqual(NO_BYTES));

it('what a card sends leaves, and how much was dropped is in its state and in what people see', () => {
  const { c, dev } = boundBench(CARD);
  const descriptor = Buffer.alloc(16);
  descriptor.writeBigUInt64LE(0x2000n);
  descriptor.writeUInt16LE(64, 8);
  descriptor[11] = 0x0b;
  for (let i = 0; i < 512; i++) c.h.world.memory.set(descriptor, 0x4000 + 16 * i);
  c.h.world.memory.fill(0xff, 0x2000, 0x2040);
  // Bus master; ring of 512; sending on.
  const put = (at: number, value: number): unknown => c.poke(dev, at, BigInt(value));
  c.pwrite(dev, 7 * 2 ** 40 + 4, '0600');
  for (const [at, value] of [
    [0x3800, 0x4000],
    [0x3808, 8192],
    [0x0400, 2],
    [0x3818, 2],
  ] as const)
    put(at, value);
  expect(c.h.world.frames.map(({ length }) => length)).toEqual([64, 64]);
  expect(c.h.core.describe().join()).not.toContain('dropped');
  c.h.hold(deviceApi.frame);
  put(0x3818, 2 + MAX_UNDER_WAY + 3);
  expect(c.h.core.describe()[0]).toContain('dropped frames 3');
  c.h.release(deviceApi.frame);
  expect(c.h.world.frames.length).toBe(2 + MAX_UNDER_WAY);
  c.h.restart();
  expect(c.h.core.describe()[0]).toContain('dropped frames 3');
});

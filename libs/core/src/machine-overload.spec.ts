import { type Address } from './address.js';
import { api, method, nothing } from './codec.js';
import { type Core, implement, methodTable } from './core.js';
import { decodeHeader, encodeFrame, REPLY, REQUEST, STATUS } from './frame.js';
import { Machine, MAX_OPS } from './machine.js';
import { type Op, Signal, wait } from './op.js';
import { WINDOW } from './session.js';

const waitApi = api('waiting', { wait: method(1, nothing, nothing) });

/** Every operation waits for `signal`. */
class WaitingCore implements Core {
  readonly service = 'waiting';
  readonly signal = new Signal();
  readonly methods = methodTable(implement(waitApi, { wait: () => this.waiting() }));
  private *waiting(): Op<void> {
    yield* wait(this.signal);
  }
  encode(): void {}
  decode(): void {}
  check = (): string[] => [];
  describe = (): string[] => [];
  figures = (): Record<string, number> => ({});
  join(): void {}
}

test('beyond the most operations a request is refused, and the same request is taken when there is room', () => {
  const core = new WaitingCore();
  const machine = new Machine('pages', core);
  const ask = (from: Address, id: number): number[] => {
    const header = { kind: REQUEST, flags: 0, method: 1, epoch: 0, id, floor: 1, clock: 0, seen: 0, deadline: 0 };
    machine.out = [];
    machine.step({ from, frame: encodeFrame(header, nothing, undefined), now: 1, entropy: new Uint8Array(0) });
    const replies = machine.out.filter((o) => o.to === from).map((o) => decodeHeader(o.frame));
    return replies.filter((h) => h.kind === REPLY && h.id === id).map((h) => h.method);
  };
  for (let n = 0; n < MAX_OPS; n++) ask(`sender:${Math.floor(n / WINDOW)}`, (n % WINDOW) + 1);
  expect(machine.inFlight).toBe(MAX_OPS);
  expect([ask('late', 1), ask('late', 1)]).toEqual([[STATUS.overloaded], [STATUS.overloaded]]);
  core.signal.raise();
  ask('late', 2);
  expect(machine.inFlight).toBe(0);
  expect(ask('late', 1)).toEqual([]);
  expect(machine.inFlight).toBe(1);
});

/** A core small enough to see through, for tests of the mechanism: counts, asks a peer, locks, and waits. */
import type { Address } from '../address.js';
import type { ByteReader, ByteWriter } from '../bytes.js';
import { api, forClients, message, method, nothing, num, str } from '../codec.js';
import { type Core, implement, type MethodTable, methodTable, type Surroundings } from '../core.js';
import { call, Lock, lockWrite, type Op, Signal, sleep, spawn, wait, waitUntil } from '../op.js';

export const counterApi = api('counter', {
  ...forClients({
    add: method(32, message({ n: num }), num),
    /** Adds at a peer, while holding the lock. */
    addAt: method(33, message({ peer: str, n: num }), num),
    waitFor: method(34, message({ atLeast: num }), num),
    /** The same, for at most so many ms: the total then, reached or not. */
    waitAtMost: method(38, message({ atLeast: num, ms: num }), num),
    /** Adds after so many ms; answers at once. */
    addLater: method(39, message({ n: num, ms: num }), nothing),
    secret: method(35, nothing, str, { entropy: true }),
  }),
  /** Between services only. */
  internal: method(36, nothing, num),
  goodbye: method(37, message({ client: str }), nothing),
});

export class CounterCore implements Core {
  readonly service = 'counter';
  readonly methods: MethodTable;
  total = 0;
  surroundings: Surroundings | undefined;
  private readonly lock = new Lock();
  private readonly changed = new Signal();

  constructor() {
    this.methods = methodTable(
      implement(counterApi, {
        add: (_req, { n }) => this.add(n),
        addAt: (_req, { peer, n }) => this.addAt(peer, n),
        waitFor: (_req, { atLeast }) => this.waitFor(atLeast),
        waitAtMost: (req, { atLeast, ms }) => this.waitAtMost(atLeast, req.now + ms),
        addLater: (_req, { n, ms }) => spawn(this.addAfter(n, ms)),
        internal: () => this.total,
        goodbye: (_req, { client }) => this.surroundings!.forget(client),
        secret: (req) => [...req.entropy].map((b) => b.toString(16)).join(''),
      }),
    );
  }

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  private add(n: number): number {
    this.total += n;
    this.changed.raise();
    return this.total;
  }

  private *addAt(peer: Address, n: number): Op<number> {
    yield* lockWrite(this.lock);
    const theirs = yield* call(peer, counterApi.add, { n });
    this.add(n);
    return theirs;
  }

  private *waitFor(atLeast: number): Op<number> {
    while (this.total < atLeast) yield* wait(this.changed);
    return this.total;
  }

  private *waitAtMost(atLeast: number, until: number): Op<number> {
    while (this.total < atLeast) if (!(yield* waitUntil(this.changed, until))) break;
    return this.total;
  }

  private *addAfter(n: number, ms: number): Op<void> {
    yield* sleep(ms);
    this.add(n);
  }

  encode(w: ByteWriter): void {
    w.num(this.total);
  }
  decode(r: ByteReader): void {
    this.total = r.num();
  }
  check(): string[] {
    return this.total < 0 ? ['the total is negative'] : [];
  }
  describe(): string[] {
    return [`total ${this.total}`];
  }
  figures(): Record<string, number> {
    return { total: this.total };
  }
}

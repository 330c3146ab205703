/**
 * The smallest services that use the whole mechanism: a counter, a counter that asks another one, and a lab that grants
 * epochs.
 */
import {
  type Address,
  api,
  bootApi,
  bytes,
  call,
  type Core,
  implement,
  LAB,
  message,
  method,
  type MethodTable,
  methodTable,
  num,
  type ByteReader,
  type ByteWriter,
  type Surroundings,
} from '@vfiolab/core';

export const counterApi = api('counter', {
  add: method(1, message({ by: num }), num, { clients: true }),
  /** Adds here and at the partner, and answers the partner's sum. */
  addBoth: method(2, message({ by: num }), num, { clients: true }),
  echo: method(3, bytes, bytes, { clients: true }),
  /** A mistake of the core, which stops its actor. */
  blunder: method(4, message({}), num, { clients: true }),
});

export class CounterCore implements Core {
  readonly service = 'counter';
  readonly methods: MethodTable;
  sum = 0;

  constructor(partner: Address = 'pages') {
    const add = ({ by }: { by: number }): number => (this.sum += by);
    this.methods = methodTable(
      implement(counterApi, {
        add: (_req, args) => add(args),
        *addBoth(_req, args) {
          const there = yield* call(partner, counterApi.add, args);
          add(args);
          return there;
        },
        echo: (_req, args) => args,
        blunder: () => {
          throw new Error('a mistake of the core');
        },
      }),
    );
  }

  encode(w: ByteWriter): void {
    w.num(this.sum);
  }
  decode(r: ByteReader): void {
    this.sum = r.num();
  }
  check(): string[] {
    return this.sum < 0 ? ['the sum is negative'] : [];
  }
  describe(): string[] {
    return [`sum ${this.sum}`];
  }
  figures(): Record<string, number> {
    return { sum: this.sum };
  }
  join(): void {}
}

export class TestLabCore implements Core {
  readonly service = LAB;
  readonly methods: MethodTable;
  private readonly epochs = new Map<Address, number>();
  private surroundings: Surroundings | undefined;

  constructor() {
    this.methods = methodTable(
      implement(
        { register: bootApi.register },
        {
          register: (req) => {
            const epoch = (this.epochs.get(req.from) ?? 0) + 1;
            this.epochs.set(req.from, epoch);
            return { epoch, ...this.surroundings!.witnessed(req.from) };
          },
        },
      ),
    );
  }

  encode(w: ByteWriter): void {
    w.list([...this.epochs].sort(), ([address, epoch]) => {
      w.str(address);
      w.u32(epoch);
    });
  }
  decode(r: ByteReader): void {
    for (const [address, epoch] of r.list(() => [r.str(), r.u32()] as const)) this.epochs.set(address, epoch);
  }
  check(): string[] {
    return [];
  }
  describe(): string[] {
    return [...this.epochs].map(([address, epoch]) => `${address} epoch ${epoch}`);
  }
  figures(): Record<string, number> {
    return {};
  }
  /** How far an actor's journal has reached, as it told. */
  witnessed(of: Address): number {
    return this.surroundings!.witnessed(of).seq;
  }
  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }
}

export const testCores = (address: Address): Core => (address === LAB ? new TestLabCore() : new CounterCore());

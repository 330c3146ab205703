/**
 * Eventfds, as eventfd(2) made them with EFD_NONBLOCK.
 *
 * Words: a *token* is a client's fd, and several clients may have one each (grant, fork); a *hold* is a device's reference
 * to the counter behind it (an interrupt trigger); a *watch* is a hold of a device that acts on writes (unmask, ioeventfd).
 * Rule: a counter lives as long as a token or a hold. A device's signal to one whose clients are gone is counted and read
 * by nobody, as in the kernel. A write to a watched counter is taken up at once: it reads 0 afterwards, as the kernel's
 * virqfd leaves it. Only writes of clients are: devices that set each other off would never end.
 */
import {
  type Address,
  type ByteReader,
  type ByteWriter,
  call,
  deviceApi,
  FileTable,
  type Op,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';

/** Eventfds of one host; one more is ENFILE. */
export const MAX_EVENTFDS = 65536;

/** A write that would pass this waits in a blocking eventfd, so it is EAGAIN here. */
const COUNTER_MAX = 2n ** 64n - 2n;
/** A device's signal may still reach this, and stays there. */
const SATURATED = 2n ** 64n - 1n;
const INIT_MAX = 2n ** 32n - 1n;

interface Eventfd {
  readonly id: number;
  /** Who made it. */
  readonly maker: Address;
  /** Token -> the client that has it, in the order in which they got it. */
  readonly tokens: Map<string, Address>;
  counter: bigint;
  holds: number;
  /** How often each device watches it. */
  readonly watchers: Map<Address, number>;
}

export class Eventfds {
  private readonly files = new FileTable<Eventfd>();
  private readonly counters = new Map<number, Eventfd>();
  private nextId = 1;

  /** `ready`: the counter behind this client's token is not 0 any more; told to every client that has it. */
  constructor(private readonly ready: (client: Address, token: string) => void) {}

  /** EINVAL: the initial value is not an unsigned int; ENFILE, EMFILE: too many on the host, or of the client. */
  create(client: Address, init: bigint, entropy: Uint8Array): Result<string> {
    if (init > INIT_MAX) return fail('EINVAL');
    if (this.counters.size >= MAX_EVENTFDS) return fail('ENFILE');
    const event: Eventfd = {
      id: this.nextId,
      maker: client,
      tokens: new Map(),
      counter: init,
      holds: 0,
      watchers: new Map(),
    };
    const token = this.files.open(client, event, entropy);
    if (token === undefined) return fail('EMFILE');
    event.tokens.set(token, client);
    this.counters.set(event.id, event);
    this.nextId++;
    return ok(token);
  }

  has(client: Address, token: string): boolean {
    return this.files.get(token, client) !== undefined;
  }

  /** The same counter under a token of another client. EBADF, EMFILE. */
  grant(client: Address, token: string, to: Address, entropy: Uint8Array): Result<string> {
    const event = this.files.get(token, client);
    if (!event) return fail('EBADF');
    const granted = this.files.open(to, event, entropy);
    if (granted === undefined) return fail('EMFILE');
    event.tokens.set(granted, to);
    return ok(granted);
  }

  /** The counter, which is 0 afterwards. EBADF; EAGAIN: it is 0. */
  read(client: Address, token: string): Result<bigint> {
    const event = this.files.get(token, client);
    if (!event) return fail('EBADF');
    const { counter } = event;
    if (counter === 0n) return fail('EAGAIN');
    event.counter = 0n;
    return ok(counter);
  }

  /** EBADF; EINVAL: 2^64 - 1; EAGAIN: the counter has no room for the value. Ends when the devices that watch have acted. */
  write(client: Address, token: string, value: bigint): Result<void> | Op<Result<void>> {
    const event = this.files.get(token, client);
    if (!event) return fail('EBADF');
    if (value > COUNTER_MAX) return fail('EINVAL');
    if (event.counter + value > COUNTER_MAX) return fail('EAGAIN');
    if (event.watchers.size > 0) return tellWatchers(event);
    this.raise(event, event.counter + value);
    return ok(undefined);
  }

  close(client: Address, token: string): Result<void> {
    const closed = this.files.close(token, client);
    if (!closed) return fail('EBADF');
    closed.file.tokens.delete(token);
    this.forgetUnused(closed.file);
    return ok(undefined);
  }

  closeAll(client: Address): void {
    for (const token of this.files.of(client)) this.close(client, token);
  }

  /** A device keeps the counter behind the client's token. EBADF. */
  hold(client: Address, token: string): Result<number> {
    const event = this.files.get(token, client);
    if (!event) return fail('EBADF');
    event.holds++;
    return ok(event.id);
  }

  /** A hold whose device hears of writes. EBADF. */
  watch(client: Address, token: string, device: Address): Result<{ event: number; ready: boolean }> {
    const held = this.hold(client, token);
    if (!held.ok) return held;
    const { id, counter, watchers } = this.held(held.value);
    watchers.set(device, (watchers.get(device) ?? 0) + 1);
    return ok({ event: id, ready: counter > 0n });
  }

  unwatch(id: number, device: Address): void {
    const { watchers } = this.held(id);
    const left = (watchers.get(device) ?? 0) - 1;
    if (left < 0) throw new Error(`eventfd ${id} is not watched by ${device}`);
    if (left > 0) watchers.set(device, left);
    else watchers.delete(device);
    this.drop(id);
  }

  drop(id: number): void {
    const event = this.held(id);
    event.holds--;
    this.forgetUnused(event);
  }

  /** eventfd_signal(): adds 1, and stays at 2^64 - 1. */
  signal(id: number): void {
    const event = this.held(id);
    if (event.counter < SATURATED) this.raise(event, event.counter + 1n);
  }

  private raise(event: Eventfd, counter: bigint): void {
    const becameReadable = event.counter === 0n && counter > 0n;
    event.counter = counter;
    if (becameReadable) for (const [token, client] of event.tokens) this.ready(client, token);
  }

  private held(id: number): Eventfd {
    const event = this.counters.get(id);
    if (!event || event.holds === 0) throw new Error(`eventfd ${id} is not held`);
    return event;
  }

  private forgetUnused(event: Eventfd): void {
    if (event.tokens.size === 0 && event.holds === 0) this.counters.delete(event.id);
  }

  /** Clients that have an eventfd open, each once. */
  clients(): Set<Address> {
    return new Set([...this.counters.values()].flatMap((event) => [...event.tokens.values()]));
  }

  get size(): number {
    return this.counters.size;
  }

  encode(w: ByteWriter, view: View): void {
    const rows = [...this.counters.values()];
    if (view === 'meaning') rows.sort((a, b) => (a.maker < b.maker ? -1 : a.maker > b.maker ? 1 : a.id - b.id));
    else w.num(this.nextId);
    w.list(rows, (event) => {
      w.str(event.maker);
      w.u64(event.counter);
      w.u32(event.holds);
      w.list([...event.watchers].sort(), ([device, times]) => {
        w.str(device);
        w.u32(times);
      });
      if (view === 'meaning') return w.list([...event.tokens.values()].sort(), (client) => w.str(client));
      w.num(event.id);
      w.list(event.tokens, ([token, client]) => {
        w.token(token);
        w.str(client);
      });
    });
    if (view === 'snapshot') this.files.encode(w);
  }

  decode(r: ByteReader): void {
    this.nextId = r.num();
    r.list(() => {
      const [maker, counter, holds] = [r.str(), r.u64(), r.u32()];
      const watchers = new Map(r.list(() => [r.str(), r.u32()] as const));
      const id = r.num();
      const tokens = new Map(r.list(() => [r.token(), r.str()] as const));
      this.counters.set(id, { id, maker, tokens, counter, holds, watchers });
    });
    this.files.decode(r, (id) => this.counters.get(id)!);
  }
}

/** The value is taken up: the counter is 0, and each device acts once. */
function* tellWatchers(event: Eventfd): Op<Result<void>> {
  event.counter = 0n;
  for (const device of [...event.watchers.keys()].sort())
    yield* call(device, deviceApi.eventfdFired, { event: event.id });
  return ok(undefined);
}

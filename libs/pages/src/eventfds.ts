/**
 * Eventfds, as eventfd(2) made them with EFD_NONBLOCK.
 *
 * Words: a *token* is a client's fd; a *hold* is a device's reference to the counter behind it (an interrupt trigger).
 * Rule: a counter lives as long as its token or a hold. A device's signal to one whose client is gone is counted and read
 * by nobody, as in the kernel.
 */
import { type Address, type ByteReader, type ByteWriter, FileTable, type View } from '@vfiolab/core';
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
  readonly client: Address;
  token: string;
  counter: bigint;
  open: boolean;
  holds: number;
}

export class Eventfds {
  private readonly files = new FileTable<Eventfd>();
  private readonly counters = new Map<number, Eventfd>();
  private nextId = 1;

  /** `ready`: the counter behind this client's token is not 0 any more. */
  constructor(private readonly ready: (client: Address, token: string) => void) {}

  /** EINVAL: the initial value is not an unsigned int; ENFILE, EMFILE: too many on the host, or of the client. */
  create(client: Address, init: bigint, entropy: Uint8Array): Result<string> {
    if (init > INIT_MAX) return fail('EINVAL');
    if (this.counters.size >= MAX_EVENTFDS) return fail('ENFILE');
    const event: Eventfd = { id: this.nextId, client, token: '', counter: init, open: true, holds: 0 };
    const token = this.files.open(client, event, entropy);
    if (token === undefined) return fail('EMFILE');
    event.token = token;
    this.counters.set(event.id, event);
    this.nextId++;
    return ok(token);
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

  /** EBADF; EINVAL: 2^64 - 1; EAGAIN: the counter has no room for the value. */
  write(client: Address, token: string, value: bigint): Result<void> {
    const event = this.files.get(token, client);
    if (!event) return fail('EBADF');
    if (value > COUNTER_MAX) return fail('EINVAL');
    if (event.counter + value > COUNTER_MAX) return fail('EAGAIN');
    this.raise(event, event.counter + value);
    return ok(undefined);
  }

  close(client: Address, token: string): Result<void> {
    const closed = this.files.close(token, client);
    if (!closed) return fail('EBADF');
    closed.file.open = false;
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
    if (becameReadable && event.open) this.ready(event.client, event.token);
  }

  private held(id: number): Eventfd {
    const event = this.counters.get(id);
    if (!event || event.holds === 0) throw new Error(`eventfd ${id} is not held`);
    return event;
  }

  private forgetUnused(event: Eventfd): void {
    if (!event.open && event.holds === 0) this.counters.delete(event.id);
  }

  /** Clients that have an eventfd open, each once. */
  clients(): Set<Address> {
    return new Set([...this.counters.values()].filter((e) => e.open).map((e) => e.client));
  }

  get size(): number {
    return this.counters.size;
  }

  encode(w: ByteWriter, view: View): void {
    const rows = [...this.counters.values()];
    if (view === 'meaning') rows.sort((a, b) => (a.client < b.client ? -1 : a.client > b.client ? 1 : a.id - b.id));
    else w.num(this.nextId);
    w.list(rows, (event) => {
      w.str(event.client);
      w.u64(event.counter);
      w.bool(event.open);
      w.u32(event.holds);
      if (view === 'meaning') return;
      w.num(event.id);
      w.token(event.token);
    });
    if (view === 'snapshot') this.files.encode(w);
  }

  decode(r: ByteReader): void {
    this.nextId = r.num();
    const rows = r.list(() => ({
      client: r.str(),
      counter: r.u64(),
      open: r.bool(),
      holds: r.u32(),
      id: r.num(),
      token: r.token(),
    }));
    for (const event of rows) this.counters.set(event.id, event);
    this.files.decode(r, (id) => this.counters.get(id)!);
  }
}

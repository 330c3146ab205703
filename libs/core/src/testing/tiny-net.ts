/** Actors and one client on a wire that the test holds in its hand: frames are delivered, dropped or doubled one by one. */
import { Actor, type ActorLimits, DEFAULT_LIMITS } from '../actor.js';
import type { Address } from '../address.js';
import { Caller } from '../caller.js';
import { type Core, methodTable, implement, type MethodTable } from '../core.js';
import {
  type Head,
  type Journaled,
  JournalFull,
  type JournalPort,
  type JournalRecord,
  type Snapshot,
} from '../journal.js';
import type { Output } from '../machine.js';
import { LAB } from '../address.js';
import { bootApi } from '../protocol/boot.js';

export class MemoryJournal implements JournalPort {
  records: JournalRecord[] = [];
  snapshot: Snapshot | undefined;
  /** Nothing can be written: for good, or as long as there is no room. */
  broken = false;
  full = false;
  /** What had been said when the record was written, by record. */
  private readonly said = new Map<JournalRecord, string>();
  load(): Journaled {
    const check = (record: JournalRecord) => (outputs: readonly Output[]) => {
      if (textOf(outputs) !== this.said.get(record)) throw new Error(`another replay at ${record.seq}`);
    };
    return { snapshot: this.snapshot, records: this.records.map((r) => ({ ...r, check: check(r) })) };
  }
  append(record: JournalRecord, outputs: readonly Output[]): void {
    if (this.broken) throw new Error('disk broken');
    if (this.full) throw new JournalFull('disk full');
    this.records.push(record);
    this.said.set(record, textOf(outputs));
  }
  head(): Head {
    const seq = this.records.at(-1)?.seq ?? this.snapshot?.seq ?? 0;
    return { seq, hash: `h${seq}` };
  }
  saveSnapshot(snapshot: Snapshot): void {
    if (this.full) throw new JournalFull('disk full');
    this.snapshot = snapshot;
    this.records = this.records.filter((r) => r.seq > snapshot.seq);
  }
  close(): void {}
}

const textOf = (outputs: readonly Output[]): string => outputs.map(({ to, frame }) => `${to} ${String(frame)}`).join();

/** Gives out epochs, as the lab does. */
class Registrar implements Core {
  readonly service = 'lab';
  epoch = 0;
  /** What it claims to have witnessed. */
  witnessed = { seq: 0, hash: '' };
  readonly methods: MethodTable = methodTable(
    implement({ register: bootApi.register }, { register: () => ({ epoch: ++this.epoch, ...this.witnessed }) }),
  );
  join(): void {}
  encode(): void {}
  decode(): void {}
  check(): string[] {
    return [];
  }
  describe(): string[] {
    return [];
  }
  figures(): Record<string, number> {
    return {};
  }
}

export interface Frame {
  readonly from: Address;
  readonly to: Address;
  readonly frame: Uint8Array;
}

export class TinyNet {
  readonly wire: Frame[] = [];
  readonly actors = new Map<Address, Actor>();
  readonly journals = new Map<Address, MemoryJournal>();
  readonly failures: Error[] = [];
  /** When actors had no room in their journals, and had again. */
  readonly room: string[] = [];
  readonly registrar = new Registrar();
  readonly client: Caller;
  now = 1000;
  private turns: (() => void)[] = [];
  private instances = 0;

  constructor(private readonly limits: Partial<ActorLimits> = {}) {
    this.client = new Caller({
      now: () => this.now,
      send: (to, frame) => this.wire.push({ from: 'client:test', to, frame }),
    });
    this.start(LAB, this.registrar);
  }

  start(address: Address, core: Core): Actor {
    const journal = this.journals.get(address) ?? new MemoryJournal();
    this.journals.set(address, journal);
    const ports = {
      now: () => this.now,
      entropy: (n: number) => new Uint8Array(n).fill(7),
      send: (to: Address, frame: Uint8Array) => void this.wire.push({ from: address, to, frame }),
      journal,
      defer: (turn: () => void) => void this.turns.push(turn),
      failed: (e: Error) => void this.failures.push(e),
      readOnly: (why: Error | undefined) => void this.room.push(`${address}: ${why?.message ?? 'room again'}`),
    };
    const actor = new Actor(address, core, ports, { ...DEFAULT_LIMITS, ...this.limits });
    this.actors.set(address, actor);
    actor.start(`instance ${++this.instances}`);
    this.settle();
    return actor;
  }

  crash(address: Address): void {
    this.actors.get(address)!.halt();
    this.actors.delete(address);
  }

  deliver({ from, to, frame }: Frame): void {
    if (to.startsWith('client:')) this.client.receive(from, frame);
    else this.actors.get(to)?.receive(from, frame);
    this.runTurns();
  }

  runTurns(): void {
    while (this.turns.length > 0) this.turns.shift()!();
  }

  /** Delivers everything in order until the wire is empty. `pass` may keep a frame back (drop it). */
  settle(pass: (f: Frame) => boolean = () => true): void {
    this.runTurns();
    for (let f = this.wire.shift(); f; f = this.wire.shift()) if (pass(f)) this.deliver(f);
  }

  tick(ms: number): void {
    this.now += ms;
    this.client.tick();
    for (const a of this.actors.values()) a.tick();
  }
}

/**
 * The actor: one core behind one inbox, journaled.
 *
 * Words: the *inbox* orders inputs; a *turn* takes what is in it, writes one journal record, steps the machine through it
 * and lets the outputs go.
 * Rule: journal first, then act, then speak. What was not written did not happen; what was said was written. While there is no
 * room in the journal the actor is *read-only*: inputs wait, it can be looked at, and it goes on by itself.
 *
 * The actor itself has no clock, timer or I/O: its ports do. The same class runs embedded, in a process on NATS, and in
 * the simulator.
 */
import { type Address, LAB } from './address.js';
import { ByteReader, ByteWriter, WireError } from './bytes.js';
import type { Core } from './core.js';
import { decodeHeader, encodeFrame, EVENT, FLAG_ENTROPY, type FrameHeader, REQUEST, withEpoch } from './frame.js';
import {
  decodeInputs,
  encodeInputs,
  type Head,
  JournalFull,
  type JournalPort,
  readOutputs,
  writeOutputs,
} from './journal.js';
import { BOOT, Machine, type Output } from './machine.js';
import { bootApi } from './protocol/boot.js';

export interface ActorPorts {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Unguessable bytes. */
  entropy(n: number): Uint8Array;
  /** Best effort: a frame may be lost, doubled or late. */
  send(to: Address, frame: Uint8Array): void;
  readonly journal: JournalPort;
  /** Runs `turn` soon, not now. */
  defer(turn: () => void): void;
  /** The actor cannot go on: its disk is broken, its core is wrong, or it lost its authority. It has stopped. */
  failed(error: Error): void;
  /** The actor has its authority and answers from now on. */
  serving?(): void;
  /** There is no room in the journal, and why; undefined: there is again. */
  readOnly?(why: JournalFull | undefined): void;
}

export interface ActorLimits {
  /** Frames waiting in the inbox; more are dropped and come again. */
  readonly inbox: number;
  /** Bytes of the frames waiting in the inbox; beyond it frames are dropped likewise. */
  readonly inboxBytes: number;
  /** Inputs in one record. */
  readonly batch: number;
  /** Bytes of the frames in one record; a single frame may be larger. */
  readonly batchBytes: number;
  /** Inputs between snapshots at the least; 0 = never. */
  readonly snapshotEvery: number;
  /** The journal grows by this many times the last snapshot before the next one. */
  readonly snapshotGrowth: number;
  /** First retry of an unanswered request after this many ms; doubles up to `retryMax`. */
  readonly retryMs: number;
  readonly retryMaxMs: number;
}

const MIB = 1024 * 1024;
export const DEFAULT_LIMITS: ActorLimits = {
  inbox: 65536,
  inboxBytes: 256 * MIB,
  batch: 512,
  batchBytes: 8 * MIB,
  snapshotEvery: 0,
  snapshotGrowth: 8,
  retryMs: 200,
  retryMaxMs: 2000,
};

/** An input on its way: time and entropy are put in when its record is written. */
interface Received {
  readonly from: Address;
  readonly frame: Uint8Array;
  now: number;
  entropy: Uint8Array;
}

/** Requests wait at most this long for a snapshot, ms; then they go on, and the snapshot comes later. */
const HOLD_MS = 100;
const NO_ENTROPY = new Uint8Array(0);
const NO_BODY = new Uint8Array(0);
const ENTROPY = 32;

export type ActorState = 'stopped' | 'starting' | 'serving' | 'failed';

export class Actor {
  readonly machine: Machine;
  state: ActorState = 'stopped';
  seq = 0;
  /** Frames refused because the inbox was full. */
  dropped = 0;
  private inbox: Received[] = [];
  private inboxBytes = 0;
  private scheduled = false;
  private snapshotAt = 0;
  private snapshotBytes = 0;
  private bytesSinceSnapshot = 0;
  private witnessedSeq = 0;
  /** Since when requests wait for a snapshot; 0 = they do not. */
  private heldSince = 0;
  private outputsSinceRecord: readonly Output[] = [];
  /** Why nothing is written at the moment. */
  private noRoom: JournalFull | undefined;

  constructor(
    readonly address: Address,
    core: Core,
    private readonly ports: ActorPorts,
    private readonly limits: ActorLimits = DEFAULT_LIMITS,
  ) {
    this.machine = new Machine(address, core);
  }

  /** Rebuilds the state from the journal, then asks for authority under a new instance name. */
  start(instance: string): void {
    this.recover();
    this.state = 'starting';
    // The number of inputs so far is an id that is unique and grows.
    const id = this.seq + 1;
    const header = { ...this.header(REQUEST, bootApi.start.id), id, floor: id };
    this.enqueue(BOOT, encodeFrame(header, bootApi.start.args, { instance }));
  }

  private header(kind: number, method: number): FrameHeader {
    const { clock, epoch } = this.machine;
    return { kind, flags: 0, method, epoch, id: 0, floor: 0, clock, seen: 0, deadline: 0 };
  }

  private recover(): void {
    const { snapshot, records } = this.ports.journal.load();
    if (snapshot) {
      this.outputsSinceRecord = restoreSnapshot(this.machine, snapshot.state);
      this.seq = snapshot.seq;
      this.snapshotAt = snapshot.seq;
    }
    for (const record of records) {
      record.check?.(this.outputsSinceRecord);
      for (const input of decodeInputs(record.body)) this.machine.step(input);
      this.seq = record.seq;
      this.outputsSinceRecord = this.machine.out;
      this.machine.out = [];
    }
  }

  receive(from: Address, frame: Uint8Array): void {
    if (this.state !== 'serving' && !(this.state === 'starting' && from === LAB)) return;
    if (this.noRoom && this.answersNow(from, frame)) return;
    if (this.inbox.length >= this.limits.inbox || this.inboxBytes + frame.length > this.limits.inboxBytes) {
      this.dropped++;
      return;
    }
    this.enqueue(from, frame);
  }

  /** Has this request come before, whether it was taken up or waits for it? */
  knows(from: Address, id: number): boolean {
    const waits = this.inbox.some((each) => each.from === from && isRequest(each.frame, id));
    return waits || this.machine.knows(from, id);
  }

  private enqueue(from: Address, frame: Uint8Array): void {
    this.inbox.push({ from, frame, now: 0, entropy: NO_ENTROPY });
    this.inboxBytes += frame.length;
    // Without room each tick tries again.
    if (!this.noRoom) this.schedule();
  }

  /** Inputs wait until there is room in the journal. */
  get readOnly(): boolean {
    return this.noRoom !== undefined;
  }

  /** Looking at the state changes nothing, so it needs no room: whoever wonders why nothing is answered is told. */
  private answersNow(from: Address, frame: Uint8Array): boolean {
    if (frame[0] !== REQUEST || this.state !== 'serving') return false;
    const answer = this.machine.inspectNow(from, frame, `read-only: ${this.noRoom!.message}`);
    if (answer) this.ports.send(from, answer);
    return answer !== undefined;
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.ports.defer(() => this.turn());
  }

  private turn(): void {
    this.scheduled = false;
    if (this.inbox.length === 0 || this.state === 'stopped' || this.state === 'failed') return;
    const held = this.holdRequests();
    try {
      // Without a record nothing was done, and what was said since the last one stays what the next one vouches for.
      if (this.inbox.length > 0 && this.takeInputs()) this.release();
      this.maybeSnapshot();
    } catch (e) {
      this.fail(e instanceof Error ? e : new Error(String(e)));
    }
    const more = this.inbox.length > 0 && !this.noRoom;
    this.inbox.push(...held);
    // Held requests are looked at again when a reply comes, or with the next tick.
    if (more || (held.length > 0 && this.heldSince === 0)) this.schedule();
  }

  /**
   * When a snapshot is long overdue and operations are in flight, requests wait for a moment, so that those end. What is
   * held is taken out of the inbox and handed back.
   */
  private holdRequests(): Received[] {
    const { snapshotEvery } = this.limits;
    if (!this.snapshotDue(2 * snapshotEvery) || this.machine.idle || this.state !== 'serving') {
      this.heldSince = 0;
      return [];
    }
    const now = this.ports.now();
    if (this.heldSince === 0) this.heldSince = now;
    if (Math.abs(now - this.heldSince) > HOLD_MS) {
      this.snapshotAt += snapshotEvery;
      this.heldSince = 0;
      return [];
    }
    const held = this.inbox.filter(({ frame }) => frame[0] === REQUEST);
    this.inbox = this.inbox.filter(({ frame }) => frame[0] !== REQUEST);
    return held;
  }

  /** Takes from the inbox what fits into one record. */
  private takeBatch(): Received[] {
    const { batch, batchBytes } = this.limits;
    let n = 0;
    let bytes = 0;
    while (n < this.inbox.length && n < batch) {
      const more = this.inbox[n]!.frame.length;
      if (n > 0 && bytes + more > batchBytes) break;
      bytes += more;
      n++;
    }
    this.inboxBytes -= bytes;
    if (n < this.inbox.length) return this.inbox.splice(0, n);
    const all = this.inbox;
    this.inbox = [];
    return all;
  }

  /** False: there is no room for them now. */
  private takeInputs(): boolean {
    const inputs = this.takeBatch();
    const now = this.ports.now();
    for (const input of inputs) {
      input.now = now;
      if (input.frame.length > 1 && input.frame[1]! & FLAG_ENTROPY) input.entropy = this.ports.entropy(ENTROPY);
    }
    const seq = this.seq + inputs.length;
    const { journal } = this.ports;
    const body = journal.keepsNothing ? NO_BODY : encodeInputs(inputs, now);
    if (!this.write(seq, body)) {
      this.putBack(inputs);
      return false;
    }
    this.bytesSinceSnapshot += body.length;
    this.seq = seq;
    for (const input of inputs) this.machine.step(input);
    return true;
  }

  private write(seq: number, body: Uint8Array): boolean {
    try {
      this.ports.journal.append({ seq, body }, this.outputsSinceRecord);
    } catch (e) {
      if (!(e instanceof JournalFull)) throw e;
      this.setRoom(e);
      return false;
    }
    if (this.noRoom) this.setRoom(undefined);
    return true;
  }

  private setRoom(why: JournalFull | undefined): void {
    const told = this.noRoom !== undefined;
    this.noRoom = why;
    if (told !== (why !== undefined)) this.ports.readOnly?.(why);
  }

  private putBack(inputs: Received[]): void {
    this.inbox = [...inputs, ...this.inbox];
    for (const { frame } of inputs) this.inboxBytes += frame.length;
  }

  /** Lets the outputs of executed, durable inputs go. While starting only the lab hears from us. */
  private release(): void {
    const out = this.machine.out;
    this.machine.out = [];
    this.outputsSinceRecord = out;
    for (const { to, frame } of out) if (this.state === 'serving' || to === LAB) this.ports.send(to, frame);
    if (this.state === 'starting' && this.machine.registration) this.begin();
  }

  private begin(): void {
    const { seq, hash } = this.machine.registration!;
    const head = this.ports.journal.head();
    if (seq > this.seq || (seq === head.seq && hash !== head.hash && hash !== ''))
      throw new Error(
        `${this.address}: the journal ends at ${head.seq}, but record ${seq} was witnessed: its tail is lost or changed. ` +
          'Restore the journal file from a copy, or remove the lab and make it anew.',
      );
    this.state = 'serving';
    this.tick(true);
    this.ports.serving?.();
  }

  /** Sends unanswered requests again when their time has come; `all`: at once, after a start. */
  tick(all = false): void {
    if (this.state !== 'serving' && this.state !== 'starting') return;
    const now = this.ports.now();
    for (const { to, pending } of this.machine.unanswered()) {
      if (this.state === 'starting' && to !== LAB) continue;
      if (pending.sentAt === 0 && !all) pending.sentAt = now;
      const wait = Math.min(this.limits.retryMs * 2 ** pending.tries, this.limits.retryMaxMs);
      // A clock that was set back must not stop repetitions until it has caught up.
      if (!all && Math.abs(now - pending.sentAt) < wait) continue;
      pending.sentAt = now;
      pending.tries++;
      pending.frame = withEpoch(pending.frame, this.machine.epoch);
      this.ports.send(to, pending.frame);
    }
    if (this.state === 'serving') this.ring(now);
    this.witness();
    if (this.inbox.length > 0) this.schedule();
  }

  /** Alarms whose time has come are inputs like any other. */
  private ring(now: number): void {
    for (const id of this.machine.dueAlarms(now))
      this.enqueue(BOOT, encodeFrame(this.header(EVENT, bootApi.alarm.id), bootApi.alarm.args, { id }));
  }

  /** Tells the lab how far the journal is, at most once a tick. */
  private witness(): void {
    const head = this.ports.journal.head();
    if (head.seq === this.witnessedSeq || head.hash === '' || this.state !== 'serving' || this.address === LAB) return;
    this.witnessedSeq = head.seq;
    this.ports.send(LAB, encodeFrame(this.header(EVENT, bootApi.witness.id), bootApi.witness.args, head));
  }

  /**
   * A snapshot is due after so many inputs, and when the journal has grown by several times the size of the last one:
   * writing snapshots never costs more than a part of writing the journal.
   */
  private snapshotDue(inputs: number): boolean {
    if (inputs === 0 || this.ports.journal.keepsNothing) return false;
    return (
      this.seq - this.snapshotAt >= inputs && this.bytesSinceSnapshot >= this.limits.snapshotGrowth * this.snapshotBytes
    );
  }

  private maybeSnapshot(): void {
    if (this.noRoom || !this.snapshotDue(this.limits.snapshotEvery) || !this.machine.idle) return;
    try {
      this.snapshot();
    } catch (e) {
      if (!(e instanceof JournalFull)) throw e;
      // The records are there: it comes later.
      this.snapshotAt += this.limits.snapshotEvery;
    }
  }

  /** Where the journal is now. */
  get head(): Head {
    return this.ports.journal.head();
  }

  /** Keeps the state as it is now; needs every operation to have ended. */
  snapshot(): void {
    const w = new ByteWriter(65536);
    // A replay of the whole journal knows these outputs too: without them the hash of the next record would differ.
    writeOutputs(w, this.outputsSinceRecord);
    this.machine.encode(w);
    this.ports.journal.saveSnapshot({ seq: this.seq, state: w.take() });
    this.snapshotAt = this.seq;
    this.snapshotBytes = w.length;
    this.bytesSinceSnapshot = 0;
  }

  /** Stops at once, as a crash would: nothing is written or sent any more. */
  halt(): void {
    this.state = 'stopped';
    this.dropInbox();
  }

  private fail(error: Error): void {
    this.state = 'failed';
    this.dropInbox();
    this.ports.failed(error);
  }

  private dropInbox(): void {
    this.inbox = [];
    this.inboxBytes = 0;
  }
}

function isRequest(frame: Uint8Array, id: number): boolean {
  try {
    return frame[0] === REQUEST && decodeHeader(frame).id === id;
  } catch (e) {
    if (e instanceof WireError) return false;
    throw e;
  }
}

/** Puts a fresh machine into the state of a snapshot and answers the outputs of the turn before it. */
export function restoreSnapshot(machine: Machine, state: Uint8Array): Output[] {
  const r = new ByteReader(state);
  const outputs = readOutputs(r);
  machine.decode(r);
  return outputs;
}

/**
 * Frames between the ports of functions of one host, and what the models of a PF and its VFs tell and ask each other.
 *
 * Words: a *peer* is a function at the end of one of the function's ports; a frame is *under way* until its peer has stored or
 * dropped it.
 * Rule: who sends never waits. Frames to one peer keep their order, and so many may be under way: one more is dropped and counted,
 * as a full buffer drops on the wire. A frame that is under way arrives, though the sender is reset and though either is killed.
 */
import { type Address, call, deviceAddress, deviceApi, deviceOf, lockRead, type Op, spawn } from '@vfiolab/core';
import { MAX_FRAME, MAX_NOTE } from '@vfiolab/devices';
import type { VfioDevice } from './vfio-device.js';

/** Frames under way to one peer. */
export const MAX_UNDER_WAY = 256;

const NOTHING = new Uint8Array(0);

export class Wire {
  /** Frames that found no room. */
  dropped = 0;
  private readonly queues = new Map<string, Uint8Array[]>();
  /** Notes that have not left, by peer; undefined: one is under way. */
  private readonly notes = new Map<string, Uint8Array | undefined>();

  /** `ports`: the functions that each of them leads to. */
  constructor(private readonly ports: readonly (readonly string[])[]) {}

  *transmit(frame: Uint8Array, port: number): Op<void> {
    if (frame.length > MAX_FRAME)
      throw new Error(`a model sent a frame of ${frame.length} bytes, ${MAX_FRAME} is the most`);
    for (const peer of this.ports[port] ?? []) {
      const queue = this.queues.get(peer);
      if (queue && queue.length >= MAX_UNDER_WAY) this.dropped++;
      else if (queue) queue.push(frame);
      else yield* this.begin(peer, frame);
    }
  }

  private *begin(peer: string, frame: Uint8Array): Op<void> {
    const queue = [frame];
    this.queues.set(peer, queue);
    yield* spawn(this.deliver(peer, queue));
  }

  /** The frame that is under way stays in its queue until it has arrived. */
  private *deliver(peer: string, queue: Uint8Array[]): Op<void> {
    for (; queue.length > 0; queue.shift()) yield* call(deviceAddress(peer), deviceApi.frame, { data: queue[0]! });
    this.queues.delete(peer);
  }

  /** Every peer at the end of the port is told; a note that has not left is replaced. */
  *notify(note: Uint8Array, port: number): Op<void> {
    if (note.length > MAX_NOTE) throw new Error(`a model made a note of ${note.length} bytes, ${MAX_NOTE} is the most`);
    for (const peer of this.ports[port] ?? []) {
      const leaves = !this.notes.has(peer);
      this.notes.set(peer, note);
      if (leaves) yield* spawn(this.deliverNotes(peer));
    }
  }

  /** An entry of a peer stays until all was told, so nobody else begins to tell. */
  private *deliverNotes(peer: string): Op<void> {
    for (let data = this.notes.get(peer); data; data = this.notes.get(peer)) {
      this.notes.set(peer, undefined);
      yield* call(deviceAddress(peer), deviceApi.note, { data });
    }
    this.notes.delete(peer);
  }

  /** Of several peers the first is asked. */
  *ask(question: Uint8Array, port: number): Op<Uint8Array> {
    if (question.length > MAX_NOTE)
      throw new Error(`a model asked in ${question.length} bytes, ${MAX_NOTE} is the most`);
    const peer = this.ports[port]?.[0];
    return peer === undefined ? NOTHING : yield* call(deviceAddress(peer), deviceApi.ask, { data: question });
  }

  /** The port at whose end somebody is; undefined: nobody's frames come from there. */
  portTo(sender: Address): number | undefined {
    const bdf = deviceOf(sender);
    const port = bdf === undefined ? -1 : this.ports.findIndex((peers) => peers.includes(bdf));
    return port < 0 ? undefined : port;
  }
}

/** Where nobody drives the function, and where it does not answer, a frame is dropped; so is what comes from where no port leads. */
export function* frameArrives(device: VfioDevice | undefined, from: Address, data: Uint8Array): Op<void> {
  const port = device?.bus.wire.portTo(from);
  if (!device || port === undefined || data.length > MAX_FRAME) return;
  yield* lockRead(device.memory);
  if (device.model.receive && !(yield* device.isSilent())) yield* device.model.receive(data, port);
}

/** A note comes to a function that does not answer too: what it tells is inside of the card. */
export function* noteArrives(device: VfioDevice | undefined, from: Address, data: Uint8Array): Op<void> {
  const port = device?.bus.wire.portTo(from);
  if (!device || port === undefined || data.length > MAX_NOTE) return;
  yield* lockRead(device.memory);
  if (device.model.notified) yield* device.model.notified(data, port);
}

/**
 * The same of a question. It waits for no lock: who asks may hold those of its own function, and whoever is asked may be about to
 * ask back.
 */
export function answerTo(device: VfioDevice | undefined, from: Address, data: Uint8Array): Uint8Array {
  const port = device?.bus.wire.portTo(from);
  if (!device || port === undefined || data.length > MAX_NOTE) return NOTHING;
  return device.model.answer?.(data, port) ?? NOTHING;
}

/**
 * Frames between the ports of functions of one host.
 *
 * Words: a *peer* is a function at the end of one of the function's ports; a frame is *under way* until its peer has stored or
 * dropped it.
 * Rule: who sends never waits. Frames to one peer keep their order, and so many may be under way: one more is dropped and counted,
 * as a full buffer drops on the wire. A frame that is under way arrives, though the sender is reset and though either is killed.
 */
import { type Address, call, deviceAddress, deviceApi, deviceOf, lockRead, type Op, spawn } from '@vfiolab/core';
import { MAX_FRAME } from '@vfiolab/devices';
import type { VfioDevice } from './vfio-device.js';

/** Frames under way to one peer. */
export const MAX_UNDER_WAY = 256;

export class Wire {
  /** Frames that found no room. */
  dropped = 0;
  private readonly queues = new Map<string, Uint8Array[]>();

  /** `ports`: the functions that each of them leads to. */
  constructor(private readonly ports: readonly (readonly string[])[]) {}

  *transmit(frame: Uint8Array, port: number): Op<void> {
    if (frame.length > MAX_FRAME)
      throw new Error(`a model sent a frame of ${frame.length} bytes, ${MAX_FRAME} is the most`);
    for (const peer of this.ports[port] ?? []) {
      const queue = this.queues.get(peer);
      if (queue && queue.length >= MAX_UNDER_WAY) this.dropped++;
      else if (queue) queue.push(frame);
      else yield* spawn(this.deliver(peer, frame));
    }
  }

  private *deliver(peer: string, first: Uint8Array): Op<void> {
    const queue = [first];
    this.queues.set(peer, queue);
    for (; queue.length > 0; queue.shift()) yield* call(deviceAddress(peer), deviceApi.frame, { data: queue[0]! });
    this.queues.delete(peer);
  }

  /** The port at whose end somebody is; undefined: nobody's frames come from there. */
  portTo(sender: Address): number | undefined {
    const bdf = deviceOf(sender);
    const port = bdf === undefined ? -1 : this.ports.findIndex((peers) => peers.includes(bdf));
    return port < 0 ? undefined : port;
  }
}

/** Where nobody drives the function a frame is dropped, and so is what comes from where no port of it leads. */
export function* frameArrives(device: VfioDevice | undefined, from: Address, data: Uint8Array): Op<void> {
  const port = device?.bus.wire.portTo(from);
  if (!device || port === undefined || data.length > MAX_FRAME) return;
  yield* lockRead(device.memory);
  if (device.model.receive) yield* device.model.receive(data, port);
}

/**
 * The bus: how frames get from one address to another.
 *
 * Rule: best effort. A frame may be lost, doubled, late or out of order on any bus; whoever needs more keeps it and sends
 * it again. The receiver learns who sent from the bus, never from the frame.
 */
import type { Address } from '@vfiolab/core';

export type Receive = (from: Address, frame: Uint8Array) => void;
/** For every address of a service: `to` says which. */
export type ReceiveFor = (to: Address, from: Address, frame: Uint8Array) => void;
/** Ends an attachment; frames on their way are dropped. */
export type Detach = () => void;

export interface Bus {
  /** Receives what is sent to one address. An address has one receiver; the newest wins. */
  attach(address: Address, receive: Receive): Detach;
  /** Receives what is sent to any address of a service that has no receiver of its own. */
  attachService(service: string, receive: ReceiveFor): Detach;
  /** Sends; returns before the receiver runs. */
  send(from: Address, to: Address, frame: Uint8Array): void;
}

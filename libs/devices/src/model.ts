/**
 * What a device model is to the function it sits behind.
 *
 * Words: the *bus* is what the function lends to its model: DMA and interrupts; an *access* is one naturally aligned read
 * or write of 1, 2, 4 or 8 bytes of the register BAR, little endian.
 * Rule: a model knows nothing of VFIO, config space or IOVAs' meaning; whether DMA or an interrupt gets through is for the
 * function (bus master, MSI enable) and the IOMMU to decide.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import type { SparseMemory } from './sparse-memory.js';

/** Bytes of one access. */
export type Width = 1 | 2 | 4 | 8;

/** A page is missing and was asked for: `pageResponse` tells when to try again. A model has one such request at a time. */
export const PENDING = 'pending';

/** Bytes of the longest frame that a network carries, without its CRC. */
export const MAX_FRAME = 9230;

/** Bytes of what a PF and a VF tell, ask or answer each other at once. */
export const MAX_NOTE = 64;

export interface ModelBus {
  /**
   * Reads memory; undefined when the request did not get through. `length`: 1 to 262144 bytes. `pasid`: the address space, the
   * function's own when left out.
   */
  dmaRead(iova: bigint, length: number, pasid?: number): Op<Uint8Array | typeof PENDING | undefined>;
  /** Writes memory; false when the request did not get through, and then no byte was written. */
  dmaWrite(iova: bigint, data: Uint8Array, pasid?: number): Op<boolean | typeof PENDING>;
  /** Sends the message of a vector, or asserts INTx when the function has no message interrupts enabled. */
  raise(vector: number): Op<void>;
  /** How the driver has interrupts now. */
  readonly interrupts: 'pin' | 'msi' | 'msix';
  /** Deasserts INTx. */
  lower(): void;
  /**
   * Does the work after so many ms, while accesses to registers go on: what a device does by itself. It is dropped when the
   * function is reset or closed before, or falls silent; then `dropped` is called when the time has come.
   */
  later(ms: number, work: () => Op<void>, dropped?: () => void): Op<void>;
  /**
   * Sends an Ethernet frame of at most {@link MAX_FRAME} bytes to everyone that the port leads to, and does not wait for them.
   * `port`: 0 when left out.
   */
  transmit(frame: Uint8Array, port?: number): Op<void>;
  /**
   * Tells who is at the end of the port something that is not a frame, in at most {@link MAX_NOTE} bytes, and does not wait: what
   * a PF and its VFs share without a wire. A newer note takes the place of one that has not left. `port`: 0 when left out.
   */
  notify(note: Uint8Array, port?: number): Op<void>;
  /**
   * Asks who is at the end of the port, in at most {@link MAX_NOTE} bytes, and waits for what its model answers; empty: no vfio
   * driver has the function, or its model answers nothing. `port`: 0 when left out.
   */
  ask(question: Uint8Array, port?: number): Op<Uint8Array>;
}

/** Who a function has a way to: port 0 is the network; a PF's ports behind it are its VFs, and a VF's port 0 is its PF. */
export interface Wiring {
  /** The port is on a network. */
  readonly connected: boolean;
  readonly ports: number;
  /** Number of the VF among its PF's; undefined: it is none. */
  readonly vf: number | undefined;
}

/** What a model is told of the function that it sits behind. */
export interface ModelFacts {
  /** Bytes of the second memory BAR; 0: there is none. */
  readonly memoryBytes: number;
  /** An Ethernet address that no other function of the host is told, six bytes. */
  readonly mac: Uint8Array;
  readonly wiring: Wiring;
}

/** In ms. Left out: no time. */
export interface Timing {
  /** A read of a register, or of `memory`. Writes are posted, nobody waits for them. */
  readonly read?: number;
  /** From a reset until it answers again. The kernel waits for a minute, and then tries another method. */
  readonly reset?: number;
  /** After every so many resets of its own it does not answer until its bus is reset; 0 or left out: it always does. */
  readonly stuckEvery?: number;
}

export interface DeviceModel {
  /** Name by which a machine's description asks for the model. */
  readonly name: string;
  /** Bytes of the register BAR that the model answers for; behind them nothing does. */
  readonly registerBytes: number;
  /** How long it takes for what; left out: no time for anything. A machine's description may say otherwise. */
  readonly timing?: Timing;
  /** Returns `width` bytes as a number. A register that reading clears is cleared: each read of a driver comes once. */
  read(offset: number, width: Width): bigint;
  /** Ends when everything the write started has ended, DMA and interrupts included. */
  write(offset: number, width: Width, value: bigint): Op<void>;
  /**
   * The page that a DMA waits for is there, or will not come. Nobody may be waiting any more. Models that never wait have no
   * such method.
   */
  pageResponse?(success: boolean): Op<void>;
  /** A frame comes in at a port. Ends when it is stored or dropped. Models that have no such method drop all. */
  receive?(frame: Uint8Array, port: number): Op<void>;
  /** Who is at the end of a port tells something: see `notify`. Models that tell each other nothing have no such method. */
  notified?(note: Uint8Array, port: number): Op<void>;
  /**
   * Who is at the end of a port asks something, which may be while the model is reset or a write is running: answers at once, in
   * at most {@link MAX_NOTE} bytes. Models that are asked nothing have no such method.
   */
  answer?(question: Uint8Array, port: number): Uint8Array;
  /** After `reset`: the model may tell others. Not after that of a first open, before which nothing has happened. */
  wasReset?(): Op<void>;
  /** First open, after `reset` and before anybody has access: the model may ask others. */
  opened?(): Op<void>;
  /** What is behind the second memory BAR, from its start on; models without it have nothing there. */
  readonly memory?: SparseMemory;
  /**
   * What the device stores and keeps without power, for the function's next driver to find. Models that store nothing have
   * neither of the two.
   */
  takeMedia?(): Uint8Array;
  putMedia?(stored: Uint8Array): void;
  /** Back to the state after power-on. Called only while no `write` is running. */
  reset(): void;
  encode(w: ByteWriter): void;
  decode(r: ByteReader): void;
  /** What is not as a model's state must be, in words; empty when all is well. */
  check(): string[];
  /** Registers for people, as one line. */
  describe(): string;
}

/** A model whose state can be taken to another host, and that tells which memory it wrote to. */
export interface MigratableModel extends DeviceModel {
  /** Bytes of one state. */
  readonly imageBytes: number;
  /** A command waits for a page: it ends with the move, so the state that arrives is not quite this one. Left out: none ever does. */
  readonly waits?: boolean;
  /** The state now. Called only while no `write` is running. */
  save(): Uint8Array;
  /** Takes a state; false: it is none of this model, and nothing has changed. */
  load(image: Uint8Array): boolean;
}

export const isMigratable = (model: DeviceModel): model is MigratableModel => 'imageBytes' in model;

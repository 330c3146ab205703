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
  /** Deasserts INTx. */
  lower(): void;
  /**
   * Does the work after so many ms, while accesses to registers go on: what a device does by itself. It is dropped when the
   * function is reset or closed before.
   */
  later(ms: number, work: () => Op<void>): Op<void>;
}

/** What a model is told of the function that it sits behind. */
export interface ModelFacts {
  /** Bytes of the second memory BAR; 0: there is none. */
  readonly memoryBytes: number;
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
  /** Reading has no side effects. Returns `width` bytes as a number. */
  read(offset: number, width: Width): bigint;
  /** Ends when everything the write started has ended, DMA and interrupts included. */
  write(offset: number, width: Width, value: bigint): Op<void>;
  /**
   * The page that a DMA waits for is there, or will not come. Nobody may be waiting any more. Models that never wait have no
   * such method.
   */
  pageResponse?(success: boolean): Op<void>;
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
  /** The state now. Called only while no `write` is running. */
  save(): Uint8Array;
  /** Takes a state; false: it is none of this model, and nothing has changed. */
  load(image: Uint8Array): boolean;
}

export const isMigratable = (model: DeviceModel): model is MigratableModel => 'imageBytes' in model;

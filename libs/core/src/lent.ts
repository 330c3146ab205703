/** Memory that the host's process lends to programs of a lab, by names that only they know. */
export interface LentBytes {
  /** Bytes, in whole pages. */
  readonly length: number;
  /** Fills `into` from byte `at` on. Callers stay inside. */
  read(at: number, into: Uint8Array): void;
  write(at: number, data: Uint8Array): void;
}

export type LentMemory = ReadonlyMap<string, LentBytes>;

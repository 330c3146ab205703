/** Records and outputs for journal tests: a function of their number, so that a test can tell what must be read back. */
import { encodeInputs, type Input, type JournalRecord, type Output } from '@vfiolab/core';

export const SAMPLE_TIME = 1_700_000_000_000;

const bytesOf = (n: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => n * 31 + i * 7);

/** A record that ends at `seq` and holds `inputs` inputs of `frameBytes` bytes. */
export function sampleRecord(seq: number, inputs: number, frameBytes = 24): JournalRecord {
  const now = SAMPLE_TIME + seq;
  const input = (i: number): Input => ({
    from: 'client:a',
    frame: bytesOf(seq + i, frameBytes),
    now,
    entropy: bytesOf(i, 0),
  });
  return {
    seq,
    body: encodeInputs(
      Array.from({ length: inputs }, (_, i) => input(i)),
      now,
    ),
  };
}

/** What a machine said between the record before `seq` and that record. */
export const sampleOutputs = (seq: number): Output[] => [{ to: 'client:a', frame: bytesOf(seq, 16) }];

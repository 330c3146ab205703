/**
 * The hash chain of a journal.
 *
 * Words: the *link* of a record is SHA-256 over the link of the record before it, its sequence number, the digest of the
 * outputs made since that record, and its body. The *genesis* is the link before the first record and names the actor.
 * Rule: whoever changes, drops, inserts or reorders a record changes every link after it; a machine that answers
 * differently in a replay is noticed at the next record.
 */
import { hash } from 'node:crypto';
import { ByteWriter, type Output, writeOutputs } from '@vfiolab/core';

export const HASH_BYTES = 32;
/** Scratch buffers above this size are given back after use. */
const KEEP = 1 << 20;

let scratch = new ByteWriter(65536);

function digest(write: (w: ByteWriter) => void): Uint8Array {
  const w = scratch.reset();
  write(w);
  const out = hash('sha256', w.view(), 'buffer');
  if (w.length > KEEP) scratch = new ByteWriter(65536);
  return out;
}

/** 32 bytes that stand for the outputs made between two records. */
export const outputsDigest = (outputs: readonly Output[]): Uint8Array => digest((w) => writeOutputs(w, outputs));

/** The link of a record, 32 bytes; `outputs` is the digest that `outputsDigest` gives. */
export const chainHash = (prev: Uint8Array, seq: number, outputs: Uint8Array, body: Uint8Array): Uint8Array =>
  digest((w) => {
    w.raw(prev);
    w.num(seq);
    w.raw(outputs);
    w.raw(body);
  });

/** The link before an actor's first record. */
export const genesisHash = (actor: string, created: number): Uint8Array =>
  digest((w) => {
    w.str('vfiolab journal 1');
    w.str(actor);
    w.num(created);
  });

/** Protects a snapshot: it covers the link at which the state was taken. */
export const snapshotHash = (link: Uint8Array, seq: number, state: Uint8Array): Uint8Array =>
  digest((w) => {
    w.raw(link);
    w.num(seq);
    w.raw(state);
  });

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

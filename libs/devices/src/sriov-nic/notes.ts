/** What a PF and a VF tell each other, as bytes: see mailbox.ts for what a note is. */
import { ByteReader, ByteWriter } from '@vfiolab/core';
import type { Heard, Mailbox } from './mailbox.js';

/** Bytes of the longest note. */
const NOTE = 64;
const MAC = 6;

export interface Granted {
  readonly link: boolean;
  readonly mac: Uint8Array | undefined;
}

export type PfNote = Heard & Granted;
export type VfNote = Heard & { readonly active: boolean };

export function pfNote({ link, mac }: Granted, mailbox: Mailbox): Uint8Array {
  const w = new ByteWriter(NOTE);
  mailbox.tell(w);
  w.bool(link);
  w.bool(mac !== undefined);
  for (const byte of mac ?? new Uint8Array(MAC)) w.u8(byte);
  return w.take();
}

export function readPfNote(note: Uint8Array, mailbox: Mailbox): PfNote {
  const r = new ByteReader(note);
  const heard = mailbox.hear(r);
  const [link, granted] = [r.bool(), r.bool()];
  const mac = Uint8Array.from({ length: MAC }, () => r.u8());
  return { ...heard, link, mac: granted ? mac : undefined };
}

export function vfNote(active: boolean, mailbox: Mailbox): Uint8Array {
  const w = new ByteWriter(NOTE);
  mailbox.tell(w);
  w.bool(active);
  return w.take();
}

export function readVfNote(note: Uint8Array, mailbox: Mailbox): VfNote {
  const r = new ByteReader(note);
  const heard = mailbox.hear(r);
  return { ...heard, active: r.bool() };
}

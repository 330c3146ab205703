/**
 * The expansion ROM of a function.
 *
 * Rule: descriptions of machines have no ROM contents, so the ROM holds the smallest image that says whose it is: a header
 * and a data structure as the PCI Firmware specification has them, without code. Behind it the ROM is erased (all ones).
 */
import type { FunctionFacts } from '@vfiolab/core';
import { write16, write32 } from './little-endian.js';

const UNIT = 512;
const DATA_AT = 0x1c;
const DATA_POINTER = 0x18;
const DATA_LENGTH = 0x18;
const SIGNATURE = 0xaa55;
/** "PCIR". */
const DATA_SIGNATURE = 0x52494350;
const ERASED = 0xff;
const LAST_IMAGE = 0x80;

function image({ vendor, device, classCode }: FunctionFacts): Uint8Array {
  const bytes = new Uint8Array(UNIT);
  write16(bytes, 0, SIGNATURE);
  bytes[2] = 1;
  write16(bytes, DATA_POINTER, DATA_AT);
  write32(bytes, DATA_AT, DATA_SIGNATURE);
  write16(bytes, DATA_AT + 4, vendor);
  write16(bytes, DATA_AT + 6, device);
  write16(bytes, DATA_AT + 0x0a, DATA_LENGTH);
  for (let i = 0; i < 3; i++) bytes[DATA_AT + 0x0d + i] = classCode >>> (8 * i);
  write16(bytes, DATA_AT + 0x10, 1);
  bytes[DATA_AT + 0x15] = LAST_IMAGE;
  return bytes;
}

/** Bytes [offset, offset + length) of the ROM. */
export function readRom(facts: FunctionFacts, offset: number, length: number): Uint8Array {
  const out = new Uint8Array(length).fill(ERASED);
  if (offset < UNIT) out.set(image(facts).subarray(offset, Math.min(UNIT, offset + length)));
  return out;
}

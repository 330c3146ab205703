/**
 * The EEPROM of the card: 64 words with its address and identity.
 *
 * Rule: the words up to the checksum's sum up to 0xbaba. What a driver writes stays, without power too.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';

export const WORDS = 64;
const CHECKSUM = 0x3f;
const SUM = 0xbaba;
/** Of EERD and EEWR. */
export const [START, DONE] = [1, 2];

const COMPATIBILITY = 0x03;
const LEDS = 0x04;
const PART_NUMBER = 0x08;
const IDENTITY = 0x0a;

export class Nvm {
  private words: Uint16Array;

  /** `mac`: the address of the card, six bytes. */
  constructor(mac: Uint8Array) {
    this.words = newWords(mac);
  }

  /** The address of the card as it is stored. */
  get mac(): Uint8Array {
    return Uint8Array.from({ length: 6 }, (_, i) => this.words[i >>> 1]! >>> (8 * (i & 1)));
  }

  /** What EERD reads after this was written to it. */
  read(command: number): number {
    if (!(command & START)) return command & ~DONE;
    const at = (command >>> 2) & 0x3fff;
    return (((this.words[at] ?? 0xffff) << 16) | (command & 0xfffc) | DONE) >>> 0;
  }

  /** The same for EEWR: the word is stored. */
  write(command: number): number {
    const at = (command >>> 2) & 0x3fff;
    if (command & START && at < WORDS) this.words[at] = command >>> 16;
    return ((command & ~START) | DONE) >>> 0;
  }

  encode(w: ByteWriter): void {
    for (const word of this.words) w.u16(word);
  }

  decode(r: ByteReader): void {
    this.words = Uint16Array.from({ length: WORDS }, () => r.u16());
  }
}

function newWords(mac: Uint8Array): Uint16Array {
  const words = new Uint16Array(WORDS);
  for (let i = 0; i < 3; i++) words[i] = mac[2 * i]! | (mac[2 * i + 1]! << 8);
  words[COMPATIBILITY] = 0x0420;
  words[LEDS] = 0xf746;
  words.set([0xe46c, 0x2017], PART_NUMBER);
  // Initialisation, subsystem and its vendor, device, vendor, initialisation without manageability.
  words.set([0x026b, 0xa01f, 0x8086, 0x10d3, 0x8086, 0x0000], IDENTITY);
  words[CHECKSUM] = SUM - words.subarray(0, CHECKSUM).reduce((sum, word) => sum + word, 0);
  return words;
}

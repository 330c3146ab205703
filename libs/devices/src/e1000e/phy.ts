/**
 * The transceiver of the card, which drivers reach through the MDI control register.
 *
 * Words: registers 16 to 31 are in *pages*, which register 22 chooses; the *link* is there when the port is on a network and
 * the transceiver has power.
 * Rule: negotiation always ends at once with 1000 Mb/s, full duplex: nothing slower is on a network.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';

const ADDRESS = 1;
/** Pages that hold what was written; others read zero. */
const PAGES = 8;
const [CONTROL, BASIC_STATUS, ID_1, ID_2, ADVERTISED, PARTNER] = [0, 1, 2, 3, 4, 5];
const [CONTROL_1000, STATUS_1000, EXTENDED_STATUS] = [9, 10, 15];
const [SPECIFIC_STATUS, PAGE_SELECT] = [17, 22];
const CONTROL_RESET = 1 << 15;
const CONTROL_LOOPBACK = 1 << 14;
const CONTROL_POWER_DOWN = 1 << 11;
const CONTROL_RESTART = 1 << 9;
const LINK_UP = 1 << 2;
const NEGOTIATED = 1 << 5;

const FIXED: ReadonlyMap<number, number> = new Map([
  [ID_1, 0x0141],
  [ID_2, 0x0cb1],
  [EXTENDED_STATUS, 0x3000],
]);
const INITIAL: ReadonlyMap<number, number> = new Map([
  [CONTROL, 0x1140],
  [ADVERTISED, 0x0de1],
  [CONTROL_1000, 0x0300],
]);

/** Of MDIC. */
export const OP_WRITE = 1 << 26;
export const OP_READ = 2 << 26;
export const READY = 1 << 28;
export const INTERRUPT = 1 << 29;
export const FAILED = 1 << 30;

export class Phy {
  private values = new Map(INITIAL);

  /** `connected`: the port is on a network. */
  constructor(private readonly connected: boolean) {}

  get link(): boolean {
    return this.connected && !(this.get(CONTROL) & CONTROL_POWER_DOWN);
  }

  get loopback(): boolean {
    return (this.get(CONTROL) & CONTROL_LOOPBACK) !== 0;
  }

  reset(): void {
    this.values = new Map(INITIAL);
  }

  /** What MDIC reads after this was written to it. */
  access(command: number): number {
    const number = (command >>> 16) & 31;
    const answer = (command & ~(FAILED | INTERRUPT)) | READY;
    if (((command >>> 21) & 31) !== ADDRESS) return (answer | FAILED) >>> 0;
    if (command & OP_WRITE) this.write(number, command & 0xffff);
    if (command & OP_READ) return ((answer & ~0xffff) | this.read(number)) >>> 0;
    return answer >>> 0;
  }

  private get(number: number): number {
    return this.values.get(number) ?? 0;
  }

  /** Which place a register has; undefined: its page holds nothing. */
  private placeOf(number: number): number | undefined {
    const page = number < 16 || number === PAGE_SELECT ? 0 : this.get(PAGE_SELECT);
    return page < PAGES ? page * 32 + number : undefined;
  }

  private read(number: number): number {
    const place = this.placeOf(number);
    const { link } = this;
    if (place === undefined) return 0;
    if (place === BASIC_STATUS) return 0x7949 | (link ? LINK_UP | NEGOTIATED : 0);
    if (place === PARTNER) return link ? 0x4de1 : 0;
    if (place === STATUS_1000) return link ? 0x7c00 : 0;
    if (place === SPECIFIC_STATUS) return link ? 0xbc00 : 0;
    return FIXED.get(place) ?? this.get(place);
  }

  private write(number: number, value: number): void {
    const place = this.placeOf(number);
    if (place === CONTROL && value & CONTROL_RESET) return this.reset();
    if (place === undefined || isReadOnly(place)) return;
    this.values.set(place, place === CONTROL ? value & ~CONTROL_RESTART : value);
  }

  encode(w: ByteWriter): void {
    w.u32(this.values.size);
    for (const [place, value] of [...this.values].sort(([a], [b]) => a - b)) {
      w.u16(place);
      w.u16(value);
    }
  }

  decode(r: ByteReader): void {
    this.values = new Map();
    for (let left = r.u32(); left > 0; left--) this.values.set(r.u16(), r.u16());
  }
}

const isReadOnly = (place: number): boolean =>
  FIXED.has(place) || [BASIC_STATUS, PARTNER, STATUS_1000, SPECIFIC_STATUS].includes(place);

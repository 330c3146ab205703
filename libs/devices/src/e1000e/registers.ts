/**
 * Registers of an 82574L (its data sheet, chapter 10): where they are, and what drivers may write to them.
 *
 * Words: a *plain* register holds what was written last; all others are answered by the part of the controller that they
 * belong to. Of two queues, the second one's registers are `QUEUE_STRIDE` behind the first one's.
 * Rule: only what differs from zero is state, so a controller at rest is small.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';

/** Bytes of the register BAR. */
export const REGISTER_BYTES = 0x20000;

export const CTRL = 0x0000;
export const CTRL_COPY = 0x0004;
export const STATUS = 0x0008;
export const EECD = 0x0010;
export const EERD = 0x0014;
export const CTRL_EXT = 0x0018;
export const MDIC = 0x0020;
export const VET = 0x0038;
export const ICR = 0x00c0;
export const ITR = 0x00c4;
export const ICS = 0x00c8;
export const IMS = 0x00d0;
export const IMC = 0x00d8;
export const EIAC = 0x00dc;
export const IAM = 0x00e0;
export const IVAR = 0x00e4;
export const EITR = 0x00e8;
export const RCTL = 0x0100;
export const TCTL = 0x0400;
export const LEDCTL = 0x0e00;
export const EXTCNF_CTRL = 0x0f00;
export const PBA = 0x1000;
export const EEMNGCTL = 0x1010;
export const EEWR = 0x102c;
export const PSRCTL = 0x2170;
export const RECEIVE_RING = 0x2800;
export const TRANSMIT_RING = 0x3800;
export const QUEUE_STRIDE = 0x100;
export const QUEUES = 2;
/** Of a ring, from its start on. */
export const [BASE_LOW, BASE_HIGH, LENGTH, HEAD, TAIL] = [0x00, 0x04, 0x08, 0x10, 0x18] as const;
export const STATISTICS = 0x4000;
export const STATISTICS_END = 0x4128;
export const RXCSUM = 0x5000;
export const RFCTL = 0x5008;
export const MTA = 0x5200;
export const RECEIVE_ADDRESSES = 0x5400;
export const VFTA = 0x5600;
export const MRQC = 0x5818;
export const SWSM = 0x5b50;
export const RETA = 0x5c00;
export const RSSRK = 0x5c80;

export const CTRL_FULL_DUPLEX = 1;
export const CTRL_MASTER_DISABLE = 1 << 2;
export const CTRL_SET_LINK_UP = 1 << 6;
export const CTRL_SPEED_1000 = 2 << 8;
export const CTRL_RESET = 1 << 26;
export const CTRL_VLAN_MODE = 1 << 30;
export const CTRL_PHY_RESET = 1 << 31;
export const CTRL_EXT_EEPROM_RESET = 1 << 13;
export const CTRL_EXT_EIAME = 1 << 24;
export const CTRL_EXT_IAME = 1 << 27;
/** Clears pending bits of MSI-X; reads zero. */
export const CTRL_EXT_PBA_CLEAR = 1 << 31;

export const STATUS_LINK_UP = 1 << 1;
export const STATUS_SPEED_1000 = 2 << 6;
export const STATUS_INITIALISED = 1 << 9;
export const STATUS_MASTER = 1 << 19;

export const RCTL_ENABLE = 1 << 1;
export const RCTL_UNICAST_ALL = 1 << 3;
export const RCTL_MULTICAST_ALL = 1 << 4;
export const RCTL_LONG = 1 << 5;
export const RCTL_LOOPBACK = 3 << 6;
export const RCTL_SPLIT = 1 << 10;
export const RCTL_BROADCAST = 1 << 15;
export const RCTL_VLAN_FILTER = 1 << 18;
export const RCTL_SIZE_EXTENDED = 1 << 25;
export const RCTL_STRIP_CRC = 1 << 26;

export const TCTL_ENABLE = 1 << 1;
export const TCTL_PAD = 1 << 3;

export const RFCTL_EXTENDED = 1 << 15;
export const RXCSUM_IP = 1 << 8;
export const RXCSUM_L4 = 1 << 9;
export const RXCSUM_NO_PACKET_SUM = 1 << 13;

/** Receive addresses, each a low and a high register. */
export const ADDRESSES = 16;
export const ADDRESS_VALID = 1 << 31;

/** First and last register of ranges whose registers are plain, besides those that the controller's parts answer for. */
const PLAIN: readonly (readonly [number, number])[] = [
  [CTRL, CTRL],
  [EECD, EECD],
  [CTRL_EXT, 0x001c],
  [0x0024, 0x0038],
  [ITR, ITR],
  [EIAC, 0x00f8],
  [RCTL, RCTL],
  [0x0170, 0x0178],
  [TCTL, 0x0410],
  [0x0458, 0x0458],
  [LEDCTL, LEDCTL],
  [EXTCNF_CTRL, 0x0f10],
  [PBA, 0x1008],
  [0x1014, 0x1014],
  [0x1038, 0x103c],
  [0x2008, 0x2008],
  [0x2160, PSRCTL],
  [0x2410, 0x2430],
  [RECEIVE_RING, 0x282c],
  [RECEIVE_RING + QUEUE_STRIDE, 0x292c],
  [0x2c00, 0x2c00],
  [0x3410, 0x3430],
  [TRANSMIT_RING, 0x3840],
  [TRANSMIT_RING + QUEUE_STRIDE, 0x3940],
  [RXCSUM, RFCTL],
  [MTA, MTA + 0x1fc],
  [RECEIVE_ADDRESSES, RECEIVE_ADDRESSES + 8 * ADDRESSES - 4],
  [VFTA, VFTA + 0x1fc],
  [0x5800, 0x5820],
  [0x5860, 0x5890 + 0x1c],
  [0x5b00, 0x5b08],
  [SWSM, SWSM],
  [0x5b58, 0x5b64],
  [RETA, RETA + 0x7c],
  [RSSRK, RSSRK + 0x24],
  [0x5f00, 0x5ffc],
  [0xb608, 0xb620],
  [0xb634, 0xb638],
];

/** Bits that a register has, of those that are not 32 bits wide. */
const WIDTHS: ReadonlyMap<number, number> = new Map(
  [RECEIVE_RING, TRANSMIT_RING]
    .flatMap((ring) => [ring, ring + QUEUE_STRIDE])
    .flatMap((ring) => [
      [ring + BASE_LOW, 0xffff_fff0],
      [ring + LENGTH, 0x000f_ff80],
      [ring + HEAD, 0xffff],
      [ring + TAIL, 0xffff],
    ]),
);

export const isPlain = (offset: number): boolean => PLAIN.some(([first, last]) => offset >= first && offset <= last);

export class Registers {
  private values: Map<number, number>;

  /** `initial`: values after power-on that are not zero. */
  constructor(private readonly initial: ReadonlyMap<number, number>) {
    this.values = new Map(initial);
  }

  get(offset: number): number {
    return this.values.get(offset) ?? 0;
  }

  set(offset: number, value: number): void {
    const kept = (value & (WIDTHS.get(offset) ?? 0xffff_ffff)) >>> 0;
    if (kept === 0) this.values.delete(offset);
    else this.values.set(offset, kept);
  }

  reset(): void {
    this.values = new Map(this.initial);
  }

  encode(w: ByteWriter): void {
    w.u32(this.values.size);
    for (const [offset, value] of [...this.values].sort(([a], [b]) => a - b)) {
      w.u32(offset);
      w.u32(value);
    }
  }

  decode(r: ByteReader): void {
    this.values = new Map();
    for (let left = r.u32(); left > 0; left--) this.values.set(r.u32(), r.u32());
  }
}

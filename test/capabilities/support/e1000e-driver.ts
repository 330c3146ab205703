/**
 * The least of a driver for an 82574L, as a program in the lab has it: one ring each way, a buffer of 2 KiB for each descriptor.
 *
 * Words: a *card* is how the driver reaches registers and its own memory, which the card has at `IOVA`.
 */
export interface Card {
  read(offset: number): Promise<number>;
  write(offset: number, value: number): Promise<void>;
  /** Of the driver's memory, from its start on. */
  peek(at: number, length: number): Promise<Buffer>;
  poke(at: number, data: Uint8Array): Promise<void>;
}

export const IOVA = 0x200000n;
export const ENTRIES = 32;
const BUFFER = 2048;
const [RX_RING, TX_RING, RX_BUFFERS] = [0, 4096, 8192];
const TX_BUFFERS = RX_BUFFERS + ENTRIES * BUFFER;
export const MEMORY_BYTES = TX_BUFFERS + ENTRIES * BUFFER;

export const REG = {
  ...{ ctrl: 0x0000, status: 0x0008, icr: 0x00c0, ims: 0x00d0, eiac: 0x00dc, ivar: 0x00e4, rctl: 0x0100, tctl: 0x0400 },
  ...{ rdbal: 0x2800, rdbah: 0x2804, rdlen: 0x2808, rdh: 0x2810, rdt: 0x2818 },
  ...{ tdbal: 0x3800, tdbah: 0x3804, tdlen: 0x3808, tdh: 0x3810, tdt: 0x3818 },
  ...{ missed: 0x4010, received: 0x4074, sent: 0x4080, ral: 0x5400, rah: 0x5404 },
} as const;
const RESET = 1 << 26;
/** Enabled, broadcasts taken, CRC stripped. */
const RCTL = (1 << 1) | (1 << 15) | (1 << 26);
const RCTL_LONG = 1 << 5;
/** Enabled, short frames padded. */
const TCTL = (1 << 1) | (1 << 3);
/** Of a transmit descriptor: end of packet, CRC inserted, status reported. */
const [LAST, COMMAND] = [0x01, 0x0a];
const [DONE, END] = [1, 2];

export class E1000eDriver {
  private tail = 0;
  private next = 0;
  mac = Buffer.alloc(0);

  private constructor(readonly card: Card) {}

  /** `long`: it takes frames of any size, in as many buffers as they need. */
  static async start(card: Card, { long = false } = {}): Promise<E1000eDriver> {
    const driver = new E1000eDriver(card);
    await card.write(REG.ctrl, RESET);
    driver.mac = Buffer.alloc(6);
    driver.mac.writeUInt32LE(await card.read(REG.ral), 0);
    driver.mac.writeUInt16LE((await card.read(REG.rah)) & 0xffff, 4);
    await driver.rings();
    await card.write(REG.rctl, RCTL | (long ? RCTL_LONG : 0));
    await card.write(REG.tctl, TCTL);
    return driver;
  }

  /** All receive descriptors but one are the card's. */
  private async rings(): Promise<void> {
    const ring = Buffer.alloc(ENTRIES * 16);
    for (let i = 0; i < ENTRIES; i++) ring.writeBigUInt64LE(IOVA + BigInt(RX_BUFFERS + i * BUFFER), i * 16);
    await this.card.poke(RX_RING, ring);
    for (const [base, at] of [
      [REG.rdbal, RX_RING],
      [REG.tdbal, TX_RING],
    ] as const) {
      await this.card.write(base, Number(IOVA) + at);
      await this.card.write(base + 8, ENTRIES * 16);
    }
    await this.card.write(REG.rdt, ENTRIES - 1);
  }

  /** MSI-X: vector 0 for receiving, 1 for sending, 2 for the rest. */
  async vectors(): Promise<void> {
    await this.card.write(REG.ivar, 0x8 | (0x9 << 8) | (0xa << 16));
    await this.card.write(REG.eiac, 0x0050_0000);
    await this.interrupts();
  }

  /** What a message has masked is enabled again. */
  interrupts(): Promise<void> {
    return this.card.write(REG.ims, 0x0150_0000);
  }

  /** Puts frames into the ring and tells of them all at once. At most as many as the ring has room for. */
  async send(...frames: readonly Uint8Array[]): Promise<void> {
    for (const frame of frames)
      for (let at = 0; at < frame.length; at += BUFFER)
        await this.put(frame.subarray(at, at + BUFFER), COMMAND | (at + BUFFER >= frame.length ? LAST : 0));
    await this.card.write(REG.tdt, this.tail);
  }

  private async put(piece: Uint8Array, command: number): Promise<void> {
    await this.card.poke(TX_BUFFERS + this.tail * BUFFER, piece);
    const descriptor = Buffer.alloc(16);
    descriptor.writeBigUInt64LE(IOVA + BigInt(TX_BUFFERS + this.tail * BUFFER), 0);
    descriptor.writeUInt16LE(piece.length, 8);
    descriptor[11] = command;
    await this.card.poke(TX_RING + this.tail * 16, descriptor);
    this.tail = (this.tail + 1) % ENTRIES;
  }

  /** Are all frames sent, as the descriptors say? */
  async allSent(): Promise<boolean> {
    const ring = await this.card.peek(TX_RING, ENTRIES * 16);
    return Array.from({ length: this.tail }, (_, i) => ring[16 * i + 12]).every((status) => status === DONE);
  }

  /** What has come since the last time; its descriptors go back to the card. */
  async received(): Promise<Buffer[]> {
    const frames: Buffer[] = [];
    const pieces: Buffer[] = [];
    for (;;) {
      const descriptor = await this.card.peek(RX_RING + this.next * 16, 16);
      if (!(descriptor[12]! & DONE)) return frames;
      pieces.push(await this.card.peek(RX_BUFFERS + this.next * BUFFER, descriptor.readUInt16LE(8)));
      if (descriptor[12]! & END) frames.push(Buffer.concat(pieces.splice(0)));
      await this.card.poke(RX_RING + this.next * 16 + 8, new Uint8Array(8));
      await this.card.write(REG.rdt, this.next);
      this.next = (this.next + 1) % ENTRIES;
    }
  }
}

/** An Ethernet frame of an experimental type. */
export const frameOf = (to: Uint8Array, from: Uint8Array, payload: Uint8Array): Buffer =>
  Buffer.concat([to, from, Buffer.of(0x88, 0xb5), payload]);

export const BROADCAST = Buffer.alloc(6, 0xff);

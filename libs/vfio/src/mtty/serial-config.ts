/**
 * Config space of a serial card: PCI id "HCS2", one or two BARs of 8 ports, INTA, no capabilities. [samples/vfio-mdev/mtty.c]
 *
 * Rule: only BAR 0, BAR 1 and the interrupt line take a write, and only one that begins there. Behind the last byte
 * everything reads 0.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { BAR0, INTERRUPT_LINE } from '../pci-registers.js';

export const CONFIG_BYTES = 255;
const BAR1 = BAR0 + 4;
/** BARs 2 to 4 are set to 0 by a write. */
const BAR4 = BAR0 + 16;
/** An I/O BAR of 8 ports. */
const IO = 1;
const IO_SIZE_MASK = 0xf8;

const AT_FIRST: readonly (readonly [at: number, bytes: readonly number[]])[] = [
  [0x00, [0x48, 0x43, 0x53, 0x32, 0x01, 0x00, 0x00, 0x02, 0x10, 0x02, 0x00, 0x07]],
  [BAR0, [IO]],
  [0x2c, [0x48, 0x43, 0x53, 0x32]],
  [0x3d, [0x01]],
  [0x40, [0x23, 0, 0, 0x80, 0x23, 0, 0, 0, 0x23, 0, 0, 0, 0x23]],
  [0x60, [...'PCI Serial/UART'].map((c) => c.charCodeAt(0))],
];

export class SerialConfig {
  private readonly bytes = new Uint8Array(CONFIG_BYTES);

  constructor(private readonly ports: number) {
    for (const [at, bytes] of AT_FIRST) this.bytes.set(bytes, at);
    if (ports === 2) this.bytes[BAR1] = IO;
  }

  read(at: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    out.set(this.bytes.subarray(at, at + length));
    return out;
  }

  /** `data`: 1, 2 or 4 bytes; a BAR is written whole. */
  write(at: number, data: Uint8Array): void {
    if (at === INTERRUPT_LINE) this.bytes[at] = data[0]!;
    else if (at === BAR0 || (at === BAR1 && this.ports === 2)) this.writeBar(at, data);
    else if (at >= BAR1 && at <= BAR4 && at % 4 === 0) this.bytes.fill(0, at, at + 4);
  }

  /** All ones ask for the size. */
  private writeBar(at: number, data: Uint8Array): void {
    const asks = data.length === 4 && data.every((byte) => byte === 0xff);
    const kind = this.bytes[at]! & 3;
    this.bytes.fill(0, at, at + 4);
    this.bytes.set(data, at);
    if (asks) this.bytes[at]! &= IO_SIZE_MASK;
    this.bytes[at]! |= kind;
  }

  encode(w: ByteWriter): void {
    w.bytes(this.bytes);
  }

  decode(r: ByteReader): void {
    this.bytes.set(r.bytes());
  }
}

/** A program's network card: its registers through the cdev, its memory mapped for DMA. */
import { type Card, E1000eDriver, IOVA, MEMORY_BYTES } from './e1000e-driver.js';
import type { Device, Program } from './passthrough.js';

export interface Opened {
  readonly device: Device;
  readonly driver: E1000eDriver;
}

export async function openCard(
  program: Program,
  bdf: string,
  options: { readonly long?: boolean } = {},
): Promise<Opened> {
  const va = await program.mapped(IOVA, MEMORY_BYTES);
  const device = await program.device(bdf);
  const { process } = program;
  const card: Card = {
    read: async (offset) => Number(await device.read(offset)),
    write: (offset, value) => device.write(offset, BigInt(value >>> 0)),
    peek: async (at, length) => Buffer.from(await program.must(process.read(va + at, length))),
    poke: (at, data) => program.must(process.write(va + at, data)),
  };
  return { device, driver: await E1000eDriver.start(card, options) };
}

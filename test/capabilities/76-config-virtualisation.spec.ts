import { hex } from '@vfiolab/core';
import { EDU } from '../../libs/vfio/src/testing/functions.js';
import { CONFIG, type Device, Host } from './support/passthrough.js';

/** Registers of edu that all ones were written to, and what they read afterwards (traces b044, b045). */
const AFTER_ALL_ONES: readonly (readonly [offset: number, bytes: number, value: bigint, what: string])[] = [
  [0x00, 4, 0x11e81234n, 'ids: read-only'],
  [0x04, 2, 0x0507n, 'command: the bits that the function has, INTx disable is virtual'],
  [0x08, 4, 0x00ff0010n, 'revision and class: read-only'],
  [0x0c, 1, 0xffn, 'cache line size: the function keeps it'],
  [0x0d, 1, 0x00n, 'latency timer: hard-wired'],
  [0x0e, 1, 0x00n, 'header type: read-only'],
  [0x10, 4, 0xfff00000n, 'BAR 0: sizing'],
  [0x14, 4, 0n, 'a BAR without a window'],
  [0x2c, 4, 0x11001af4n, 'subsystem: read-only'],
  [0x30, 4, 0n, 'no ROM'],
  [0x34, 1, 0x40n, 'capability pointer: read-only'],
  [0x3c, 1, 0xffn, 'interrupt line: scratch'],
  [0x3d, 1, 0x01n, 'interrupt pin: read-only'],
  [0x40, 2, 0x0005n, 'capability header: read-only'],
  [0x42, 2, 0x008en, 'MSI control: enable and vectors do not stick while SET_IRQS has it off'],
  [0x44, 4, 0xffffffffn, 'MSI address: virtual'],
  [0x4c, 2, 0xffffn, 'MSI data: virtual'],
];

const open = async (): Promise<Device> => {
  const host = await Host.boot({ config: hex(EDU.config) });
  return (await host.program('vmm')).device();
};

it('76: a golden image reads as it was recorded, with bus master off', async () => {
  const d = await open();
  await d.command(0x0103);
  const read = await d.p.must(d.p.process.pread(d.fd, CONFIG, 256));
  expect(hex(read)).toBe(hex(EDU.config));
});

it.each(AFTER_ALL_ONES)('76: 0x%i, %i bytes, all ones written: %s (%s)', async (offset, bytes, value) => {
  const d = await open();
  await d.write(CONFIG + offset, (1n << BigInt(8 * bytes)) - 1n, bytes);
  expect(await d.read(CONFIG + offset, bytes)).toBe(value);
});

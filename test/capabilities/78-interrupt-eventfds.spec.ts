import { REG_IRQ_ACK, REG_IRQ_RAISE } from '@vfiolab/devices';
import { type Device, Host, NOTHING } from './support/passthrough.js';

const [INTX, MSIX] = [0, 2];
const UNMASK_EVENTFD = 0x14;
const raise = (d: Device) => d.write(REG_IRQ_RAISE, 1n);
const acknowledge = (d: Device) => d.write(REG_IRQ_ACK, 1n);

it('78: INTx signals once and masks itself until a write to the resample eventfd', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  const [irq, resample] = [await p.eventfd(), await p.eventfd()];
  expect(await d.setIrqs(INTX, 0, [irq])).toBeUndefined();
  expect(await d.setIrqs(INTX, 0, [resample], UNMASK_EVENTFD)).toBeUndefined();
  await raise(d);
  await raise(d);
  expect(await p.count(irq)).toBe(1);
  // The line is still up: unmasking signals again at once.
  await p.must(p.process.eventWrite(resample, 1n));
  expect([await p.count(irq), await p.count(resample)]).toEqual([1, 0]);
  await acknowledge(d);
  await p.must(p.process.eventWrite(resample, 1n));
  expect(await p.count(irq)).toBe(0);
  await raise(d);
  expect(await p.count(irq)).toBe(1);
  // INTx off: the eventfd is an eventfd like any other again.
  expect(await d.setIrqs(INTX, 0, [], 0x21)).toBeUndefined();
  await p.must(p.process.eventWrite(resample, 2n));
  expect(await p.count(resample)).toBe(2);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('78: MSI-X signals each time, and only one kind of interrupt is on', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  const irq = await p.eventfd();
  expect(await d.setIrqs(MSIX, 0, [irq])).toBeUndefined();
  await raise(d);
  await raise(d);
  expect(await p.count(irq)).toBe(2);
  expect(await d.setIrqs(INTX, 0, [irq])).toBe('EINVAL');
  // A message is a write: without bus master it goes nowhere.
  await d.command(2);
  await raise(d);
  expect(await p.count(irq)).toBe(0);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});
